# SPDX-License-Identifier: GPL-2.0-or-later
"""When a node that was left out may let itself in to the shared disks (ADR 18)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from core.harness import DEAF, REBORN, Bench, active, fencing, says, silent, standby, taking_over

from fencing import DeviceSettings
from haagent import admission
from haagent.admission import Admission, admissible
from haagent.core.phases import Active, Alive, Assessing, Fenced, Releasing, Standby, Starting
from haagent.core.settings import MS, S
from haagent.core.wire import Role
from haagent.resources import Condition, ResourceError
from hil.fence_agent import BenchAgent, BenchParameter

WEB = frozenset({0})


def holder() -> Bench:
    """Active, its key found missing now."""
    bench = active()
    bench.in_group(Active)
    return bench


def test_a_node_that_holds_nothing() -> None:
    """Once everything was seen stopped, whatever the peer is: else nobody could ever join."""
    bench = Bench()
    bench.in_group(Assessing)
    assert not admissible(bench.state, WEB, bench.now_ns)
    bench.stopped()
    bench.in_group(Standby)
    assert admissible(bench.state, WEB, bench.now_ns)
    assert admissible(standby().state, WEB, 0)
    assert admissible(silent().state, WEB, 0)
    assert admissible(fencing().state, WEB, 0)


def test_a_holder_whose_peer_is_idle() -> None:
    """A frame from after the loss says that the peer holds nothing: the disk forgot."""
    bench = holder()
    missed_ns = bench.now_ns
    assert not admissible(bench.state, WEB, missed_ns), "the frame is older than the loss"
    bench.pass_time(100 * MS)
    bench.hear(says(Role.STANDBY, term=1))
    bench.in_group(Active)
    assert admissible(bench.state, WEB, missed_ns)


@pytest.mark.parametrize("role", [role for role in Role if role.holds])
def test_a_holder_whose_peer_may_hold_it(role: Role) -> None:
    """It was cut off by a peer that takes, has or had the group: it stays out."""
    bench = holder()
    missed_ns = bench.now_ns
    bench.pass_time(100 * MS)
    bench.hear(says(role, term=1))
    bench.in_group(Active)
    assert not admissible(bench.state, WEB, missed_ns)


def test_a_holder_that_the_peer_does_not_hear() -> None:
    """Who does not hear us may be shooting just now, with its role still that of a standby."""
    bench = holder()
    missed_ns = bench.now_ns
    bench.pass_time(100 * MS)
    bench.hear(says(Role.STANDBY, term=1), links=DEAF)
    assert not admissible(bench.state, WEB, missed_ns)


def test_a_holder_whose_peer_says_nothing() -> None:
    """Silent, or another configuration, or a group that it does not know: nothing is known."""
    bench = holder()
    missed_ns = bench.now_ns
    bench.pass_time(100 * MS)
    bench.hear(says(Role.STANDBY, term=1), configuration_hash=b"x" * 16)
    assert not admissible(bench.state, WEB, missed_ns)
    bench.hear(says(Role.STANDBY, name="other"))
    assert not admissible(bench.state, WEB, missed_ns)
    bench.pass_time(2 * S)
    assert not isinstance(bench.pair, Alive)
    assert not admissible(bench.state, WEB, missed_ns)


def test_a_holder_that_lets_go() -> None:
    """While it stops, even of an idle peer: who cannot stop asks to be cut off (S7)."""
    bench = holder()
    missed_ns = bench.now_ns
    bench.pass_time(100 * MS)
    bench.ask_stop()
    bench.in_group(Releasing)
    bench.hear(says(Role.STANDBY, term=1))
    assert not admissible(bench.state, WEB, missed_ns)


def test_who_took_over() -> None:
    """A start by the proved death of the peer needs no word of it, nor its power's return."""
    bench = taking_over()
    bench.persisted()
    bench.probed()
    bench.in_group(Starting)
    bench.in_pair(Fenced)
    assert admissible(bench.state, WEB, bench.now_ns)
    bench.started()
    bench.pass_time(100 * MS)
    assert admissible(bench.state, WEB, bench.now_ns), bench.pair
    bench.finish_power_on()
    assert not admissible(bench.state, WEB, bench.now_ns), "it may be back"
    bench.reborn(says(Role.STANDBY), incarnation=REBORN)
    assert admissible(bench.state, WEB, bench.now_ns - 1)


def test_other_groups_do_not_count() -> None:
    """What does not stand on the disk may run, here as there."""
    bench = holder()
    assert admissible(bench.state, frozenset(), bench.now_ns)


class Node:
    """One whose disk is a fence agent of the bench: `power` is whether its key is there."""

    def __init__(self, directory: Path, *, key: str) -> None:
        names = ("action", "devices", "key", "plug", "power_timeout")
        parameters = tuple(BenchParameter(name) for name in names)
        self.agent = BenchAgent(directory, parameters=parameters, automatic=True)
        self.agent.power = key
        options = {"agent": str(self.agent.program), "disk": "/dev/shared", "key": "a1"}
        disk = DeviceSettings(
            name="disk", driver="permission", deadline_s=5.0, check_every_s=0.2, options=options
        )
        self.lost: list[str] = []
        self.news = asyncio.Event()
        power = DeviceSettings(name="bmc", driver="ipmi", address="192.0.2.1")
        self.admission = Admission((power, disk), WEB, self.lost.append, self.news.set)

    async def until(self, bench: Bench, true: Callable[[], bool]) -> None:
        """Have the core step, as its agent does all the time, until it is true."""
        async with asyncio.timeout(30):
            while not true():
                self.admission.observe(bench.state)
                await asyncio.sleep(0.02)

    @property
    def orders(self) -> list[str]:
        """What the agent of the disk was ordered."""
        return [action for action in self.agent.log if action in ("on", "off")]


@asynccontextmanager
async def running(node: Node) -> AsyncIterator[Admission]:
    """Its admission, at work."""
    node.admission.start()
    try:
        yield node.admission
    finally:
        await node.admission.close()


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes seconds takes parts of them."""
    monkeypatch.setattr(admission, "LOST_NS", 300 * MS)
    monkeypatch.setattr(admission, "RETRY_NS", 100 * MS)


def test_a_standby_lets_itself_in(tmp_path: Path) -> None:
    """A key that is missing is registered; what waited for it goes on, and status is well."""
    node, bench = Node(tmp_path, key="off"), standby()

    async def check() -> None:
        async with running(node) as keys:
            assert keys.reading(rests=True).condition is Condition.FAILED
            waiting = asyncio.create_task(keys.let_in())
            await node.until(bench, waiting.done)
            await waiting
            assert node.agent.power == "on"
            assert keys.trouble == ""
            assert keys.reading(rests=True).condition is Condition.STANDBY
            assert keys.reading(rests=False).condition is Condition.ACTIVE

    asyncio.run(check())
    assert not node.lost


def test_a_key_that_is_there_is_taken_up_once(tmp_path: Path) -> None:
    """The agent of the disk forgets with a boot by which key it cuts off: it is told anew, once."""
    node, bench = Node(tmp_path, key="on"), standby()

    async def check() -> None:
        async with running(node):
            await node.until(bench, lambda: "on" in node.orders)
            seen = len(node.agent.log)
            await node.until(bench, lambda: len(node.agent.log) > seen + 5)

    asyncio.run(check())
    assert node.orders == ["on"]


def test_a_holder_that_was_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S2: it orders nothing, starts nothing, and tells once that the group is lost."""
    monkeypatch.setattr(admission, "LET_IN_S", 0.5)
    node, bench = Node(tmp_path, key="on"), holder()
    bench.hear(says(Role.TAKING_OVER, term=1))

    async def check() -> None:
        async with running(node) as keys:
            await node.until(bench, lambda: keys.trouble == "")
            node.agent.power = "off"
            await node.until(bench, lambda: bool(node.lost))
            seen = len(node.agent.log)
            await node.until(bench, lambda: len(node.agent.log) > seen + 3)
            with pytest.raises(ResourceError, match="not let in: disk: its key is not on the disk"):
                await keys.let_in()

    asyncio.run(check())
    assert node.orders == []
    assert len(node.lost) == 1


def test_a_disk_that_goes_and_one_that_comes(tmp_path: Path) -> None:
    """A reload asks the new disk, and the one that is gone is nobody's trouble."""
    node, bench = Node(tmp_path, key="off"), Bench()

    async def check() -> None:
        async with running(node) as keys:
            await node.until(bench, lambda: "not on the disk" in keys.trouble)
            keys.reconfigure(())
            assert keys.trouble == ""

    asyncio.run(check())
