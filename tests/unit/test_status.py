# SPDX-License-Identifier: GPL-2.0-or-later
"""Would a takeover work right now? The status says so, and its condition is the exit code."""

from __future__ import annotations

from dataclasses import replace

from core.harness import Bench, active, says, silent, standby
from status_bench import DEAD, settled, status

from haagent.core.wire import AGE_NEVER_MS, LinkReport, Role
from haagent.resources import Condition, Reading
from haagent.witness import WitnessState


def codes(reasons: list[dict[str, str]]) -> list[str]:
    """The names of the reasons."""
    return [reason["code"] for reason in reasons]


def test_an_ordinary_day_on_the_standby() -> None:
    """Everything ready: a takeover would work, and the condition is fine."""
    data = status(settled(standby()))
    assert data["takeover"] == {"possible": True, "reasons": []}
    assert data["condition"] == "fine", data["alarms"]
    assert data["groups"][0]["role"] == "standby"
    assert data["groups"][0]["peer_role"] == "active"


def test_an_ordinary_day_on_the_active() -> None:
    """The active says that its peer could take the group."""
    data = status(settled(active()))
    assert data["takeover"]["possible"]
    assert data["condition"] == "fine", data["alarms"]


def test_a_dead_fence_device_on_the_standby_is_critical() -> None:
    """Without a fence nothing can be taken over: said before it is needed, with the cause."""
    data = status(settled(standby()), device=DEAD)
    assert codes(data["takeover"]["reasons"]) == ["fence_not_ready"]
    assert "no answer" in data["takeover"]["reasons"][0]["text"]
    assert data["condition"] == "critical"


def test_a_watchdog_as_the_last_level_makes_dead_fence_devices_degraded() -> None:
    """S2 e: a takeover would work, only later: `status` says so, with the time that it takes."""
    data = status(settled(standby()), device=DEAD, outwait_s=35.0)
    assert data["takeover"] == {"possible": True, "reasons": []}
    assert data["condition"] == "degraded"
    (text,) = [one["text"] for one in data["alarms"] if one["code"] == "fence_by_watchdog"]
    assert "waits 35 s" in text
    assert status(settled(standby()), outwait_s=35.0)["condition"] == "fine"


def test_a_dead_fence_device_on_the_active_is_degraded() -> None:
    """The active need not shoot: the pair still works, and somebody should look."""
    data = status(settled(active()), device=DEAD)
    assert data["takeover"]["possible"]
    assert data["condition"] == "degraded"
    assert "fence_alpha-bmc_unreachable" in codes(data["alarms"])


def test_a_link_without_carrier_is_degraded() -> None:
    """A lost link is named with its reason."""
    data = status(settled(standby()), up=False)
    assert data["condition"] == "degraded"
    assert {link["state"] for link in data["links"]} == {"down"}
    assert all("no carrier" in link["detail"] for link in data["links"])


def test_maintenance_is_a_reason() -> None:
    """In maintenance nothing is taken over, and the status says why."""
    bench = settled(standby())
    bench.ask_maintenance(on=True)
    assert "maintenance" in codes(status(bench)["takeover"]["reasons"])


def test_a_silent_peer_is_critical() -> None:
    """While the peer is silent there is nobody to take over from or to."""
    data = status(silent())
    assert data["condition"] == "critical"
    assert "peer_not_there" in codes(data["takeover"]["reasons"])


def test_never_heard_is_critical_and_inactive_is_named() -> None:
    """A node alone after boot says that its group is active nowhere."""
    bench = Bench()
    bench.stopped()
    data = status(bench)
    assert data["condition"] == "critical"
    assert "inactive_web" in codes(data["alarms"])


def test_the_peers_refusal_is_passed_on() -> None:
    """The active says why its peer could not take the group, in the peer's own words."""
    bench = settled(active())
    bench.hear(says(Role.BLOCKED, term=1, promotable=False, reason=14))
    reasons = status(bench)["takeover"]["reasons"]
    assert codes(reasons) == ["peer_not_promotable"]
    assert "disk" in reasons[0]["text"]


def test_a_node_that_clears_up_cannot_take_over() -> None:
    """Until a new agent knows that nothing runs there, either node says that it would not work."""
    bench = settled(active())
    bench.hear(says(Role.ASSESSING, term=1))
    assert codes(status(bench)["takeover"]["reasons"]) == ["assessing"]
    bench.hear(says(Role.STANDBY, term=1))
    assert codes(status(bench)["takeover"]["reasons"]) == []
    fresh = Bench()
    fresh.hear(says(Role.ACTIVE, term=1, held_term=1))
    assert "assessing" in codes(status(fresh)["takeover"]["reasons"])


def test_one_way_loss_is_named() -> None:
    """A peer that does not hear us on a link says so, and the status names it."""
    bench = settled(standby())
    deaf = (LinkReport(9, 10), LinkReport(0, AGE_NEVER_MS))
    for number in range(2):
        bench.hear(says(Role.ACTIVE, term=1, held_term=1), link=number, links=deaf)
    link = status(bench)["links"][1]
    assert link["state"] == "degraded"
    assert "one-way" in link["detail"]


def test_resources_that_do_not_run_are_alarms() -> None:
    """Whatever is not ACTIVE on the holder, or STANDBY beside it, is named; the rest is shown."""
    held = [{"db": Reading(Condition.ACTIVE), "app": Reading(Condition.FAILED, "exit 3")}]
    told = status(settled(active()), readings=held)
    assert codes(told["alarms"]) == ["resource_web_app"]
    assert "app of web: failed exit 3" in told["alarms"][0]["text"]
    assert [each["name"] for each in told["groups"][0]["resources"]] == ["db", "app"]
    resting = [{"db": Reading(Condition.STANDBY), "log": Reading(Condition.STOPPED)}]
    told = status(settled(standby()), readings=resting)
    assert codes(told["alarms"]) == ["resource_web_log"]


def test_who_returns_is_told() -> None:
    """What became of a group while this node was down stands with the group."""
    told = status(settled(standby()), returned={"web": "was active here"})
    assert told["groups"][0]["returned"] == "was active here"
    assert codes(told["alarms"]) == []


def test_a_node_that_nothing_guards_is_an_alarm() -> None:
    """A takeover would work all the same."""
    told = status(settled(standby()), unguarded="no hardware watchdog")
    assert codes(told["alarms"]) == ["watchdog"]


def test_a_black_box_that_records_nothing_is_an_alarm_and_keeps_nobody_from_a_takeover() -> None:
    """Its disk is full: a person should look, and everything else works."""
    told = status(settled(standby()), unrecorded="No space left on device")
    assert codes(told["alarms"]) == ["black_box"]
    assert told["takeover"]["possible"]


def test_witnesses() -> None:
    """Each is shown; one that is silent is an alarm, and a reason when too few are left."""
    there = WitnessState("etcd", "etcd", "yes", "answers", ignored=False, chooses=True)
    lost = replace(there, name="far", word="silent", detail="no answer within 0.5 s")
    bench = settled(standby(witnessed=True))
    fine = status(bench, witnesses=[there])
    assert fine["condition"] == "fine"
    assert fine["witnesses"][0]["name"] == "etcd"
    degraded = status(bench, witnesses=[there, there, lost])
    assert codes(degraded["alarms"]) == ["witness_far"]
    assert degraded["takeover"]["possible"]
    barred = status(bench, witnesses=[lost])
    assert codes(barred["takeover"]["reasons"]) == ["witness_unreachable"]
    ignored = status(bench, witnesses=[replace(lost, ignored=True)])
    assert ignored["takeover"]["possible"]
    (alarm,) = ignored["alarms"]
    assert alarm["text"].endswith("it is left out of the count")
    holder = status(settled(active(witnessed=True)), witnesses=[lost])
    assert holder["takeover"]["possible"]


def test_what_the_peer_runs() -> None:
    """The peer's frames tell its version, and whether it has the same configuration."""
    bench = settled(standby())
    says_active = says(Role.ACTIVE, term=1, held_term=1)
    bench.hear(says_active, release=0x02010003)
    peer = status(bench)["peer_state"]
    assert (peer["version"], peer["configuration_agrees"]) == ("2.1.3", True)
    bench.hear(says_active, configuration_hash=b"x" * 16)
    peer = status(bench)["peer_state"]
    assert (peer["version"], peer["configuration_agrees"]) == ("", False)
