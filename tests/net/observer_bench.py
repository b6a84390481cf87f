# SPDX-License-Identifier: GPL-2.0-or-later
"""Three observers on the LAN of a pair in namespaces, run as an operator would run them."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from hil.agent import Agent
from hil.clock import Clock, under
from hil.lab import Lab
from hil.namespaces import inside
from hil.network import Port
from hil.pair import Options
from hil.processes import DIE_WITH_US, module, slowed
from hil.watch import READY_LIMIT_S, ready

Build = Callable[[Options], Lab]
ADDRESSES = {"gamma": "192.0.2.61", "delta": "192.0.2.62", "epsilon": "192.0.2.63"}
DEADLINE = "4s"
LEASE_S = 5
"""And so long they are young; above the fence's deadline."""
YOUNG_LIMIT_S = LEASE_S + READY_LIMIT_S
TABLES = "".join(
    f"""
[[witness]]
kind = "observer"
name = "{name}"
address = "{address}"
lease = "{LEASE_S}s"
"""
    for name, address in ADDRESSES.items()
)


class Observers:
    """The three machines and what runs there.

    Args:
        pair: Whom they observe.
        clocks: Each has a wall clock of its own.
    """

    def __init__(self, pair: Lab, *, clocks: bool = False) -> None:
        self._pair = pair
        self.clocks = {n: Clock(pair.directory / f"{n}.clock") for n in ADDRESSES if clocks}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._places: dict[str, int] = {}
        for number, (name, address) in enumerate(ADDRESSES.items()):
            cable = Port("lan", "eth0", f"02:00:00:00:06:{number:02x}", (f"{address}/24",))
            self._places[name] = pair.attach(name, (cable,))

    def start(self, name: str) -> None:
        """Start the one there, which does not run."""
        clock = under(str(self.clocks[name].file)) if name in self.clocks else ()
        observe = ("observe", "--config", str(self._pair.configuration), "--name", name)
        with (self._pair.directory / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                [*DIE_WITH_US, *inside(self._places[name]), *clock, *module("haagent", *observe)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        """SIGKILL."""
        process = self._running.pop(name)
        process.kill()
        process.wait()

    def stop(self, name: str) -> None:
        """SIGSTOP: what is asked waits in its socket."""
        self._running[name].send_signal(signal.SIGSTOP)

    def cont(self, name: str) -> None:
        """SIGCONT: it answers whatever waits there."""
        self._running[name].send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End all."""
        for name in tuple(self._running):
            self.kill(name)

    def slow(self) -> AbstractContextManager[None]:
        """All of them stand still most of the time, so each answer takes its while."""
        return slowed([process.pid for process in self._running.values()])


@contextmanager
def pair_with_observers(build: Build, *, probe: bool = False) -> Iterator[tuple[Lab, Observers]]:
    """A pair that is switched on, and three observers on its LAN."""
    timing: dict[str, str | int] = {"fence_retry": "1s"}
    options = Options(timing=timing, check_every="1s", deadline=DEADLINE, more=TABLES, probe=probe)
    pair = build(options)
    observers = Observers(pair)
    try:
        for name in ADDRESSES:
            observers.start(name)
        pair.power_on()
        yield pair, observers
    finally:
        observers.close()


def grown(pair: Lab, names: int) -> None:
    """Wait until so many observers answer, and are old enough to agree to something."""
    deadline_s = time.monotonic() + LEASE_S + 1
    active, standby = ready(pair)
    for machine in (active, standby):
        Agent(machine).wait(
            lambda s: (
                sum(w["word"] == "yes" for w in s["witnesses"]) == names
                and time.monotonic() > deadline_s
            ),
            YOUNG_LIMIT_S,
            f"{names} observers that answer",
        )
