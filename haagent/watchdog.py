# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine's own watchdog: resets it when this agent hangs while it may hold a group (S7).

It is fed with the heartbeat, so what it watches is the loop itself: an agent that does not beat, or
whose every beat is late, is not fed for. Fed no more it resets the machine, which is what the peer
would do, and needs no BMC.

With `fence` it is the peer's last proof that this node is gone (S2 e): then it is fed only with the
right to, see haagent.feeding, and neither opened nor given more time without it.

An agent that ends in peace and holds nothing disarms it ("magic close"). One that is killed, or
that leaves its groups running for its successor, does not: if none comes in time, the machine is
reset. Source: Linux, Documentation/watchdog/watchdog-api.rst; sysfs-class-watchdog.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import structlog

from haagent.errors import EdgeError
from haagent.feeding import unfed_s
from haagent.host import boottime_ns
from haagent.pace import Pace

SYSFS = Path("/sys/class/watchdog")
SOFTWARE = "Software Watchdog"
"""softdog: it dies with the kernel that it is to watch, so it is taken only when asked for."""
FEED_NS = 1_000_000_000
"""Between two feedings; a tenth of the default timeout."""
LATE_PARTS = 4
"""A beat that is later than this part of the timeout feeds nothing: on the next one it depends."""

_SET_TIMEOUT, _GET_TIMEOUT, _KEEP_ALIVE = 0xC0045706, 0x80045707, 0x80045705
"""WDIOC_*. Source: Linux, include/uapi/linux/watchdog.h."""
_MAGIC = b"V"

Mode = Literal["off", "preferred", "required"]

log = structlog.get_logger()


class WatchdogError(EdgeError):
    """There is none, or it does not do what it must; the text is for the operator."""


@dataclass(frozen=True, slots=True)
class WatchdogSettings:
    """Which one, and what happens without it."""

    mode: Mode = "preferred"
    """"required": the agent does not run without one. "preferred": it alarms."""
    identity: str = ""
    """As in /sys/class/watchdog/*/identity; "": the first that is hardware."""
    timeout_s: int = 10
    """Unfed for so long it resets the machine; whole seconds, as the kernel has it."""
    fence: bool = False
    """An active that has lost the peer and the witnesses is not fed for, and the peer counts on
    that (S2 e)."""
    unfed_after_s: int = 10
    """With `fence`: how long after both were lost; whole seconds."""

    @property
    def right_ns(self) -> int:
        """How long a proof gives the right to feed it; 0: none is needed."""
        return self.unfed_after_s * 1_000_000_000 if self.fence else 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """One that the kernel knows."""

    name: str
    """Such as "watchdog0": in /dev and in /sys/class/watchdog."""
    identity: str
    no_way_out: bool = False
    """Once armed it is never disarmed."""
    running_s: int | None = None
    """It runs already, with this timeout."""


class Device(Protocol):
    """What a watchdog can do; raises OSError."""

    def arm(self, timeout_s: int, *, runs: bool) -> int:
        """Open it, which starts it, and set its timeout; returns the one it says that it has.

        Where that fails it is stopped again, unless it `runs` already: others count on that.
        """

    def feed(self) -> None:
        """Start its time anew."""

    def close(self, *, disarm: bool) -> None:
        """Let go of it, and stop it first or not."""


class KernelDevice:
    """A watchdog of the kernel's.

    Args:
        path: Its node, such as /dev/watchdog0.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def arm(self, timeout_s: int, *, runs: bool) -> int:
        """See `Device`."""
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(self._descriptor, _SET_TIMEOUT, struct.pack("@i", timeout_s))
            (has_s,) = struct.unpack("@i", fcntl.ioctl(self._descriptor, _GET_TIMEOUT, bytes(4)))
        except OSError:
            self.close(disarm=not runs)
            raise
        return int(has_s)

    def feed(self) -> None:
        """See `Device`."""
        fcntl.ioctl(self._descriptor, _KEEP_ALIVE, bytes(4))

    def close(self, *, disarm: bool) -> None:
        """See `Device`."""
        try:
            if disarm:
                os.write(self._descriptor, _MAGIC)
        finally:
            os.close(self._descriptor)


class Watchdog:
    """Chooses one, arms it, feeds it, and lets go of it.

    Args:
        settings: Which one.
        may_feed: Whether there is a right to feed it, at a time of CLOCK_BOOTTIME.
        sysfs: Where the kernel lists them.
        devices: Where their nodes are.
    """

    def __init__(
        self,
        settings: WatchdogSettings,
        may_feed: Callable[[int], bool] = lambda _: True,
        *,
        sysfs: Path = SYSFS,
        devices: Path = Path("/dev"),
    ) -> None:
        self._settings = settings
        self._may_feed = may_feed
        self._waits = False
        """To be opened with the first right to feed it."""
        self._sysfs = sysfs
        self._devices = devices
        self._armed: Device | None = None
        self._pace = Pace()
        self._fed_ns = 0
        self.chosen: Candidate | None = None
        self.timeout_s = 0
        """As the device has it; 0 while there is none."""
        self.trouble = ""
        """Why nothing guards this machine, for the operator; "" for nothing."""

    @property
    def armed(self) -> bool:
        """One guards this machine."""
        return self._armed is not None

    @property
    def unfed_s(self) -> int:
        """After so long a node that lost the peer and the witnesses was reset; 0: nobody says."""
        if self._armed is None or not self._settings.fence:
            return 0
        return unfed_s(self._settings.unfed_after_s, self.timeout_s)

    def open(self) -> None:
        """Arm it, before any group is started here.

        With `fence` it is armed by the first heartbeat that has the right to feed it, for to open
        it is to feed it: groups may run here whose last agent had no right any more.

        Raises:
            WatchdogError: There is none that can be used, and one is required.
        """
        if self._settings.mode == "off":
            return
        if self._settings.fence:
            self._choose()
            self._waits = True
            return
        try:
            self._arm()
        except WatchdogError as error:
            if self._settings.mode == "required":
                raise
            self.trouble = str(error)
            log.warning("watchdog.absent", reason=self.trouble)

    def beat(self, now_ns: int, interval_ns: int) -> None:
        """A heartbeat left: the loop is alive. Feeds it if that is due and may be done.

        Never for a beat that is itself late: a loop that only crawls starves like one that hangs.

        Args:
            now_ns: Monotonic.
            interval_ns: Between two beats that are on time.

        Raises:
            WatchdogError: It was to be armed only now, and cannot be.
        """
        late_ns = self._pace.late_ns(now_ns, interval_ns)
        if (self._armed is None and not self._waits) or now_ns - self._fed_ns < FEED_NS:
            return
        if self._armed is not None and LATE_PARTS * late_ns > self.timeout_s * 1_000_000_000:
            log.warning("watchdog.late", late_ms=late_ns // 1_000_000)
            return
        if not self._may_feed(boottime_ns()):
            if self._armed is not None:
                self._starve()
            return
        if self._armed is None:
            self._arm()
            self._waits, self._fed_ns, self.trouble = False, now_ns, ""
            return
        try:
            self._armed.feed()
        except OSError as error:
            # It will reset the machine; whoever reads the log knows why.
            log.warning("watchdog.not_fed", reason=error.strerror)
            self.trouble = f"{self._name()} takes no feeding: {error.strerror}"
        else:
            self._fed_ns = now_ns
            self.trouble = ""

    def close(self, *, disarm: bool) -> None:
        """Let go of it; never raises.

        Args:
            disarm: Nothing runs here that needs watching. Otherwise the next agent has
                `timeout_s` to take it up, or the machine is reset.
        """
        self._waits = False
        if self._armed is None:
            return
        if disarm and self.chosen is not None and self.chosen.no_way_out:
            log.warning("watchdog.no_way_out", device=self.chosen.name, reset_in_s=self.timeout_s)
        armed, self._armed = self._armed, None
        try:
            armed.close(disarm=disarm)
        except OSError as error:
            log.warning("watchdog.not_closed", reason=error.strerror)

    def _starve(self) -> None:
        if not self.trouble:
            log.warning("watchdog.unfed", reset_in_s=self.timeout_s)
        self.trouble = "it is not fed: the peer and the witnesses are lost, and a group runs here"

    def _choose(self) -> Candidate:
        self.chosen = choose(candidates(self._sysfs), self._settings.identity)
        return self.chosen

    def _arm(self) -> None:
        chosen = self._choose()
        device = KernelDevice(self._devices / chosen.name)
        wanted_s, runs = self._settings.timeout_s, False
        if self._settings.fence and chosen.running_s is not None:
            # The peer goes by the time that it was told, and may not hear of a longer one.
            wanted_s, runs = min(wanted_s, chosen.running_s), True
        try:
            has_s = device.arm(wanted_s, runs=runs)
        except OSError as error:
            raise WatchdogError(f"{self._name()}: {_remedy(error)}") from error
        if has_s > 2 * wanted_s or has_s * 1_000_000_000 < 2 * FEED_NS:
            device.close(disarm=not runs)
            raise WatchdogError(
                f"{self._name()}: its timeout is {has_s} s, asked for were {wanted_s} s"
            )
        self._armed, self.timeout_s = device, has_s
        log.info(
            "watchdog.armed",
            device=chosen.name,
            identity=chosen.identity,
            timeout_s=has_s,
            no_way_out=chosen.no_way_out,
        )

    def _name(self) -> str:
        assert self.chosen is not None, "one is chosen first"
        return f"{self.chosen.name} ({self.chosen.identity})"


def candidates(sysfs: Path = SYSFS) -> Iterator[Candidate]:
    """Those that the kernel knows, by their numbers; none of them is opened, for that arms it."""
    found = sorted(sysfs.glob("watchdog*"), key=lambda path: (len(path.name), path.name))
    for path in found:
        try:
            identity = (path / "identity").read_text().strip()
        except OSError:
            continue
        no_way_out = _attribute(path / "nowayout") == "1"
        timeout = _attribute(path / "timeout") if _attribute(path / "state") == "active" else ""
        running_s = int(timeout) if timeout.isdecimal() else None
        yield Candidate(path.name, identity, no_way_out, running_s)


def _attribute(path: Path) -> str:
    """What a file of sysfs says; "" where this kernel has none of that name."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def choose(found: Iterator[Candidate], identity: str) -> Candidate:
    """The one of that identity, else the first that is hardware.

    Raises:
        WatchdogError: There is none; says what there is.
    """
    known = list(found)
    for one in known:
        if one.identity == identity or (not identity and one.identity != SOFTWARE):
            return one
    listed = ", ".join(f'"{one.identity}"' for one in known) or "none"
    if identity:
        raise WatchdogError(f'no watchdog is "{identity}"; there are: {listed}')
    raise WatchdogError(f"no hardware watchdog (known: {listed}); load its driver")


def _remedy(error: OSError) -> str:
    if error.errno == errno.EBUSY:
        return "in use by another program; for systemd: RuntimeWatchdogSec=off in system.conf"
    return error.strerror or str(error)
