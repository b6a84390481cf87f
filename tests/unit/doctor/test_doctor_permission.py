# SPDX-License-Identifier: GPL-2.0-or-later
"""What the doctor says of this node's own keys on the shared disks."""

from __future__ import annotations

from pathlib import Path

import pytest

from fencing import DeviceSettings
from haagent.doctor import Verdict
from haagent.doctor.fences import permitted
from hil.fence_agent import BenchAgent, BenchParameter


@pytest.mark.parametrize(
    ("key", "fault", "verdict", "said"),
    [
        ("on", "none", Verdict.OK, "may write to the disk (key a1, Status: ON)"),
        ("off", "none", Verdict.BAD, "has no key on the disk"),
        ("on", "fail no connection", Verdict.BAD, "no connection (unreachable)"),
    ],
)
def test_permission(tmp_path: Path, key: str, fault: str, verdict: Verdict, said: str) -> None:
    """Well only with the key on the disk; without it, or out of reach, with what to do."""
    names = ("action", "devices", "key", "plug")
    agent = BenchAgent(tmp_path, parameters=tuple(map(BenchParameter, names)), automatic=True)
    agent.power, agent.fault = key, fault
    options = {"agent": str(agent.program), "disk": "/dev/shared", "key": "a1"}
    disk = DeviceSettings(name="alpha-disk", driver="permission", options=options)
    power = DeviceSettings(name="alpha-bmc", driver="ipmi", address="192.0.2.1")
    (line,) = permitted((power, disk))
    assert (line.what, line.verdict) == ("permission alpha-disk", verdict)
    assert said in line.text
    assert agent.power == key
