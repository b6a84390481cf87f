# SPDX-License-Identifier: GPL-2.0-or-later
"""One death of one contender's active server, told by those outside; and what it costs idle."""

from __future__ import annotations

import inspect
import os
import subprocess
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from hil.compare.contender import PACKAGES, READY_LIMIT_S, ready
from hil.compare.dual import contested_ns, served_by_both
from hil.qemu.image import image
from hil.qemu.mishaps import two_at_once
from hil.qemu.saved import going_on, kept
from hil.record import NotSeenError
from hil.watch import orders, power_entry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hil.compare.contender import Contender
    from hil.qemu.guest import Guest
    from hil.qemu.lab import VirtualLab
    from hil.record import Entry

DEATHS = ("crash", "freeze")
"""A kernel panic; all processors stopped, and thawed after the takeover if there is one left."""
RESUMED_LIMIT_S = 120.0
TAKEOVER_LIMIT_S = 120.0
"""Pacemaker needs about 20 s by default."""
SETTLE_S = 3.0
"""Undisturbed, before the fault: else the run says nothing."""
SETTLE_LIMIT_S = 20.0
"""Of a pair that is ready: its first answer after that time."""
THAW_AFTER_S = 5.0
"""From the new holder's first answer on."""
WATCH_S = {"crash": 1.0, "freeze": 8.0}
"""After that, for what must not happen."""
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Run:
    """What one death cost, milliseconds; None is what was not seen."""

    contender: str
    death: str
    load: float
    """Of the machine that carries it all, when it began."""
    invalid: str = ""
    """Why the run says nothing: the bench or the pair was not ready for the fault."""
    failed: str = ""
    """What the contender did not do."""
    outage_ms: float | None = None
    """The client's, from answer to answer."""
    detection_ms: float | None = None
    """Last answer to the first order at the BMC."""
    power_ms: float | None = None
    """That order to the end of the QEMU process."""
    takeover_ms: float | None = None
    """That end, or without a fence the last answer, to the address seen elsewhere."""
    service_ms: float | None = None
    """The address seen elsewhere to the first answer."""
    lived: bool = False
    """The frozen server was still there to be thawed."""
    dual: bool = False
    """Two hardware addresses answered for the address at once."""
    contested_ms: float = 0.0
    served_by_both: int = 0
    """Requests that the old server took between two that the new one took."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a contender uses on one node in one window while nothing happens."""

    contender: str
    node: str
    load: float
    cpu_percent: float
    """Of the emulated processor."""
    pss_mib: float
    processes: int


def pair(contender: Contender) -> VirtualLab:
    """A pair that was ready a moment ago with a contender on it, all power off."""
    system = image(PACKAGES)

    def prepare(lab: VirtualLab) -> None:
        contender.start(lab)
        ready(lab, contender, READY_LIMIT_S)

    inputs = [repr(contender).encode(), Path(inspect.getfile(type(contender))).read_bytes()]
    return going_on(system, kept(f"peer.{contender.name}", system, prepare, inputs))


def die(contender: Contender, death: str) -> Run:
    """Let the active server of a fresh pair die, and tell what was seen of it."""
    load = _load()
    with pair(contender) as lab:
        lab.power_on()
        try:
            active, standby = ready(lab, contender, RESUMED_LIMIT_S)
            _undisturbed(lab, active)
        except (NotSeenError, RuntimeError, subprocess.TimeoutExpired) as error:
            return Run(contender.name, death, load, invalid=str(error))
        frozen = active.pid
        fault_ns = active.crash() if death == "crash" else active.freeze()
        try:
            served = lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=fault_ns, by=standby.name)
        except NotSeenError as error:
            return Run(contender.name, death, load, failed=str(error))
        lived = False
        if death == "freeze":
            threading.Event().wait(THAW_AFTER_S)
            lived = active.is_on and active.pid == frozen and active.thaw()
        threading.Event().wait(WATCH_S[death])  # nothing is to happen: no event to wait for
        return _told(Run(contender.name, death, load, lived=lived), lab, active, fault_ns, served)


def _undisturbed(lab: VirtualLab, active: Guest) -> None:
    """Let a while pass in which nothing may happen.

    Raises:
        NotSeenError: Something did.
    """
    since_ns = time.monotonic_ns()
    lab.client.wait_served(SETTLE_LIMIT_S, after_ns=since_ns + int(SETTLE_S * _NS), by=active.name)
    holders = lab.observer.holders(since_ns)
    if holders != [active.mac] or orders(lab, since_ns):
        raise NotSeenError(f"before any fault: {holders}, orders {orders(lab, since_ns)}")


def _told(run: Run, lab: VirtualLab, active: Guest, fault_ns: int, served: Entry) -> Run:
    """Fill in what those outside saw."""
    standby = lab.other(active)
    start_ns, end_ns = lab.client.outage(fault_ns, served["at_ns"])
    seen = lab.observer.wait_holder(standby.mac, TAKEOVER_LIMIT_S, after_ns=fault_ns)
    order = power_entry(lab, active, start_ns, what="order")
    off = power_entry(lab, active, start_ns, what="power", state="off")
    before_off = start_ns if off is None else off["at_ns"]
    sightings = lab.observer.sightings(fault_ns)
    return replace(
        run,
        outage_ms=_ms(end_ns - start_ns),
        detection_ms=None if order is None else _ms(order["at_ns"] - start_ns),
        power_ms=None if order is None or off is None else _ms(off["at_ns"] - order["at_ns"]),
        takeover_ms=_ms(seen["at_ns"] - before_off),
        service_ms=_ms(end_ns - seen["at_ns"]),
        dual=bool(two_at_once(lab, fault_ns)),
        contested_ms=_ms(contested_ns(sightings, active.mac, standby.mac)),
        served_by_both=served_by_both(lab.client.record.since(fault_ns), active.name, standby.name),
    )


def _load() -> float:
    return round(os.getloadavg()[0], 1)


def _ms(duration_ns: int) -> float:
    return round(duration_ns / 1e6, 1)


def idle(contender: Contender, windows: int, window_s: float) -> Iterator[Cost]:
    """Measure a pair to which nothing happens: a figure for each node and window.

    Raises:
        NotSeenError: It was not ready.
    """
    with pair(contender) as lab:
        lab.power_on()
        active, _ = ready(lab, contender, RESUMED_LIMIT_S)
        _undisturbed(lab, active)
        lab.client.close()
        lab.observer.close()
        for _ in range(windows):
            before = {name: _used(guest, contender) for name, guest in lab.machines.items()}
            threading.Event().wait(window_s)
            for name, guest in lab.machines.items():
                at_ns, used_us, _, _ = before[name]
                then_ns, then_us, pss_kib, processes = _used(guest, contender)
                yield Cost(
                    contender.name,
                    name,
                    _load(),
                    round(100 * (then_us - used_us) * 1000 / (then_ns - at_ns), 2),
                    round(pss_kib / 1024, 1),
                    processes,
                )


# A process that has ended by then uses no memory: Pacemaker starts one for each look.
_USED = """\
for unit in {units}; do
  group=/sys/fs/cgroup$(systemctl show --property ControlGroup --value "$unit")
  sed -n 's/^usage_usec /cpu /p' "$group/cpu.stat"
  find "$group" -name cgroup.procs -exec cat {{}} +
done | while read -r word value; do
  if [ "$word" = cpu ]; then echo "cpu $value"
  else sed -n 's/^Pss: *\\([0-9]*\\) kB/pss \\1/p' "/proc/$word/smaps_rollup" || :
  fi
done
"""


def _used(guest: Guest, contender: Contender) -> tuple[int, int, int, int]:
    """When, ns; processor time of its units so far, us; their PSS now, KiB; their processes."""
    lines = guest.run("sh", "-c", _USED.format(units=" ".join(contender.units))).stdout
    at_ns = time.monotonic_ns()
    words = [line.split() for line in lines.splitlines()]
    used_us = sum(int(value) for word, value in words if word == "cpu")
    sizes = [int(value) for word, value in words if word == "pss"]
    return at_ns, used_us, sum(sizes), len(sizes)


def versions(contender: Contender) -> dict[str, str]:
    """Of its Debian packages, as the servers have them."""
    installed = image(PACKAGES).package.parent
    found = {}
    for package in contender.packages:
        (file,) = installed.rglob(f"{package}_*.deb")
        found[package] = unquote(file.name.split("_")[1])  # Debian's names are so made
    return found
