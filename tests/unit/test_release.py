# SPDX-License-Identifier: GPL-2.0-or-later
"""Versions travel in frames and come out as they went in."""

from __future__ import annotations

import pytest

from haagent import __version__
from haagent.release import packed, unpacked


@pytest.mark.parametrize(
    ("version", "told"),
    [("0.1.0", "0.1.0"), ("2.13", "2.13.0"), ("1.2.345", "1.2.345"), ("1.2.3~git4.5", "1.2.3")],
)
def test_round_trip(version: str, told: str) -> None:
    """The three numbers of a version are told, whatever stands behind them."""
    assert unpacked(packed(version)) == told


def test_our_own() -> None:
    """The default is what runs here."""
    assert packed() == packed(__version__) != 0


def test_silence() -> None:
    """An agent that tells no version is not taken for 0.0.0."""
    assert not unpacked(0)
