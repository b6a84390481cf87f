# SPDX-License-Identifier: GPL-2.0-or-later
"""What the agent needs of the kernel to be punctual: looked at in the one that runs, else tried."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

from haagent import confinement, host
from haagent.asking import properties
from haagent.doctor import Line, Subject, bad, ok, unknown, warning

UNIT = "use the unit that haagent brings (LimitRTPRIO, LimitMEMLOCK, OOMScoreAdjust)"
OOM_SPARED = -500
"""Below this the kernel kills everything ordinary first."""


def look(subject: Subject) -> Iterator[Line]:
    """Realtime scheduling, locked memory, the out-of-memory killer, and what children inherit."""
    if subject.agent_pid is None:
        yield _realtime_granted()
        yield _memory_granted()
        shown = properties(confinement.UNIT, "NoNewPrivileges")
        if shown.get("NoNewPrivileges") == "yes":
            yield from _hardening(subject)
        return
    folder = Path(f"/proc/{subject.agent_pid}")
    fields = dict(
        line.split(":\t", 1)
        for line in (folder / "status").read_text().splitlines()
        if ":\t" in line
    )
    policy = os.sched_getscheduler(subject.agent_pid) & ~os.SCHED_RESET_ON_FORK
    if policy in {os.SCHED_RR, os.SCHED_FIFO}:
        yield ok("realtime", "the agent runs with realtime scheduling")
    else:
        yield warning("realtime", "the agent does not run with realtime scheduling", UNIT)
    locked_kb = int(fields.get("VmLck", "0 kB").split()[0])
    if locked_kb:
        yield ok("memory", f"the agent's memory is locked ({locked_kb // 1024} MiB)")
    else:
        yield warning("memory", "the agent's memory is not locked: it may be swapped out", UNIT)
    score = int((folder / "oom_score_adj").read_text())
    if score <= OOM_SPARED:
        yield ok("out of memory", "the agent is spared")
    else:
        yield warning("out of memory", f"the agent may be killed (oom_score_adj {score})", UNIT)
    if confinement.no_new_privileges(folder / "status"):
        yield from _hardening(subject)


def _realtime_granted() -> Line:
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        param = os.sched_param(host.REALTIME_PRIORITY)
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, param)
    except OSError as error:
        text = f"is not granted here: {error.strerror}"
        return unknown("realtime", text, f"ask as root; {UNIT}")
    os.sched_setscheduler(0, *before)
    return ok("realtime", "this kernel grants realtime scheduling")


def _memory_granted() -> Line:
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if os.geteuid() == 0 or soft == resource.RLIM_INFINITY:
        return ok("memory", "may be locked")
    return unknown("memory", f"the limit here is {soft} bytes", f"ask as root; {UNIT}")


def _hardening(subject: Subject) -> Iterator[Line]:
    """What the agent, or its unit before it is started so, keeps from its children."""
    what = "hardening"
    needy = confinement.confined_by_it(subject.configuration)
    hampered = confinement.hampered_by_it(subject.configuration)
    if needy:
        text = f"NoNewPrivileges= is on, and {needy} may not work in it"
        remedy = "systemctl daemon-reload; if that is not enough: docs/install.md, Hardening"
        yield bad(what, text, remedy)
    elif hampered:
        text = f"{hampered} run in the agent's confinement, as the unit was not opened for them"
        yield warning(what, text, "systemctl daemon-reload, then: systemctl restart haagent")
