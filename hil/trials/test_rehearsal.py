# SPDX-License-Identifier: GPL-2.0-or-later
"""A lab of metal with the virtual pair as the rack; `make hil-rehearsal` runs the smoke set."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hil.pair import NODES
from hil.qemu.image import Image
from hil.qemu.rehearsal import MANAGEMENT, play, rack
from hil.qemu.report import REPORT

pytestmark = pytest.mark.virtual("a rack within the rack")
CRASH = ("-k", "crashed_kernel_is_fenced_and")
LACKING = ("-k", "crashed_kernel_is_fenced_and or stuck_outlet or power_cord_with_bmc")


def test_scenario_passes_as_on_metal_and_fails_where_nobody_sees(
    servers: Image, tmp_path: Path
) -> None:
    """A crash over ssh, fenced by IPMI, is seen from outside; a blind observer fails it.

    What the rack has not is skipped, and the report says why.
    """
    assert servers
    with rack() as pair, (tmp_path / "shown").open("w+") as shown:
        assert play(pair, CRASH, shown, interface=MANAGEMENT) == pytest.ExitCode.TESTS_FAILED
        shown.seek(0)
        assert "not seen within" in shown.read()
        orders = [entry["order"] for entry in pair.lab.power.since() if entry["what"] == "order"]
        assert orders == []  # the pair was not even put to the test
        assert play(pair, LACKING, shown, mains=False) == pytest.ExitCode.OK
    told = json.loads((REPORT / "report.json").read_text())["stories"]
    verdicts = {story["name"]: (story["verdict"], story["reason"]) for story in told}
    assert sorted(verdicts.values()) == [
        ("passed", ""),
        ("skipped", "the lab lacks BMCs and PDUs that fail when told to"),
        ("skipped", f"the lab lacks a PDU of the bench's own for {NODES[0]}"),
    ]
