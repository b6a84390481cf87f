# SPDX-License-Identifier: GPL-2.0-or-later
"""Durations as people write them ("100ms", "1.5s", "30m"), exact to the nanosecond."""

from __future__ import annotations

import re

UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
}
"""Nanoseconds in each unit, smallest first."""

DIGITS_MAX = 12
"""Digits before and after the point: more is a slip of the finger, never a duration."""

_FORM = re.compile(rf"([0-9]{{1,{DIGITS_MAX}}})(?:\.([0-9]{{1,{DIGITS_MAX}}}))?(ns|us|ms|s|m|h|d)")


class DurationError(ValueError):
    """The text is not a duration; the message says how one is written."""


def parse(text: str) -> int:
    """Nanoseconds meant by `text`: a number and a unit, no space, no sign.

    Args:
        text: e.g. "100ms", "1.5s", "30m"; units ns, us, ms, s, m, h, d.

    Returns:
        Nanoseconds, exact, >= 0.

    Raises:
        DurationError: not of that form, or finer than a nanosecond.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise DurationError('not a duration; a number and a unit, such as "100ms", "1s" or "30m"')
    whole, fraction, unit = match.group(1), match.group(2) or "", match.group(3)
    scaled_ns = int(whole + fraction) * UNITS_NS[unit]
    scale: int = 10 ** len(fraction)
    value_ns, rest = divmod(scaled_ns, scale)
    if rest:
        raise DurationError("finer than a nanosecond")
    return value_ns


def render(value_ns: int) -> str:
    """Shortest text that `parse` reads back as `value_ns` (>= 0), in its largest whole unit."""
    assert value_ns >= 0, value_ns
    if value_ns == 0:
        return "0s"
    unit = next(name for name in reversed(UNITS_NS) if value_ns % UNITS_NS[name] == 0)
    return f"{value_ns // UNITS_NS[unit]}{unit}"
