# SPDX-License-Identifier: GPL-2.0-or-later
"""One failover, put together from all who saw it, and what must hold of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.agent import Agent
from hil.timeline import between
from hil.watch import TAKEOVER_LIMIT_S, orders, power_entry, wait_powered, wait_standby

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.machine import Machine
    from hil.record import Entry
    from hil.stage import Stage

MARKS = {
    "last_frame": "hears the last frame of {peer}",
    "suspect": "suspects {peer} and gathers evidence",
    "gates": "dead_after is over: the gates are asked",
    "fence_ordered": "all gates say yes: orders {peer} off",
    "confirmed_off": "has the proof: {peer} read back as off",
    "granted": "takes the next term and writes it to the disk",
    "start_ordered": "starts the group",
    "vip_added": "has the virtual address",
    "announced": "announces it",
    "active": "is active",
    "power_on_ordered": "gives {peer} its power back",
    "peer_back": "hears {peer} again, as standby",
}
"""The agent's own moments, by their names in `haagent history`."""
OVERHEAD_NS_MAX = 1_000_000_000
"""What a client may lose beyond the last frame, dead_after and the BMC, on a loaded machine."""
DEAD_AFTER_NS = 1_000_000_000


def tell_failover(
    stage: Stage,
    lost: Machine,
    gains: Machine,
    fault_ns: int,
    *,
    mend: Callable[[], None] | None = None,
) -> None:
    """Wait for the takeover and the peer's return; note every moment; check what must hold.

    Args:
        stage: Where it plays.
        lost: The active that is to be shot.
        gains: The standby that is to take over.
        fault_ns: When it began, monotonic.
        mend: Called after the takeover, if the peer could not return otherwise.
    """
    lab = stage.lab
    served = lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=fault_ns, by=gains.name)
    wait_powered(lab, lost, fault_ns)
    if mend is not None:
        mend()
    stage.say(f"{gains.name} serves, {lost.name} has power again: waiting for it to return.")
    wait_standby(lost)
    marks = _marks(gains, fault_ns)
    for name, at_ns in marks.items():
        if name in MARKS:
            text = MARKS[name].format(peer=lost.name)
            stage.note(at_ns, "agent", f"{gains.name} {text}")
    _tell_gates(stage, gains, fault_ns)
    outage = lab.client.outage(fault_ns, served["at_ns"])
    stage.note(outage[0], "client", f"last answer of {lost.name}")
    stage.note(served["at_ns"], "client", f"first answer of {gains.name}")
    off = _tell_power(stage, lost, fault_ns)
    seen = lab.observer.wait_holder(gains.mac, TAKEOVER_LIMIT_S, after_ns=fault_ns)
    announced = lab.observer.first_announcement(gains.mac, fault_ns)
    if announced is not None:
        stage.note(announced["at_ns"], "observer", f"{gains.mac} announces the address")
    stage.phases += _phases(stage, gains, lost, fault_ns, marks, served)
    stage.phases.append(("client's outage", (outage[1] - outage[0]) / 1e6))
    _check(stage, lost, gains, fault_ns, off, seen)


def _marks(gains: Machine, fault_ns: int) -> dict[str, int]:
    """The moments of the failover as the agent remembers them, {} if it does not."""
    for record in reversed(Agent(gains).history()):
        marks: dict[str, int] = record["marks_ns"]
        if record["kind"] == "failover" and max(marks.values()) > fault_ns:
            return marks
    return {}


def _tell_gates(stage: Stage, gains: Machine, fault_ns: int) -> None:
    """Note what the agent asked itself before it fired, from its own log."""
    said: list[str] = []
    for event in gains.agent_events():
        at_ns = event.get("at_ns")
        if not isinstance(at_ns, int) or at_ns < fault_ns:
            continue
        if event.get("cause") == "EvidenceGathered" and event["event"] == "core.took":
            connected = "alive" if event["connected"] else "dead"
            serving = "still answers" if event["serving"] else "silent or not probed"
            text = f"{gains.name}'s evidence: own network {connected}, service {serving}"
        elif event["event"] == "pair.changed" and event.get("reasons"):
            reasons = event["reasons"]
            assert isinstance(reasons, list)
            text = f"{gains.name}'s gates say no: {', '.join(reasons)}"
        else:
            continue
        if text not in said:  # it asks again all the time
            said.append(text)
            stage.note(at_ns, "agent", text)


def _tell_power(stage: Stage, lost: Machine, fault_ns: int) -> Entry | None:
    """Note what the BMC was asked and answered; return the proof: the first reading off."""
    order = power_entry(stage.lab, lost, fault_ns, what="order", order="power_off")
    off = power_entry(stage.lab, lost, fault_ns, what="power", state="off")
    ordered_ns = order["at_ns"] if order else fault_ns
    read = power_entry(stage.lab, lost, ordered_ns, what="read", state="off")
    back = power_entry(stage.lab, lost, fault_ns, what="order", order="power_on")
    booted = power_entry(stage.lab, lost, fault_ns, what="power", state="on")
    told = (
        (order, f"{lost.name}'s BMC is ordered: off"),
        (off, f"{lost.name} is off: all in it is dead, its ports are down"),
        (read, f"{lost.name}'s BMC is asked and answers: off"),
        (back, f"{lost.name}'s BMC is ordered: on"),
        (booted, f"{lost.name} boots"),
    )
    for entry, text in told:
        if entry is not None:
            stage.note(entry["at_ns"], "power", text)
    return read


def _phases(  # noqa: PLR0913, PLR0917  # all who saw it
    stage: Stage,
    gains: Machine,
    lost: Machine,
    fault_ns: int,
    marks: dict[str, int],
    served: Entry,
) -> list[tuple[str, float]]:
    announced = stage.lab.observer.first_announcement(gains.mac, fault_ns)
    order = power_entry(stage.lab, lost, fault_ns, what="order", order="power_off")
    return between(
        [
            ("last frame", marks.get("last_frame")),
            ("silence to suspect", marks.get("suspect")),
            ("suspect to decision", marks.get("gates")),
            ("decision to fence order", order["at_ns"] if order else marks.get("fence_ordered")),
            ("fence order to confirmed off", marks.get("confirmed_off")),
            ("term and start", marks.get("vip_added")),
            ("address to announcement", announced["at_ns"] if announced else None),
            ("announcement to first answer", served["at_ns"]),
        ]
    )


def _check(  # noqa: PLR0913, PLR0917  # all who saw it
    stage: Stage, lost: Machine, gains: Machine, fault_ns: int, off: Entry | None, seen: Entry
) -> None:
    lab = stage.lab
    stage.check(held=True, text=f"{gains.name} took over and the client is served again")
    proved = off is not None and off["at_ns"] < seen["at_ns"]
    stage.check(proved, f"{lost.name} was read back as off before anybody saw {gains.name}'s claim")
    holders = lab.observer.holders(seen["at_ns"] - 1)
    stage.check(
        holders == [gains.mac], "never did two answer for the address", f"{len(holders)} holder"
    )
    shots = [node for node, order in orders(stage.lab, fault_ns) if order == "power_off"]
    # Sent again over the network, one order may arrive twice; being off already is no error.
    stage.check(set(shots) <= {lost.name}, f"nobody but {lost.name} was shot")
    back = power_entry(stage.lab, lost, seen["at_ns"], what="order", order="power_on")
    stage.check(back is not None, f"only then was {lost.name} given its power back")
    stage.check(lost.boots > 1, f"{lost.name} came back as standby", f"boot {lost.boots}")
    start_ns, end_ns = lab.client.outage(fault_ns, None)
    grace_ns = _grace_ns(stage)
    limit_ns = DEAD_AFTER_NS + grace_ns + OVERHEAD_NS_MAX
    stage.check(
        end_ns - start_ns <= limit_ns,
        "the client's outage was little more than the detection time",
        f"{(end_ns - start_ns) / 1e6:.0f} ms",
    )


def _grace_ns(stage: Stage) -> int:
    grace = stage.lab.options.timing.get("serving_grace") if stage.lab.options.probe else None
    return int(str(grace).removesuffix("s")) * 1_000_000_000 if grace else 0
