# SPDX-License-Identifier: GPL-2.0-or-later
"""What must hold of every takeover, by those who have no part in it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from hil.watch import TAKEOVER_LIMIT_S, orders, power_entry

if TYPE_CHECKING:
    from hil.http_client import HttpClient
    from hil.lab import Lab
    from hil.machine import Machine
    from hil.pairs import Pair, S


def taken_over(
    lab: Pair[S], lost: S, gains: S, fault_ns: int, *, limit_s: float = TAKEOVER_LIMIT_S
) -> int:
    """Wait for a takeover after a fence and check it; return when it was first seen (ns).

    S1: once the new holder was seen, nobody else answered for the address. S2: before that, the
    old holder's power was off, and was read as off. S9: nobody else was shot.

    Raises:
        AssertionError: One of these did not hold, or there was no takeover.
    """
    first_ns = first_seen(lab, gains, fault_ns, limit_s)
    was_off = power_entry(lab, lost, fault_ns, what="power", state="off")
    read_off = power_entry(lab, lost, fault_ns, what="read", state="off")
    assert was_off is not None, f"{lost.name} never lost its power"
    assert was_off["at_ns"] < first_ns, f"{gains.name} was seen before {lost.name} was off"
    assert read_off is not None, f"{lost.name} was never read as off"
    assert read_off["at_ns"] < first_ns, f"{gains.name} was seen before {lost.name} was read as off"
    gained_alone(lab, gains, fault_ns, first_ns)
    return first_ns


def first_seen(lab: Pair[S], gains: S, fault_ns: int, limit_s: float) -> int:
    """Wait until a machine serves and has the address; return when the first of both was seen (ns).

    Raises:
        NotSeenError: It does not come to that.
    """
    served = lab.client.wait_served(limit_s, after_ns=fault_ns, by=gains.name)
    seen = lab.observer.wait_holder(gains.mac, TAKEOVER_LIMIT_S, after_ns=fault_ns)
    return min(int(seen["at_ns"]), int(served["at_ns"]))


def gained_alone(lab: Pair[S], gains: S, fault_ns: int, first_ns: int) -> None:
    """Check that nobody else has the address since it was first seen there (S1), and S9.

    Raises:
        AssertionError: It was otherwise.
    """
    held_alone(lab, gains, first_ns)
    assert not orders(lab, fault_ns, gains), f"{gains.name} was shot at as well"


def held_alone(lab: Pair[S], holder: S, after_ns: int) -> None:
    """Check that only one machine answered for the address after a time, and it did answer.

    Raises:
        AssertionError: It was otherwise.
    """
    lab.observer.wait_holder(holder.mac, TAKEOVER_LIMIT_S, after_ns=after_ns - 1)
    holders = lab.observer.holders(after_ns - 1)
    assert holders == [holder.mac], f"held by {holders}, not by {holder.mac} ({holder.name}) alone"
    nodes = {
        answer["node"]
        for answer in lab.client.record.since(after_ns)
        if answer["sent_ns"] > after_ns
    }
    assert nodes <= {holder.name}, f"the client was served by {nodes}"


def undisturbed(lab: Pair[S], active: S, after_ns: int, *, gap_ms_max: float) -> None:
    """Check that since a time nobody was shot, the address stayed and the client was served.

    Args:
        lab: The pair.
        active: Who holds the service.
        after_ns: Since when.
        gap_ms_max: Longest time without an answer; it allows for a loaded machine.

    Raises:
        AssertionError: It was otherwise.
    """
    shots = orders(lab, after_ns)
    assert not shots, f"somebody was shot: {shots}"
    held_alone(lab, active, after_ns)
    # A gap has an end: whoever stands still just now is to be seen, too.
    lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=time.monotonic_ns(), by=active.name)
    gap_ms = lab.client.outage_ms(after_ns)
    assert gap_ms < gap_ms_max, f"the client was not served for {gap_ms:.0f} ms"


def lost_in_flight_only(lab: Lab, browser: HttpClient, gains: Machine, after_ns: int) -> None:
    """Check what a move of the address cost a browser that has finished.

    Lost is at most what the old holder had accepted and not yet answered when the address left;
    what was begun later, also while nobody had the address, was answered.

    Raises:
        AssertionError: More was lost.
    """
    arrived = lab.observer.wait_holder(gains.mac, TAKEOVER_LIMIT_S, after_ns=after_ns)
    in_flight = {entry["number"] for entry in browser.open_at(arrived["at_ns"])}
    lost = browser.lost()
    assert {entry["number"] for entry in lost} <= in_flight, lost


def never_both(lab: Lab, name: str = "nginx") -> None:
    """Check that a service never ran, or may have run, on two powered machines (S1).

    It may run from the beginning of a start until a stop has ended well, or until the power is off.

    Raises:
        AssertionError: It did.
    """
    turns = {("start", "begins"): True, ("stop", "0"): False}
    told = [
        (entry["at_ns"], entry["node"], turns[entry["action"], entry["what"]])
        for entry in lab.services.record.since()
        if entry["name"] == name and (entry["action"], entry["what"]) in turns
    ]
    offs = [
        (entry["at_ns"], entry["node"], False)
        for entry in lab.power.since()
        if entry["what"] == "power" and entry["state"] == "off"
    ]
    one_at_a_time([*told, *offs])


def one_at_a_time(turns: Iterable[tuple[int, str, bool]], running: Iterable[str] = ()) -> None:
    """Check that nothing may have run on two machines at once.

    Args:
        turns: When (ns) on which machine it came to be possible (True), or impossible.
        running: Where it ran before all of them.

    Raises:
        AssertionError: It may.
    """
    may_run = set(running)
    for _, node, begins in sorted(turns):
        if begins:
            may_run.add(node)
            assert len(may_run) == 1, f"the service may run on {sorted(may_run)} at once"
        else:
            may_run.discard(node)
