# SPDX-License-Identifier: GPL-2.0-or-later
"""Fencing broken on purpose: each break must be seen by the row that is there for it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from fencing import client, process

from .attempt import Run, carry_out
from .table import CASES

_PACKAGE = Path(process.__file__).parent


@dataclass(frozen=True, slots=True)
class Sabotage:
    """A copy of the package with one place changed, used by the workers of one row."""

    breaks: str
    """What is broken."""
    file: str
    """In the package."""
    text: str
    """Stands in it once."""
    instead: str
    row: str
    violation: str
    """How what the row must say of it begins."""


_RUNS = "S3: confirmed off, and the machine runs"
SABOTAGES = (
    Sabotage(
        "one reading is a proof",
        "verify.py",
        "READINGS = 3",
        "READINGS = 1",
        "ipmi: says off a second before the machine is off; off_settle is longer",
        _RUNS,
    ),
    Sabotage(
        "an acknowledged order is a proof",
        "verify.py",
        "power = self._device.status()",
        "power = Power.OFF if self._acknowledged else self._device.status()",
        "redfish: acknowledges the order and does nothing",
        _RUNS,
    ),
    Sabotage(
        "nobody is asked whose power it is",
        "verify.py",
        "if self._expected is None:",
        "if True:",
        "ipmi: answers for another machine",
        _RUNS,
    ),
    Sabotage(
        "what is not on is off",
        "drivers/redfish/__init__.py",
        'Power.ON if state == "On" else Power.UNKNOWN',
        'Power.ON if state == "On" else Power.OFF',
        "redfish: says PoweringOff for a second",
        _RUNS,
    ),
    Sabotage(
        "one outlet stands for all",
        "drivers/pdu/__init__.py",
        "for outlet in self._outlets}\n        if Power.ON in states:",
        "for outlet in self._outlets[:1]}\n        if Power.ON in states:",
        "pdu: one of the machine's two outlets is stuck (CyberPower)",
        _RUNS,
    ),
    Sabotage(
        "a silent BMC cannot have heard the order",
        "drivers/ipmi_session.py",
        'raise FenceError("the BMC took the login, then it did not answer")',
        'raise NotSentError("the BMC took the login, then it did not answer")',
        "ipmi: carries orders out and never acknowledges one",
        "S3: FAILED is for orders that never left",
    ),
    Sabotage(
        "nobody logs out",
        "drivers/ipmi_session.py",
        "for _ in range(LOGOUT_TRIES):",
        "for _ in range(0):",
        "ipmi: none",
        "left behind: 1 sessions",
    ),
    Sabotage(
        "agents are not contained",
        "drivers/contained.py",
        '*("/usr/bin/unshare", "--pid", "--kill-child=KILL"),',
        "",
        "agent: hangs, in a process of another session",
        "left behind: process",
    ),
)
LATE = Sabotage(
    "a worker that overruns is left alone",
    "client.py",
    "OVERRUN_S = 0.25",
    "OVERRUN_S = 5.0",
    "ipmi: hangs in the order, and carries it out long after",
    "it took ",
)
"""The parent's part, which is changed in place: the process has this one row."""


def carry_out_broken(sabotage: Sabotage) -> Run:
    """Carry out the row of a sabotage, in a process that does nothing else afterwards."""
    if sabotage == LATE:
        client.OVERRUN_S = 5.0
        return carry_out(CASES[sabotage.row])
    with TemporaryDirectory(prefix="sabotage-") as folder:
        copy = Path(folder) / "fencing"
        shutil.copytree(_PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        file = copy / sabotage.file
        text = file.read_text()
        assert text.count(sabotage.text) == 1, f"{sabotage.file} has changed: {sabotage.breaks}"
        file.write_text(text.replace(sabotage.text, sabotage.instead))
        process._HOME = copy.parent
        return carry_out(CASES[sabotage.row])
