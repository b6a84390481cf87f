# SPDX-License-Identifier: GPL-2.0-or-later
"""The drills that cut power, run in the servers as an operator runs them, and judged from outside.

The drill says whether all went as it should; client, observer and the record of power, which it
does not know, say the same or the test fails.
"""

from __future__ import annotations

import json
import time

import pytest

from hil.qemu.configuration import Settings
from hil.qemu.lab import VirtualLab
from hil.qemu.mishaps import two_at_once
from hil.qemu.proof import ready
from hil.trials.conftest import VirtualRoles
from hil.watch import orders, power_entry

pytestmark = pytest.mark.virtual("a configuration that the bench may change")
DRILL_LIMIT_S = 700.0
"""A takeover, the boot of an emulated server, and everything home again."""
_DRILL = """
[drill]
stable_for = "0s"
rest = "0s"
gap_budget = "5s"
switchover_budget = "30s"
crash = "{crash}"
"""
"""An emulated server that shares a processor is slow to answer now and then."""
TAKEOVERS = {
    "kernel crash": ("crash-active", "kernel"),
    "freeze": ("crash-active", "freeze"),
    "partition": ("partition", "kernel"),
    "fence-active": ("fence-active", "kernel"),
}


def drilled(lab: VirtualLab, kind: str, crash: str) -> tuple[VirtualRoles, int]:
    """Pass a drill on a pair that may be drilled; its roles before, and when it began."""
    assert ready(lab)
    lab.reload(Settings(extra=_DRILL.format(crash=crash)))
    active, standby = ready(lab)
    place = active if kind == "fence-standby" else standby
    begun_ns = time.monotonic_ns()
    command = ("haagent", "drill", "run", kind, "--yes", "--json")
    done = place.ssh.run(*command, check=False, limit_s=DRILL_LIMIT_S)
    print(done.stderr)  # noqa: T201  # for pytest, should the test fail
    record = json.loads(done.stdout)
    assert record["verdict"] == "passed", record["reason"]
    assert ready(lab) == (active, standby)
    assert two_at_once(lab, begun_ns) == []
    return (active, standby), begun_ns


@pytest.mark.parametrize(("kind", "crash"), TAKEOVERS.values(), ids=list(TAKEOVERS))
def test_active_dies_in_a_drill(lab: VirtualLab, kind: str, crash: str) -> None:
    """S1, S2: it was off, and read off, before the other had the address; then all goes home."""
    (active, standby), begun_ns = drilled(lab, kind, crash)
    taken = lab.observer.wait_holder(standby.mac, 1, after_ns=begun_ns)
    for what in ("power", "read"):
        off = power_entry(lab, active, begun_ns, what=what, state="off")
        assert off is not None, f"{active.name} was never off"
        assert off["at_ns"] < taken["at_ns"], f"taken before {active.name} was off"
    assert lab.observer.holders(begun_ns) == [active.mac, standby.mac, active.mac]
    assert orders(lab, begun_ns, standby) == []


def test_standby_is_cycled_in_a_drill(lab: VirtualLab) -> None:
    """A real cut and a real boot; the address and the client stay where they are."""
    (active, standby), begun_ns = drilled(lab, "fence-standby", "kernel")
    assert lab.observer.holders(begun_ns) == [active.mac]
    assert orders(lab, begun_ns) == [(standby.name, "power_off"), (standby.name, "power_on")]
    assert {answer["node"] for answer in lab.client.record.since(begun_ns)} == {active.name}
