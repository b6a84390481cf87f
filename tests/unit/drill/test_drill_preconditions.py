# SPDX-License-Identifier: GPL-2.0-or-later
"""The checklist: a healthy pair passes it, and every single fault is found by its own item."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast

import pytest
from config_bench import Site, example
from drill_bench import healthy

from haagent.config import Configuration
from haagent.drill.archive import Entry, Verdict
from haagent.drill.due import Blackout
from haagent.drill.kinds import LEVELS, Kind, Where
from haagent.drill.preconditions import SOFT, Found, checklist, refused
from haagent.witness.settings import ReferenceSettings, WitnessPlan

NOW = datetime(2026, 11, 26, 14, 30).astimezone()
Status = dict[str, Any]


def ground(folder: Path, kind: Kind) -> Found:
    """A healthy pair, looked at from the node where this kind is run."""
    configuration = Site(folder).load(example())
    digest = configuration.pair.configuration_hash.hex()
    mine = "standby" if kind.plan.where is Where.STANDBY else "active"
    theirs = "active" if mine == "standby" else "standby"
    here, there = healthy("alpha", mine, digest), healthy("beta", theirs, digest)
    for status in (here, there):
        for group in status["groups"]:
            group["name"] = configuration.groups[0].name
    return Found(configuration, kind, here, there, [], NOW)


def kept_away(found: Found) -> set[str]:
    """Codes of the items that do not hold."""
    return {item.code for item in refused(checklist(found), frozenset())}


@pytest.mark.parametrize("kind", LEVELS)
def test_healthy_pair_may_be_drilled(tmp_path: Path, kind: Kind) -> None:
    """Every item holds, for every kind."""
    assert kept_away(ground(tmp_path, kind)) == set()


def device(**changes: object) -> Callable[[Status], None]:
    """Changes a fence device."""
    return lambda status: status["fence"][0].update(changes)


def group(**changes: object) -> Callable[[Status], None]:
    """Changes a group."""
    return lambda status: status["groups"][0].update(changes)


def whole(**changes: object) -> Callable[[Status], None]:
    """Changes the status itself."""
    return lambda status: status.update(changes)


def link(**changes: object) -> Callable[[Status], None]:
    """Changes the second link."""
    return lambda status: status["links"][1].update(changes)


def alarm(code: str) -> Callable[[Status], None]:
    """Adds an alarm."""
    return lambda status: status["alarms"].append({"code": code, "text": code})


FAULTS: list[tuple[str, Callable[[Status], None]]] = [
    ("equal", whole(version="0.9")),
    ("equal", whole(configuration_hash="ff" * 16)),
    ("orders", whole(maintenance=True)),
    ("stable", group(since_s=10.0)),
    ("stable", lambda status: status["peer_state"].update(since_s=10.0)),
    ("links", link(state="down")),
    ("links", link(peer_hears_us=False)),
    ("fence", device(ready=False)),
    ("fence", device(checked_s_ago=None)),
    ("fence", device(checked_s_ago=1e6)),
    ("fence", device(power="off")),
    ("resources", alarm("resource_web_nginx")),
    ("quiet", lambda status: status["drills"].update(under_way="another")),
    ("quiet", lambda status: status["drills"]["faults"].append({"fault": "silence"})),
    ("fences_left", whole(fences_in_window=3)),
    (
        "takeover",
        whole(takeover={"possible": False, "reasons": [{"code": "x", "text": "it would not"}]}),
    ),
]


@pytest.mark.parametrize("side", ["here", "there"])
@pytest.mark.parametrize(("code", "spoil"), FAULTS, ids=[str(i) for i in range(len(FAULTS))])
def test_every_fault_on_either_node_is_found(
    tmp_path: Path, code: str, spoil: Callable[[Status], None], side: str
) -> None:
    """One thing wrong on one node keeps the drill away, by the name of its item."""
    found = ground(tmp_path, Kind.PARTITION)
    status = getattr(found, side)
    spoil(status)
    assert kept_away(found) == {code}


@pytest.mark.parametrize(
    "spoil",
    [group(stopped=True), group(frozen=True), whole(standby_nodes=["beta"])],
    ids=["stopped", "frozen", "standby"],
)
def test_standing_orders_are_found(tmp_path: Path, spoil: Callable[[Status], None]) -> None:
    """Orders hold for both nodes, so they are read on this one."""
    found = ground(tmp_path, Kind.SWITCHOVER)
    assert found.here is not None
    spoil(cast("Status", found.here))
    assert kept_away(found) == {"orders"}


def test_agent_that_does_not_answer_is_found(tmp_path: Path) -> None:
    """Then nothing else can be said."""
    found = ground(tmp_path, Kind.CHECK)
    assert kept_away(replace(found, there=None)) == {"agents"}
    assert kept_away(replace(found, here=None)) == {"agents"}


@pytest.mark.parametrize("kind", [k for k in LEVELS if k.plan.where is not Where.ANY])
def test_wrong_node_is_found(tmp_path: Path, kind: Kind) -> None:
    """A drill that belongs onto one node of the pair is not run on the other."""
    found = ground(tmp_path, kind)
    swapped = replace(found, here=found.there, there=found.here)
    assert kept_away(swapped) == {"place"}


def test_old_data_is_found(tmp_path: Path) -> None:
    """Further behind than max_lag allows; without a max_lag it is only told."""
    found = ground(tmp_path, Kind.SWITCHOVER)
    assert found.there is not None
    found.there["groups"][0]["position"] = 50
    assert kept_away(found) == set()
    assert kept_away(replace(found, configuration=_with_lag(found.configuration, 49))) == {"data"}
    assert kept_away(replace(found, configuration=_with_lag(found.configuration, 50))) == set()


@pytest.mark.parametrize("side", ["here", "there"])
def test_unknown_position_is_found(tmp_path: Path, side: str) -> None:
    """A server that tells no position where max_lag asks for one; elsewhere it is only told."""
    found = ground(tmp_path, Kind.CHECK)
    getattr(found, side)["groups"][0]["position"] = None
    (item,) = [one for one in checklist(found) if one.code == "data"]
    node = "alpha" if side == "here" else "beta"
    assert (item.ok, item.text.endswith(f"of {node} tells no position")) == (True, True)
    assert kept_away(replace(found, configuration=_with_lag(found.configuration, 50))) == {"data"}


WITNESSES = {"etcd": "yes", "gateway": "yes"}


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (WITNESSES, ""),
        (WITNESSES | {"gateway": "silent"}, "beta, gateway: said silent"),
        (WITNESSES | {"etcd": "no"}, "beta, etcd: said no"),
        ({"etcd": "yes"}, "beta, gateway: beta could not ask it"),
        (None, "beta, etcd: beta could not ask it; beta, gateway: beta could not ask it"),
    ],
)
@pytest.mark.parametrize("kind", [Kind.CHECK, Kind.PARTITION])
def test_witness_is_asked_from_both_nodes(
    tmp_path: Path, kind: Kind, there: dict[str, str] | None, words: str
) -> None:
    """Each configured one must agree, to both: what one node hears says nothing of the other."""
    found = ground(tmp_path, kind)
    target = ReferenceSettings(ip_address("192.0.2.1"))
    plans = tuple(WitnessPlan(name, target, 1.0, ignored=True) for name in WITNESSES)
    said = {"alpha": WITNESSES, "beta": there}
    answers = {
        node: None
        if words is None
        else [{"name": n, "word": word, "detail": f"said {word}"} for n, word in words.items()]
        for node, words in said.items()
    }
    configuration = replace(found.configuration, witnesses=plans)
    asked = replace(found, configuration=configuration, witnesses=answers)
    (item,) = [one for one in checklist(asked) if one.code == "witness"]
    assert (item.ok, words in item.text) == (not words, True), item.text
    assert kept_away(asked) == ({"witness"} if words else set())


def _with_lag(configuration: Configuration, lag: int) -> Configuration:
    groups = tuple(replace(one, max_lag=lag) for one in configuration.pair.groups)
    return replace(configuration, pair=replace(configuration.pair, groups=groups))


def test_blackout_is_found(tmp_path: Path) -> None:
    """A blackout holds for a person too, who may say otherwise; a check has no effect."""
    for kind, codes in ((Kind.SWITCHOVER, {"calendar"}), (Kind.CHECK, set())):
        found = ground(tmp_path, kind)
        drill = found.configuration.drill
        blackout = Blackout(NOW.date(), NOW.date())
        practice = replace(drill.practice, blackouts=(blackout,))
        configuration = replace(found.configuration, drill=replace(drill, practice=practice))
        dark = replace(found, configuration=configuration)
        assert kept_away(dark) == codes
        assert refused(checklist(dark), frozenset({"calendar"})) == []


@pytest.mark.parametrize(
    ("kind", "verdict", "codes"),
    [
        (Kind.SWITCHOVER, Verdict.PASSED, {"rested"}),
        (Kind.PARTITION, Verdict.FAILED, {"rested"}),
        (Kind.CHECK, Verdict.PASSED, set()),
        (Kind.SWITCHOVER, Verdict.SKIPPED, set()),
    ],
)
def test_recent_drill_is_found(
    tmp_path: Path, kind: Kind, verdict: Verdict, codes: set[str]
) -> None:
    """One that had an effect is rested from; a check, or one that never began, is not."""
    earlier = Entry("id", NOW - timedelta(minutes=10), kind, "beta", verdict)
    found = replace(ground(tmp_path, Kind.SWITCHOVER), entries=[earlier])
    assert kept_away(found) == codes


def test_only_soft_items_are_passed_over(tmp_path: Path) -> None:
    """--despite works for what protects a calendar, never for what protects the service."""
    found = ground(tmp_path, Kind.PARTITION)
    assert found.here is not None
    found.here["links"][0].update(state="down")
    found.here["groups"][0].update(since_s=1.0)
    codes = {item.code for item in refused(checklist(found), frozenset({"links", *SOFT}))}
    assert codes == {"links"}
