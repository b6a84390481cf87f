# SPDX-License-Identifier: GPL-2.0-or-later
"""The watchdog is chosen by identity, fed by heartbeats, and disarmed only in peace.

The kernel's own interface is used for real in the bench's guests; this kernel has no watchdog.
"""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from haagent import watchdog
from haagent.watchdog import (
    FEED_NS,
    Candidate,
    Watchdog,
    WatchdogError,
    WatchdogSettings,
    candidates,
    choose,
)

HARDWARE = "i6300ESB timer"
BEAT_NS = FEED_NS // 10
REQUIRED = WatchdogSettings("required")


class FakeDevice:
    """A watchdog that keeps what was done to it."""

    made: FakeDevice
    has_s: int | None = None
    """The timeout that it claims to have; None: the one it was given."""
    busy = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: list[str] = []
        self.broken = False
        FakeDevice.made = self

    def arm(self, timeout_s: int, *, runs: bool) -> int:
        """As the kernel's."""
        self.runs = runs
        if self.busy:
            raise OSError(errno.EBUSY, "Device or resource busy")
        self.done.append(f"arm {timeout_s}")
        return timeout_s if self.has_s is None else self.has_s

    def feed(self) -> None:
        """As the kernel's."""
        if self.broken:
            raise OSError(errno.EIO, "Input/output error")
        self.done.append("feed")

    def close(self, *, disarm: bool) -> None:
        """As the kernel's."""
        self.done.append("disarm" if disarm else "leave armed")


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of the kernel's device; what it is told by class attributes ends with the test."""
    monkeypatch.setattr(watchdog, "KernelDevice", FakeDevice)
    monkeypatch.setattr(FakeDevice, "has_s", None)
    monkeypatch.setattr(FakeDevice, "busy", False)


def listed(folder: Path, *identities: str, no_way_out: bool = False) -> Path:
    """A sysfs with these."""
    for number, identity in enumerate(identities):
        place = folder / f"watchdog{number}"
        place.mkdir()
        (place / "identity").write_text(f"{identity}\n")
        (place / "nowayout").write_text(f"{int(no_way_out)}\n")
    return folder


def test_chosen_by_identity_not_by_number(tmp_path: Path) -> None:
    """A name finds its device wherever it stands; without one hardware goes before softdog."""
    found = list(candidates(listed(tmp_path, "Software Watchdog", "iTCO_wdt", HARDWARE)))
    assert [one.name for one in found] == ["watchdog0", "watchdog1", "watchdog2"]
    assert choose(iter(found), HARDWARE).name == "watchdog2"
    assert choose(iter(found), "Software Watchdog").name == "watchdog0"
    assert choose(iter(found), "").name == "watchdog1"


@pytest.mark.parametrize(
    ("identity", "words"),
    [("other", 'no watchdog is "other"; there are: "Software Watchdog"'), ("", "no hardware")],
)
def test_none_that_fits_is_an_error_with_what_there_is(identity: str, words: str) -> None:
    """The operator reads which ones there are."""
    with pytest.raises(WatchdogError, match=words):
        choose(iter([Candidate("watchdog0", "Software Watchdog")]), identity)


def test_armed_fed_and_disarmed(tmp_path: Path) -> None:
    """The timeout is set; a beat feeds it once in a while; peace disarms it."""
    dog = Watchdog(WatchdogSettings(), sysfs=listed(tmp_path, HARDWARE))
    dog.open()
    assert (dog.timeout_s, dog.trouble) == (10, "")
    for now_ns in range(0, 3 * FEED_NS + 1, FEED_NS // 10):
        dog.beat(FEED_NS + now_ns, BEAT_NS)
    dog.close(disarm=True)
    assert FakeDevice.made.path == Path("/dev/watchdog0")
    assert FakeDevice.made.done == ["arm 10", *["feed"] * 4, "disarm"]


@pytest.mark.parametrize("interval_ns", [BEAT_NS, 2 * FEED_NS])
def test_a_loop_that_crawls_starves(tmp_path: Path, interval_ns: int) -> None:
    """S7: beats later than a quarter of the timeout feed nothing; the first on time does."""
    dog = Watchdog(WatchdogSettings(), sysfs=listed(tmp_path, HARDWARE))
    dog.open()
    now_ns = FEED_NS
    dog.beat(now_ns, interval_ns)
    for _ in range(5):
        now_ns += interval_ns + 5 * FEED_NS // 2 + 1
        dog.beat(now_ns, interval_ns)
    assert FakeDevice.made.done == ["arm 10", "feed"]
    dog.beat(now_ns + interval_ns, interval_ns)
    assert FakeDevice.made.done == ["arm 10", "feed", "feed"]


def test_groups_that_run_on_leave_it_armed(tmp_path: Path) -> None:
    """The next agent takes it up, or the machine is reset."""
    dog = Watchdog(WatchdogSettings(), sysfs=listed(tmp_path, HARDWARE))
    dog.open()
    dog.close(disarm=False)
    dog.close(disarm=True)
    assert FakeDevice.made.done == ["arm 10", "leave armed"], "and closed once"


@pytest.mark.parametrize(("has_s", "fits"), [(10, True), (12, True), (20, True), (21, False)])
def test_the_timeout_is_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_s: int, fits: bool
) -> None:
    """A device may round; one that takes more than twice as long guards nothing."""
    monkeypatch.setattr(FakeDevice, "has_s", has_s)
    dog = Watchdog(REQUIRED, sysfs=listed(tmp_path, HARDWARE))
    if fits:
        dog.open()
        assert dog.timeout_s == has_s
    else:
        with pytest.raises(WatchdogError, match="its timeout is 21 s"):
            dog.open()
        assert FakeDevice.made.done[-1] == "disarm"


def test_without_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Required: the agent does not run. Preferred: it runs and says why nothing guards it."""
    with pytest.raises(WatchdogError, match="no hardware watchdog"):
        Watchdog(REQUIRED, sysfs=tmp_path).open()
    monkeypatch.setattr(FakeDevice, "busy", True)
    dog = Watchdog(WatchdogSettings(), sysfs=listed(tmp_path, HARDWARE))
    dog.open()
    assert "RuntimeWatchdogSec" in dog.trouble
    dog.beat(FEED_NS, BEAT_NS)
    dog.close(disarm=True)
    assert FakeDevice.made.done == []


def test_off_touches_nothing(tmp_path: Path) -> None:
    """Not even to look."""
    dog = Watchdog(WatchdogSettings("off"), sysfs=tmp_path / "none")
    dog.open()
    dog.beat(FEED_NS, BEAT_NS)
    dog.close(disarm=True)
    assert (dog.chosen, dog.trouble) == (None, "")


def test_one_that_takes_no_feeding_is_told(tmp_path: Path) -> None:
    """The machine is about to be reset, and status says why."""
    dog = Watchdog(WatchdogSettings(), sysfs=listed(tmp_path, HARDWARE))
    dog.open()
    FakeDevice.made.broken = True
    dog.beat(FEED_NS, BEAT_NS)
    assert "takes no feeding" in dog.trouble


def test_no_way_out_is_known(tmp_path: Path) -> None:
    """It is closed all the same, but nobody believes that it was disarmed."""
    dog = Watchdog(WatchdogSettings(), sysfs=listed(tmp_path, HARDWARE, no_way_out=True))
    dog.open()
    assert dog.chosen == Candidate("watchdog0", HARDWARE, no_way_out=True)
    dog.close(disarm=True)
    assert FakeDevice.made.done[-1] == "disarm"


FENCE = WatchdogSettings("required", fence=True)


class Right:
    """To feed, as somebody else decides."""

    lasts = True

    def __call__(self, _now_ns: int) -> bool:
        """Whether it lasts."""
        return self.lasts


def guarded(folder: Path, right: Right, *, running_s: int | None = None) -> Watchdog:
    """One that is a fence, perhaps left running by the agent before."""
    place = listed(folder, HARDWARE) / "watchdog0"
    (place / "state").write_text("inactive\n" if running_s is None else "active\n")
    (place / "timeout").write_text(f"{running_s or 30}\n")
    return Watchdog(FENCE, right, sysfs=folder)


def test_a_fence_is_fed_with_the_right_to_only(tmp_path: Path) -> None:
    """S2 e: without it not, and with it again; status says why the machine is about to be reset."""
    right = Right()
    dog = guarded(tmp_path, right)
    dog.open()
    dog.beat(FEED_NS, BEAT_NS)
    dog.beat(2 * FEED_NS, BEAT_NS)
    right.lasts = False
    dog.beat(3 * FEED_NS, BEAT_NS)
    assert "the peer and the witnesses are lost" in dog.trouble
    right.lasts = True
    dog.beat(3 * FEED_NS + 1, BEAT_NS)
    assert (FakeDevice.made.done, dog.trouble) == (["arm 10", "feed", "feed"], "")


def test_a_fence_is_not_opened_without_the_right(tmp_path: Path) -> None:
    """S2 e: to open it is to feed it; until it is open, nothing is promised."""
    right = Right()
    right.lasts = False
    dog = guarded(tmp_path, right)
    dog.open()
    dog.beat(FEED_NS, BEAT_NS)
    assert (dog.armed, dog.unfed_s, dog.trouble) == (False, 0, "")
    right.lasts = True
    dog.beat(FEED_NS + 1, BEAT_NS)
    assert (dog.armed, dog.unfed_s) == (True, 10 + 2 * 10)


@pytest.mark.parametrize(("running_s", "armed_s"), [(6, 6), (30, 10), (None, 10)])
def test_a_fence_that_runs_gets_no_longer_timeout(
    tmp_path: Path, running_s: int | None, armed_s: int
) -> None:
    """S2 e: the peer goes by what it was told, and may hear of nothing else any more."""
    dog = guarded(tmp_path, Right(), running_s=running_s)
    dog.open()
    dog.beat(FEED_NS, BEAT_NS)
    assert FakeDevice.made.done == [f"arm {armed_s}"]
    assert FakeDevice.made.runs == (running_s is not None)


@pytest.mark.parametrize(
    ("running_s", "end"), [(10, "leave armed"), (None, "disarm")], ids=["runs", "fresh"]
)
def test_a_fence_that_runs_is_not_stopped_by_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, running_s: int | None, end: str
) -> None:
    """S2 e: one whose timeout does not fit ends the agent; the peer may count on its firing."""
    monkeypatch.setattr(FakeDevice, "has_s", 21)
    dog = guarded(tmp_path, Right(), running_s=running_s)
    dog.open()
    with pytest.raises(WatchdogError, match="its timeout is 21 s"):
        dog.beat(FEED_NS, BEAT_NS)
    assert FakeDevice.made.done[-1] == end


def test_a_fence_that_is_missing_is_known_at_once(tmp_path: Path) -> None:
    """The agent does not run without it."""
    with pytest.raises(WatchdogError, match="no hardware watchdog"):
        Watchdog(FENCE, sysfs=tmp_path).open()
