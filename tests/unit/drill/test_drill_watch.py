# SPDX-License-Identifier: GPL-2.0-or-later
"""What stops a drill, each condition alone, as soon as the pair is looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from config_bench import Site, example
from drill_bench import healthy

from haagent.bugs import die_of_bugs
from haagent.drill.client import Clients
from haagent.drill.holders import Holders
from haagent.drill.pair import Pair
from haagent.drill.run import hear
from haagent.drill.timeline import Timeline
from haagent.drill.watch import StoppedError, Watch
from haagent.netlink import Netlink


def nobody(request: Mapping[str, object], timeout_s: float) -> Mapping[str, Any]:
    """No agent is asked."""
    raise AssertionError(request, timeout_s)


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    """Eyes on a healthy pair that has been seen."""
    configuration, netlink = Site(tmp_path).load(example()), Netlink()
    clients = Clients(configuration, netlink, "alpha", "beta")
    pair, timeline = Pair(nobody, "alpha", "beta"), Timeline(lambda _: None)
    watch = Watch(pair, timeline, clients, Holders(netlink, (), clients))
    watch.here, watch.there = healthy("alpha", "standby", "00"), healthy("beta", "active", "00")
    watch.settle()
    watch.check()
    return watch


def alarm(side: str, code: str) -> Callable[[Watch], None]:
    """Raises an alarm on one side."""
    return lambda watch: getattr(watch, side)["alarms"].append({"code": code, "text": code})


def change_role(watch: Watch) -> None:
    """A group is something else here."""
    watch.here = healthy("alpha", "active", "00")


def lose_agent(watch: Watch) -> None:
    """This node's agent does not answer."""
    watch.here = None


def starve(watch: Watch) -> None:
    """Clients wait for two seconds."""
    assert watch.clients.of
    for client in watch.clients.of.values():
        client.last_ns -= 2_000_000_000


def double(watch: Watch) -> None:
    """Two answered for an address."""
    watch._holders.twice = "192.0.2.10 is held by two"  # as its probes would


STOPS = [
    ("role_changed", change_role),
    ("second_fault", lose_agent),
    ("client_gap", starve),
    ("two_holders", double),
    ("data_too_old", alarm("here", "data_too_old")),
    ("data_too_old", alarm("there", "data_too_old")),
    ("second_fault", alarm("here", "link_lan")),
    ("second_fault", alarm("there", "link_lan")),
]


@pytest.mark.parametrize(("code", "spoil"), STOPS, ids=[str(i) for i in range(len(STOPS))])
def test_each_condition_stops_it(watch: Watch, code: str, spoil: Callable[[Watch], None]) -> None:
    """One thing that was not so at the beginning, on either node, and the drill stops for it."""
    spoil(watch)
    with pytest.raises(StoppedError) as stopped:
        watch.check()
    assert stopped.value.code == code


def test_after_the_cut_it_is_noted(watch: Watch) -> None:
    """Half a takeover is worse than none: it goes on, and the reason is kept."""
    watch.committed = True
    change_role(watch)
    watch.check()
    assert watch.stopped is not None
    assert watch.stopped.code == "role_changed"


@pytest.mark.parametrize("code", ["late", "peer_late", "drill_due_partition"])
def test_what_says_nothing_of_the_pair(watch: Watch, code: str) -> None:
    """A busy moment, and a day that has come: neither is a second fault."""
    alarm("there", code)(watch)
    watch.check()


def test_what_was_there_before(watch: Watch) -> None:
    """An alarm that stood at the beginning does not stop it."""
    alarm("here", "link_lan")(watch)
    watch.settle()
    watch.check()


def test_what_is_seen_after_a_stop_counts_again(watch: Watch) -> None:
    """Once everything is undone the pair is judged anew, and the first reason is kept."""
    double(watch)
    with pytest.raises(StoppedError):
        watch.check()
    reason = watch.forget()
    assert reason is not None
    assert reason.code == "two_holders"
    watch.check()
    alarm("here", "link_lan")(watch)
    with pytest.raises(StoppedError, match="a second fault: link_lan"):
        watch.check()


def test_bug_of_the_drill_stops_it(watch: Watch) -> None:
    """Eyes that died see nothing: the drill ends and undoes what it did."""

    async def dies() -> None:
        raise KeyError("groups")

    async def main() -> None:
        hear(watch)
        task = asyncio.get_running_loop().create_task(dies())
        task.add_done_callback(die_of_bugs)
        await asyncio.wait([task])
        await asyncio.sleep(0)
        with pytest.raises(StoppedError, match="a bug in the drill: KeyError"):
            watch.check()

    asyncio.run(main())
