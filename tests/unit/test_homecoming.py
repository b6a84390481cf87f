# SPDX-License-Identifier: GPL-2.0-or-later
"""A node that was fenced while it held a group learns what became of it, once."""

from __future__ import annotations

from core.harness import Bench, promise, says

from haagent.core.effects import GroupRecord, Record
from haagent.core.phases import Active
from haagent.core.wire import GroupReport, Role
from haagent.homecoming import Homecoming
from haagent.hooks import Happening, Occasion

HELD = Record(groups=(("web", GroupRecord(5, held=True, held_term=5)),))
TAKEN = says(Role.ACTIVE, term=6, held_term=6)


def heard(bench: Bench, homecoming: Homecoming, report: GroupReport) -> list[Happening]:
    """The peer says this."""
    before = bench.state
    bench.hear(report)
    return list(homecoming.observe(before, bench.state))


def test_told_once() -> None:
    """In words for the status and as an event for the hook; later frames say nothing new."""
    bench, homecoming = Bench(record=HELD), Homecoming(HELD, same_boot=False, peer="alpha")
    (told,) = heard(bench, homecoming, TAKEN)
    text = (
        "was active here in term 5 when this node went down; "
        "alpha took over and is active in term 6"
    )
    assert told == Happening(Occasion.STANDBY, "web", 6, "returned", text)
    assert homecoming.told == {"web": text}
    assert heard(bench, homecoming, TAKEN) == []


def test_nothing_to_tell() -> None:
    """Handed over before, restarted in one boot, or not taken over (yet): no word."""
    cases = [
        (Record(groups=(("web", GroupRecord(5, held=False, held_term=5)),)), False, TAKEN),
        (HELD, True, TAKEN),
        (HELD, False, says(Role.STANDBY, term=5)),
        (HELD, False, says(Role.ACTIVE, term=5, held_term=5)),
        (HELD, False, says(Role.ACTIVE, name="other", term=9)),
    ]
    for record, same_boot, report in cases:
        bench, homecoming = Bench(), Homecoming(record, same_boot=same_boot, peer="alpha")
        assert heard(bench, homecoming, report) == []
        assert homecoming.told == {}


def test_forgotten_when_the_group_is_back() -> None:
    """Active here again there is nothing left to say."""
    bench, homecoming = Bench(record=HELD), Homecoming(HELD, same_boot=False, peer="alpha")
    heard(bench, homecoming, TAKEN)
    assert homecoming.told
    bench.stopped()
    bench.hear(TAKEN)
    bench.ask_switchover()
    bench.hear(promise(bench))
    for done in (bench.persisted, bench.probed, bench.started):
        before = bench.state
        done()
        list(homecoming.observe(before, bench.state))
    bench.in_group(Active)
    assert homecoming.told == {}
