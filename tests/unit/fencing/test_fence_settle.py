# SPDX-License-Identifier: GPL-2.0-or-later
"""The settle time is shortened by what was measured, and by nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fencing import DeviceSettings
from fencing.settle import FACTOR, KEPT_MAX, MARGIN_S, SettleTimes

MS = 1_000_000
DEVICE = DeviceSettings(name="bmc", driver="ipmi", address="192.0.2.1", off_settle_s=2.0)


@dataclass(frozen=True)
class Shot:
    """One device's part in a fence."""

    device: str = "bmc"
    ordered_ns: int | None = 10_000 * MS
    first_off_ns: int | None = 10_050 * MS


@pytest.fixture
def times(tmp_path: Path) -> SettleTimes:
    """Nothing measured yet."""
    return SettleTimes(tmp_path / "settle.json")


def test_as_configured_until_measured(times: SettleTimes) -> None:
    """Without a measurement the whole configured time is waited."""
    assert times.settle_s(DEVICE) == 2.0


def test_an_honest_device_needs_little(times: SettleTimes) -> None:
    """A machine that fell silent before its device said off leaves only the margin."""
    assert times.learn([DEVICE], [Shot()], 10_020 * MS)
    assert times.settle_s(DEVICE) == MARGIN_S


def test_an_early_device_is_waited_for(times: SettleTimes) -> None:
    """A machine heard 300 ms after its device said off is waited for twice that long."""
    times.learn([DEVICE], [Shot()], 10_350 * MS)
    times.learn([DEVICE], [Shot()], 10_020 * MS)
    assert times.settle_s(DEVICE) == pytest.approx(FACTOR * 0.3 + MARGIN_S)


def test_never_longer_than_configured(times: SettleTimes) -> None:
    """The configured time is the most that is waited."""
    times.learn([DEVICE], [Shot()], 19_000 * MS)
    assert times.settle_s(DEVICE) == 2.0


@pytest.mark.parametrize(
    ("shot", "heard_ns"),
    [
        (Shot(), None),
        (Shot(), 9_499 * MS),
        (Shot(ordered_ns=None), 10_020 * MS),
        (Shot(first_off_ns=None), 10_020 * MS),
        (Shot(device="outlet"), 10_020 * MS),
    ],
    ids=["never heard", "silent before the order", "no order", "no reading", "another device"],
)
def test_what_measures_nothing(times: SettleTimes, shot: Shot, heard_ns: int | None) -> None:
    """A machine that may have been dead before the order says nothing of its device."""
    assert not times.learn([DEVICE], [shot], heard_ns)
    assert times.settle_s(DEVICE) == 2.0


def test_kept_across_agents(times: SettleTimes, tmp_path: Path) -> None:
    """What one agent measured, the next one uses."""
    times.learn([DEVICE], [Shot()], 10_020 * MS)
    times.save()
    assert SettleTimes(tmp_path / "settle.json").settle_s(DEVICE) == MARGIN_S


def test_another_device_under_the_same_name(times: SettleTimes) -> None:
    """A device with another address or port has not been measured."""
    times.learn([DEVICE], [Shot()], 10_020 * MS)
    assert times.settle_s(replace(DEVICE, address="192.0.2.2")) == 2.0
    assert times.settle_s(replace(DEVICE, options={"port": 624})) == 2.0


def test_old_measurements_are_forgotten(times: SettleTimes) -> None:
    """The last ones count: firmware changes."""
    times.learn([DEVICE], [Shot()], 10_500 * MS)
    for _ in range(KEPT_MAX):
        times.learn([DEVICE], [Shot()], 10_020 * MS)
    assert times.settle_s(DEVICE) == MARGIN_S


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"a": [{}]}', '{"a": 1}', '{"a": [{"lag_s": []}]}']
)
def test_a_damaged_file_counts_as_not_measured(tmp_path: Path, text: str) -> None:
    """Slower, never less safe."""
    path = tmp_path / "settle.json"
    path.write_text(text)
    assert SettleTimes(path).settle_s(DEVICE) == 2.0


def test_a_full_disk_is_survived(tmp_path: Path) -> None:
    """What cannot be saved costs the next agent time, and this one nothing."""
    times = SettleTimes(tmp_path / "missing" / "settle.json")
    times.learn([DEVICE], [Shot()], 10_020 * MS)
    times.save()
    assert times.settle_s(DEVICE) == MARGIN_S
