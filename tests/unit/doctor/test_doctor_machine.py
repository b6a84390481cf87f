# SPDX-License-Identifier: GPL-2.0-or-later
"""What is read of this machine: cards, disk, network managers, watchdog, and the last proof."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from haagent.config.settings import Configuration, LogSettings
from haagent.core.settings import PairSettings, Timing
from haagent.doctor import Subject, Verdict, clock
from haagent.doctor.disk import filesystem
from haagent.doctor.hardware import ports, shared_card
from haagent.doctor.netconfig import Root, _foreign, settings
from haagent.doctor.pair import DAY_S, proved
from haagent.doctor.system import watchdog
from haagent.watchdog import WatchdogSettings

TIME_ERROR = 5
"""What adjtimex(2) returns while the clock is not synchronised."""
NOW_S = 1_800_000_000.0
CARDS = {
    "eno1": "pci0000:00/0000:00:1f.6",
    "enp1s0f0": "pci0000:00/0000:00:01.0/0000:01:00.0",
    "enp1s0f1": "pci0000:00/0000:00:01.0/0000:01:00.1",
    "quad0": "pci0000:00/0000:00:02.0/0000:02:00.0/0000:03:02.0/0000:04:00.0",
    "quad1": "pci0000:00/0000:00:02.0/0000:02:00.0/0000:03:04.0/0000:05:00.0",
}


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    """A machine with one port on the board, a card of two and one of four, as sysfs shows them."""
    for name, place in CARDS.items():
        device = tmp_path / "devices" / place
        device.mkdir(parents=True)
        folder = tmp_path / "class/net" / name
        folder.mkdir(parents=True)
        (folder / "device").symlink_to(device)
    (tmp_path / "class/net/veth0").mkdir()
    bond = tmp_path / "class/net/bond0"
    bond.mkdir()
    for name in ("eno1", "enp1s0f0"):
        (bond / f"lower_{name}").symlink_to(tmp_path / "class/net" / name)
    return tmp_path


@pytest.mark.parametrize(
    ("one", "other", "common"),
    [
        ("eno1", "enp1s0f0", ""),
        ("enp1s0f0", "quad0", ""),
        ("enp1s0f0", "enp1s0f1", "one PCI card"),
        ("quad0", "quad1", "one PCI port"),
        ("bond0", "enp1s0f1", "one PCI card"),
        ("bond0", "eno1", "the same device"),
        ("bond0", "quad1", ""),
    ],
)
def test_cards(sysfs: Path, one: str, other: str, common: str) -> None:
    """Ports of one card are found, also below a bond and behind a bridge on the card."""
    mine, its = ports(one, sysfs), ports(other, sysfs)
    assert mine is not None
    assert its is not None
    found = shared_card(mine, its)
    assert common in found
    assert bool(found) is bool(common)


def test_no_hardware_is_no_answer(sysfs: Path) -> None:
    """Of an interface without a device nothing is claimed."""
    assert ports("veth0", sysfs) is None
    assert ports("absent", sysfs) is None


MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
tmpfs /run tmpfs rw 0 0
/dev/sdb1 /srv/with\\040space xfs rw 0 0
/dev/sdc1 /run/disk ext4 rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/var/lib/haagent", "ext4"),
        ("/run/haagent", "tmpfs"),
        ("/run/disk/haagent", "ext4"),
        ("/srv/with space/a", "xfs"),
        ("/runner", "ext4"),
    ],
)
def test_filesystem(folder: str, kind: str) -> None:
    """The deepest mount counts, whole names only."""
    assert filesystem(Path(folder), MOUNTS) == kind


def record(days_ago: float, **marks: int) -> str:
    """A line of the history."""
    from datetime import UTC, datetime  # noqa: PLC0415 one use

    when = datetime.fromtimestamp(NOW_S - days_ago * DAY_S, UTC).isoformat()
    return json.dumps({"when": when, "marks_ns": marks}) + "\n"


def test_days_since_the_last_proof(tmp_path: Path) -> None:
    """The newest of failovers and measured fences counts; a hand-over proves nothing."""
    assert proved(tmp_path, NOW_S).verdict is Verdict.WARNING
    history = tmp_path / "history.jsonl"
    history.write_text("torn" + record(200, confirmed_off=1) + record(1, active=1))
    assert "never" in proved(tmp_path, NOW_S).text
    history.write_text("torn\n" + record(200, confirmed_off=1) + record(1, active=1))
    old = proved(tmp_path, NOW_S)
    assert (old.verdict, "200 days" in old.text) == (Verdict.WARNING, True)
    measured = {"print": [{"lag_s": 0.1, "unix_s": NOW_S - 3.5 * DAY_S}]}
    (tmp_path / "settle.json").write_text(json.dumps(measured))
    fresh = proved(tmp_path, NOW_S)
    assert (fresh.verdict, "3 days" in fresh.text) == (Verdict.OK, True)
    (tmp_path / "settle.json").write_text("[")
    assert proved(tmp_path, NOW_S).verdict is Verdict.UNKNOWN


def test_systemd_files_together() -> None:
    """Drop-ins have the last word, other sections none, comments none."""
    whole = "[Match]\nKeepConfiguration=no\n[Network]\n# KeepConfiguration=yes\nDHCP=no\n"
    assert "KeepConfiguration" not in settings([whole], "Network")
    both = settings([whole, "[Network]\nKeepConfiguration = static\n"], "Network")
    assert both == {"DHCP": "no", "KeepConfiguration": "static"}


def test_our_own_dropin_is_enough(tmp_path: Path) -> None:
    """What the package lays keeps networkd off foreign routes and rules; without it, a warning."""
    assert _foreign(Root(tmp_path)).verdict is Verdict.WARNING
    folder = tmp_path / "usr/lib/systemd/networkd.conf.d"
    folder.mkdir(parents=True)
    source = Path(__file__).parents[3] / "systemd/networkd.conf"
    (folder / "50-haagent.conf").write_text(source.read_text())
    assert _foreign(Root(tmp_path)).verdict is Verdict.OK
    own = tmp_path / "etc/systemd/networkd.conf.d"
    own.mkdir(parents=True)
    (own / "90-admin.conf").write_text("[Network]\nManageForeignRoutes=yes\n")
    assert _foreign(Root(tmp_path)).verdict is Verdict.WARNING


def patient(settings: WatchdogSettings, status: Mapping[str, object]) -> Subject:
    """A node with this watchdog."""
    pair = PairSettings(0, (), (), Timing(), bytes(16))
    configuration = Configuration(
        cluster="c",
        node_names=("alpha", "beta"),
        pair=pair,
        links=(),
        keys=None,  # type: ignore[arg-type]  # nobody looks at it here
        vips={},
        devices=((), ()),
        hedge_after_s=2.0,
        state_dir=Path("/nonexistent"),
        control_socket=Path("/nonexistent"),
        log=LogSettings(),
    )
    return Subject(replace(configuration, watchdog=settings), status, None, 1.0)


def test_watchdog(tmp_path: Path) -> None:
    """None, free, armed by the agent, taken by another; `required` makes its absence bad."""
    running = {"alarms": [], "version": "1"}
    assert watchdog(patient(WatchdogSettings("off"), {}), tmp_path).verdict is Verdict.OK
    assert watchdog(patient(WatchdogSettings(), {}), tmp_path).verdict is Verdict.WARNING
    assert watchdog(patient(WatchdogSettings("required"), {}), tmp_path).verdict is Verdict.BAD
    folder = tmp_path / "watchdog0"
    folder.mkdir()
    (folder / "identity").write_text("iTCO_wdt\n")
    (folder / "state").write_text("inactive\n")
    assert watchdog(patient(WatchdogSettings(), {}), tmp_path).verdict is Verdict.OK
    assert watchdog(patient(WatchdogSettings(), running), tmp_path).verdict is Verdict.WARNING
    (folder / "state").write_text("active\n")
    assert watchdog(patient(WatchdogSettings(), running), tmp_path).verdict is Verdict.OK
    taken = watchdog(patient(WatchdogSettings(), {}), tmp_path)
    assert (taken.verdict, "another program" in taken.text) == (Verdict.WARNING, True)


@pytest.mark.parametrize(
    ("name", "verdict"),
    [("tsc", Verdict.OK), ("kvm-clock", Verdict.OK), ("hpet", Verdict.WARNING)],
)
def test_clock_source(name: str, verdict: Verdict) -> None:
    """A kernel that fell back to a slow clock is told of, any other is well."""
    line = clock.source(name)
    assert (line.verdict, name in line.text) == (verdict, True)


def test_time_of_day() -> None:
    """By the kernel's own status, whose place in the structure is where the kernel writes it."""
    assert clock.time_of_day(0).verdict is Verdict.OK
    assert clock.time_of_day(clock.STA_UNSYNC | 1).verdict is Verdict.WARNING
    assert clock.time_of_day(None).verdict is Verdict.UNKNOWN
    status = clock.kernel_status()
    assert status is not None
    said = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(clock.TIMEX_BYTES))
    assert bool(status & clock.STA_UNSYNC) is (said == TIME_ERROR), (hex(status), said)
