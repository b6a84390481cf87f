# SPDX-License-Identifier: GPL-2.0-or-later
"""The power of the machines: what the BMCs order, done and recorded outside of all agents.

`ipmi_sim` runs a command for every order and waits for it, so that command must be quick: it is
three lines of shell, which pass the order through a pipe to a thread of the lab.
"""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass
from enum import Enum, auto
from itertools import count
from pathlib import Path
from typing import Protocol

from hil.errands import Errands
from hil.record import Record

# A stale answer (the script before was killed) is passed over by the process id in it.
_SCRIPT = """\
#!/bin/sh
# Usage: chassis.sh 0x20 get power | set power 0|1 | set reset 1 | set shutdown 1
shift
echo "$$ $*" > {orders}
while read -r id answer < {answers}; do [ "$id" = "$$" ] && break; done
[ "$answer" = failed ] && exit 1
echo "$answer"
"""


class Powered(Protocol):
    """What such a switch switches."""

    @property
    def is_on(self) -> bool:
        """Whether it has power."""

    @property
    def name(self) -> str:
        """Of the machine."""

    def power_on(self) -> None:
        """Give it power; it has some already: nothing."""

    def power_off(self) -> None:
        """Cut its power: everything in it is dead when this returns."""


class Fault(Enum):
    """What can be wrong with a BMC that answers."""

    NONE = auto()
    ACK_ONLY = auto()
    """Says yes to a power-off and does nothing."""
    OFF_LATE = auto()
    """Carries a power-off out only after a while."""
    LIE = auto()
    """Says off from the order on, and does nothing."""
    REFUSE = auto()
    """Answers a power-off with an error."""
    SLOW = auto()
    """Takes a while for every single answer."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a BMC behaves."""

    fault: Fault = Fault.NONE
    seconds: float = 0.0
    """For OFF_LATE and SLOW."""


class PowerSwitch:
    """Behind one BMC: carries out its orders on one machine, and keeps the record of them.

    Entries of the record: `order` (from the BMC: power_off, power_on, reset, shutdown), `read`
    (with the answer given: on, off) and `power` (on, off: what is now true).
    """

    def __init__(self, machine: Powered, record: Record, directory: Path) -> None:
        self.behaviour = Behaviour()
        self._machine = machine
        self._record = record
        self._lock = threading.RLock()
        self._lying = False
        self._late = threading.Timer(0, lambda: None)
        """The power-off that OFF_LATE still has to carry out."""
        self._closing = threading.Event()
        self._machine_wanted = False
        """The machine is to be booted once the BMC has its answer."""
        self._asked: dict[str, queue.SimpleQueue[str]] = {}
        """Who waits for an answer in this process."""
        self._numbers = count()
        directory.mkdir(parents=True)
        self.script = directory / "chassis.sh"
        """The command for ipmi_sim's chassis_control."""
        self._errands = Errands(self.script, _SCRIPT)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def switch(self, *, on: bool) -> int:
        """Switch the power as a hand at the plug would; return when it began (monotonic ns)."""
        at_ns = time.monotonic_ns()
        with self._lock:
            self._machine_wanted = False
            if on:
                # What is true from the start of the boot on is told at its start.
                self._tell("power", state="on")
                self._machine.power_on()
            else:
                self._machine.power_off()
                self._tell("power", state="off")
        return at_ns

    def obey(self, order: str) -> str:
        """Carry out an order of a BMC that is in this process, in turn with those of ipmi_sim.

        Args:
            order: As for the script: "get power", "set power 0".

        Returns:
            What the script prints: "power:1", "done", "failed".
        """
        caller = f"here-{next(self._numbers)}"
        answer = self._asked[caller] = queue.SimpleQueue()
        self._errands.orders.write(f"{caller} {order}\n".encode())
        return answer.get()

    def close(self) -> None:
        """Stop obeying; the machine stays as it is."""
        self._closing.set()
        self._late.cancel()
        self._errands.orders.write(b"\n")
        self._thread.join()
        if self._late.is_alive():  # too late to be called off
            self._late.join()
        self._errands.close()

    def _serve(self) -> None:
        buffer = b""
        while True:
            buffer += self._errands.orders.read(4096)
            *lines, buffer = buffer.split(b"\n")
            for line in lines:
                if not line:
                    return
                caller, *order = line.decode().split()
                answer = self._obey(" ".join(order))
                if caller in self._asked:
                    self._asked.pop(caller).put(answer)
                else:
                    self._errands.answer(f"{caller} {answer}")
                if self._machine_wanted and not self._machine.is_on:
                    # In this thread, since a machine dies with the thread that started it.
                    self.switch(on=True)

    def _obey(self, order: str) -> str:
        if self.behaviour.fault is Fault.SLOW:
            # A slow BMC is what is asked for here: the delay is the fault.
            self._closing.wait(self.behaviour.seconds)
        match order:
            case "get power":
                state = "off" if self._lying or not self._machine.is_on else "on"
                self._tell("read", state=state)
                return f"power:{int(state == 'on')}"
            case "set power 0":
                self._tell("order", order="power_off")
                return self._order_off()
            case "set power 1":
                self._tell("order", order="power_on")
                self._lying = False
                self._late.cancel()  # the later order counts
                self._machine_wanted = True
                return "done"
            case "set reset 1":
                self._tell("order", order="reset")
                self.switch(on=False)
                self._machine_wanted = True
                return "done"
            case _:
                self._tell("order", order=order)
                return "failed"

    def _order_off(self) -> str:
        match self.behaviour.fault:
            case Fault.ACK_ONLY:
                return "done"
            case Fault.REFUSE:
                return "failed"
            case Fault.LIE:
                self._lying = True
                return "done"
            case Fault.OFF_LATE:
                # An order that is repeated changes nothing of the one under way.
                if self._machine.is_on and not self._is_late():
                    self._late = threading.Timer(
                        self.behaviour.seconds, self.switch, kwargs={"on": False}
                    )
                    self._late.daemon = True
                    self._late.start()
                return "done"
            case Fault.NONE | Fault.SLOW:
                self.switch(on=False)
                return "done"

    def _is_late(self) -> bool:
        return self._late.is_alive() and not self._late.finished.is_set()

    def _tell(self, what: str, **details: object) -> None:
        self._record.add({"what": what, "node": self._machine.name, **details})
