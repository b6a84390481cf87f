# SPDX-License-Identifier: GPL-2.0-or-later
"""Durations with units are exact."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fencing.config import duration


@pytest.mark.parametrize(
    ("text", "value_ns"),
    [
        ("0s", 0),
        ("1ns", 1),
        ("100ms", 100_000_000),
        ("1.5s", 1_500_000_000),
        ("0.001us", 1),
        ("30m", 1_800_000_000_000),
        ("2h", 7_200_000_000_000),
        ("1d", 86_400_000_000_000),
    ],
)
def test_parse(text: str, value_ns: int) -> None:
    """Number and unit give nanoseconds without rounding."""
    assert duration.parse(text) == value_ns


@pytest.mark.parametrize(
    "text", ["", "1", "s", "-1s", "+1s", "1 s", "1.s", ".5s", "1e3s", "1S", "1s\n", "0.1ns", "٣s"]
)
def test_anything_else_is_refused(text: str) -> None:
    """No sign, no space, no exponent, no other digits, nothing finer than a nanosecond."""
    with pytest.raises(duration.DurationError):
        duration.parse(text)


@given(value_ns=st.integers(0, 10**12))
def test_render_is_read_back(value_ns: int) -> None:
    """What is rendered parses to the same value."""
    text = duration.render(value_ns)
    try:
        assert duration.parse(text) == value_ns
    except duration.DurationError:
        assert len(text) > duration.DIGITS_MAX


@given(text=st.text(max_size=20))
def test_any_text_parses_or_is_refused(text: str) -> None:
    """No text gives anything but nanoseconds or DurationError."""
    with contextlib.suppress(duration.DurationError):
        assert duration.parse(text) >= 0
