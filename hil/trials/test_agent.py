# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent of the active ends, hangs or is replaced; its service runs on all the time.

An emulated server takes 10 to 30 s to load an agent, so here the peer waits longer than by default.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from hil.labs import Lab, Machine
from hil.package import renamed
from hil.proof import undisturbed
from hil.qemu.lab import VirtualLab
from hil.qemu.proof import RETURN_LIMIT_S, ready
from hil.qemu.saved import LENIENT
from hil.trials.conftest import Roles, VirtualRoles

pytestmark = pytest.mark.lenient

PATIENT = replace(
    LENIENT, timing={"suspect_after": "120s", "dead_after": "240s"}, reference_failures=30
)
"""Also with itself: while systemd reloads, its processor has no time for an answer for seconds."""
GAP_MS_MAX = 3000
"""Of a client that is served all the time, by emulated servers on a busy machine."""
QUIET_S = 5.0
"""For what must not happen, once the new agent is there."""
UPGRADE_LIMIT_S = 300.0
"""dpkg has thousands of files to write, under emulation."""


@pytest.fixture
def patient(lab: Lab, roles: Roles) -> Roles:
    """The active and the standby of a pair whose agents may take their time to come back."""
    if not isinstance(lab, VirtualLab):
        return roles  # they are back in a second
    lab.reload(PATIENT)
    return ready(lab)


def agent_pid(guest: Machine) -> int:
    """The agent's process in a server; 0 while there is none."""
    return int(guest.run("systemctl", "show", "-P", "MainPID", "haagent.service").stdout)


def test_next_agent_takes_up_what_the_last_one_held(lab: Lab, patient: Roles) -> None:
    """An agent that is killed, or hangs until systemd ends it, is back in time: nothing moves."""
    active, standby = patient
    fault_ns = time.monotonic_ns()
    for guest, signal in ((standby, "KILL"), (active, "KILL"), (active, "STOP")):
        before = agent_pid(guest)
        guest.run("systemctl", "kill", "--kill-whom=main", f"--signal={signal}", "haagent.service")
        guest.run("sh", "-c", _GONE.format(pid=before))
        assert ready(lab, limit_s=RETURN_LIMIT_S) == patient
        assert agent_pid(guest) not in (0, before)
    threading.Event().wait(QUIET_S)  # nothing is to happen: no event to wait for
    undisturbed(lab, active, fault_ns, gap_ms_max=GAP_MS_MAX)


_GONE = "tail --pid={pid} -f /dev/null"
"""Ends when that process has."""


@pytest.mark.virtual("a later package")
def test_upgrade_under_traffic_moves_nothing(
    lab: VirtualLab, patient: VirtualRoles, tmp_path: Path
) -> None:
    """A later package on the active: a new agent, the same service, beside an older peer."""
    active, _ = patient
    active.ssh.put({"later.deb": renamed(lab.image.package, tmp_path, "9.9")}, "/root")
    before, since_ns = agent_pid(active), time.monotonic_ns()
    install = ("dpkg", "--force-unsafe-io", "--install", "/root/later.deb")
    active.ssh.run(*install, limit_s=UPGRADE_LIMIT_S)
    active.run("sh", "-c", _GONE.format(pid=before))
    assert ready(lab, limit_s=RETURN_LIMIT_S) == patient
    assert active.run("dpkg-query", "-W", "-f", "${Version}", "haagent").stdout == "9.9"
    assert agent_pid(active) not in (0, before)
    undisturbed(lab, active, since_ns, gap_ms_max=GAP_MS_MAX)
