# SPDX-License-Identifier: GPL-2.0-or-later
"""How long a device has to go on reading off before it is believed.

As configured (`off_settle`), or less where it was measured: a machine that was alive when it was
shot, in a drill or from the console, is heard until it is really off. The time between the
device's first "off" and that last sign of life is what this device is too early by.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import structlog

from fencing import DeviceSettings
from fencing.drivers import cuts_power

FACTOR = 2.0
MARGIN_S = 0.25
"""The settle time after a measured lag: twice the worst lag seen, and a margin of more than two
heartbeats, because a machine is only heard every 100 ms."""
KEPT_MAX = 10
"""Measurements of a device; older ones are of an older firmware."""
ALIVE_NS = 500_000_000
"""A machine not heard for so long before the order may have been dead: that measures nothing."""
BYTES_MAX = 1_000_000

_log = structlog.get_logger()


class Shot(Protocol):
    """One device's part in a proved fence; a DeviceStep is one."""

    @property
    def device(self) -> str:
        """Its name."""

    @property
    def ordered_ns(self) -> int | None:
        """When the order was about to leave, monotonic."""

    @property
    def first_off_ns(self) -> int | None:
        """When the query was about to leave that first read off, monotonic."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One power-off of a machine that was alive."""

    lag_s: float
    """From the first reading that said off to the last sign of life; 0 if that came before."""
    unix_s: float
    """When, wall clock, for people."""


class SettleTimes:
    """The settle time of every device, with the measurements that shorten it.

    Args:
        path: Where measurements are kept: a JSON object, device fingerprint -> measurements. What
            cannot be read counts as not measured, which is slower and never less safe.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._measured = _load(path)

    def settle_s(self, device: DeviceSettings) -> float:
        """Seconds between the second off reading and the one that completes the proof."""
        measured = self._measured.get(_fingerprint(device))
        if not measured:
            return device.off_settle_s
        worst_s = max(one.lag_s for one in measured)
        return min(device.off_settle_s, FACTOR * worst_s + MARGIN_S)

    def learn(
        self, devices: Iterable[DeviceSettings], shots: Iterable[Shot], heard_ns: int | None
    ) -> bool:
        """Take a fence whose machine was alive for a measurement of each device that proved it.

        Args:
            devices: Settings of the fence's devices.
            shots: Of the level that was proved off.
            heard_ns: When the machine was last heard, monotonic.

        Returns:
            Whether there is something new to be saved.
        """
        # A machine that lost a disk goes on speaking, and its key was gone at once all the same.
        by_name = {device.name: device for device in devices if cuts_power(device)}
        learned = False
        for shot in shots:
            if shot.ordered_ns is None or shot.first_off_ns is None or heard_ns is None:
                continue
            if shot.device not in by_name or heard_ns < shot.ordered_ns - ALIVE_NS:
                continue
            lag_s = max(heard_ns - shot.first_off_ns, 0) / 1e9
            fingerprint = _fingerprint(by_name[shot.device])
            before = self._measured.get(fingerprint, ())
            now = (*before, Measurement(lag_s, time.time()))
            self._measured[fingerprint] = now[-KEPT_MAX:]
            _log.info("fence.settle_measured", device=shot.device, lag_ms=lag_s * 1e3)
            learned = True
        return learned

    @property
    def last_unix_s(self) -> float | None:
        """When a device was last measured, which is when it read off; None: never."""
        return max((one.unix_s for kept in self._measured.values() for one in kept), default=None)

    def save(self) -> None:
        """Write what was learned; blocks. A failure costs the next agent a slower fence."""
        text = json.dumps({key: [asdict(m) for m in kept] for key, kept in self._measured.items()})
        fresh = self._path.with_suffix(".new")
        try:
            fresh.write_text(text)
            fresh.replace(self._path)
        except OSError as error:
            _log.warning("fence.settle_not_saved", path=str(self._path), reason=error.strerror)


def _fingerprint(device: DeviceSettings) -> str:
    """Changes with whatever may make it another device; the account does not."""
    what = [device.name, device.driver, device.address, sorted(device.options.items())]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:32]


def _load(path: Path) -> dict[str, tuple[Measurement, ...]]:
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(BYTES_MAX))
        return {
            str(key): tuple(Measurement(float(m["lag_s"]), float(m["unix_s"])) for m in kept)
            for key, kept in document.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
