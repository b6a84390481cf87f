# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything that can befall a pair, as one list to draw from, and how all of it is mended."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from hil.agent import Agent
from hil.labs import Lab
from hil.pair import NODES
from hil.pdu.terminal import LineFaults
from hil.power import Behaviour, Fault
from hil.qemu.guest import Guest
from hil.qemu.lab import VirtualLab
from hil.qemu.proof import RETURN_LIMIT_S, ready
from hil.qemu.qmp import QmpError
from hil.qemu.supplies import OUTLETS
from hil.record import NotSeenError

PAUSE_S_MAX = 8.0
"""Between the first mishap and the second: detection, fence and takeover lie within."""
SIGN_OF_LIFE_LIMIT_S = 30.0

_SIGNAL = "systemctl kill --kill-whom=main --signal"

Mishap = Callable[[VirtualLab, Guest], object]


def _bmc(fault: Fault, seconds: float = 0.0) -> Mishap:
    def happen(lab: VirtualLab, guest: Guest) -> None:
        lab.switches[guest.name].behaviour = Behaviour(fault, seconds)

    return happen


def _deaf(lab: VirtualLab, guest: Guest) -> None:
    lab.supplies[guest.name].pdu.line.deaf = True


def _stuck(lab: VirtualLab, guest: Guest) -> None:
    lab.supplies[guest.name].pdu.relays.stuck = frozenset(OUTLETS[1:])


def _restarts(lab: VirtualLab, guest: Guest) -> None:
    lab.bmcs[guest.name].kill()
    lab.bmcs[guest.name].start()


def _noisy(lab: VirtualLab, guest: Guest) -> None:
    lab.supplies[guest.name].pdu.line.noise = 0.01


def _throw(command: str) -> Mishap:
    return lambda _, guest: guest.ssh.throw(command)


MISHAPS: dict[str, Mishap] = {
    "crash": lambda _, guest: guest.crash(),
    "freeze": lambda _, guest: guest.freeze(),
    "hang": lambda _, guest: guest.hang(),
    "reset": lambda _, guest: guest.qmp.order("system_reset"),
    "power loss": lambda lab, guest: lab.power_off(guest.name),
    "cord pulled": lambda lab, guest: lab.pull_cord(guest.name),
    "agent killed": _throw(f"{_SIGNAL}=KILL haagent.service"),
    "agent hangs": _throw(f"{_SIGNAL}=STOP haagent.service"),
    "lan cut": lambda lab, guest: lab.wiring.cut(guest, "lan"),
    "ring cut": lambda lab, guest: lab.wiring.cut(guest, "ring"),
    "lan does not send": lambda lab, guest: lab.wiring.lose_from(guest, "lan"),
    "ring does not send": lambda lab, guest: lab.wiring.lose_from(guest, "ring"),
    "management cut": lambda lab, guest: lab.wiring.cut(guest, "mgmt"),
    "BMC dead": lambda lab, guest: lab.bmcs[guest.name].kill(),
    "BMC does nothing": _bmc(Fault.ACK_ONLY),
    "BMC refuses": _bmc(Fault.REFUSE),
    "BMC is late": _bmc(Fault.OFF_LATE, 3.0),
    "BMC is slow": _bmc(Fault.SLOW, 5.0),
    "BMC restarts": _restarts,
    "PDU deaf": _deaf,
    "PDU noisy": _noisy,
    "outlet stuck": _stuck,
    "reboot": _throw("systemctl reboot"),
    "clock stepped": _throw("date --set '+1 year'"),
    "processor busy": _throw("timeout 30 sh -c 'while :; do :; done'"),
    "a third lost": _throw(
        "for card in eth0 eth1; do tc qdisc replace dev $card root netem loss 30%; done"
    ),
}


@dataclass(frozen=True, slots=True)
class Blow:
    """One mishap, to come."""

    what: str
    node: str
    after_s: float
    """From the one before."""


def draw(seed: int) -> tuple[Blow, ...]:
    """Two mishaps; a seed always gives the same."""
    dice = random.Random(seed)  # noqa: S311  # a draw that can be repeated
    return tuple(
        Blow(dice.choice(sorted(MISHAPS)), dice.choice(NODES), pause * dice.uniform(0, PAUSE_S_MAX))
        for pause in (0, 1)
    )


def strike(lab: VirtualLab, blow: Blow) -> None:
    """Have it happen; a server that is not there any more is spared."""
    guest = lab.machines[blow.node]
    with suppress(QmpError, NotSeenError):
        MISHAPS[blow.what](lab, guest)


def mend(lab: VirtualLab) -> tuple[Guest, Guest]:
    """Repair all, reset what gives no sign of life, as an operator would; return a ready pair.

    Raises:
        NotSeenError: It does not become ready.
    """
    lab.wiring.heal()
    for name, guest in lab.machines.items():
        lab.switches[name].behaviour = Behaviour()
        pdu = lab.supplies[name].pdu
        pdu.line = LineFaults()
        pdu.relays.stuck = frozenset()
        pdu.relays.switch(OUTLETS, on=True)
        if not lab.bmcs[name].is_running:
            lab.bmcs[name].start()
        if guest.is_on:
            guest.thaw()
    for name, guest in lab.machines.items():
        if not guest.is_on or not _lives(guest):
            lab.power_off(name)
            at_ns = lab.power_on(name)
            guest.wait_up(at_ns)
    return ready(lab, limit_s=RETURN_LIMIT_S)


def _lives(guest: Guest) -> bool:
    """Whether its agent, or at least its shell, answers."""
    try:
        Agent(guest).wait(lambda _: True, SIGN_OF_LIFE_LIMIT_S, "an answer")
    except NotSeenError:
        return False
    return True


def two_at_once(lab: Lab, after_ns: int = 0) -> list[str]:
    """S1: everybody who was seen with the address while another one had it.

    An address that goes from one to the other and back within three seconds was at both.
    """
    found: list[str] = []
    seen = lab.observer.sightings(after_ns)
    changes = [seen[0]] if seen else []
    for entry in seen:
        if entry["mac"] != changes[-1]["mac"]:
            changes.append(entry)
    for first, second, third in zip(changes, changes[1:], changes[2:], strict=False):
        if first["mac"] == third["mac"] and third["at_ns"] - second["at_ns"] < _AT_ONCE_NS:
            found.append(f"{first['mac']} and {second['mac']} at {second['at_ns']}")
    return found


_AT_ONCE_NS = 3_000_000_000
"""`dead_after` here: by a fence it takes longer, and the clients' network, by which a node hands
over, counts as lost after a second and as back after another one, before the stop and the start."""
