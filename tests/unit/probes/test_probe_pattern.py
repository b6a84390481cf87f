# SPDX-License-Identifier: GPL-2.0-or-later
"""Regular expressions of the operator, which may be of any kind."""

from __future__ import annotations

import asyncio

import pytest

from haagent.probes import pattern as pattern_module
from haagent.probes.pattern import PatternError, check_pattern, matches
from probes.service import descriptors

TICK_S = 0.01


def test_matches() -> None:
    """Line by line, as grep -E does it; whatever the bytes are."""
    text = b"status: fine\nstock: 17\n\xff\x00 after zero\n"
    before = descriptors()
    for pattern, found in (
        ("^status: (fine|good)$", True),
        ("^stock", True),
        ("fine.stock", False),
        ("after zero$", True),
        ("-x", False),
        ("", True),
    ):
        assert asyncio.run(matches(pattern, text)) is found, pattern
    assert descriptors() == before


def test_no_expression() -> None:
    """What grep does not take is refused, with its words, also at check time."""
    for pattern in ("(", "[", "a{2,1}"):
        with pytest.raises(PatternError, match="exit status 2: grep: "):
            asyncio.run(check_pattern(pattern))
        with pytest.raises(PatternError, match="exit status 2: grep: "):
            asyncio.run(matches(pattern, b"text"))
    asyncio.run(check_pattern("^(a+)+$"))


def test_a_pattern_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that would take minutes is ended at the limit, and the loop goes on all the while."""
    monkeypatch.setattr(pattern_module, "LIMIT_S", 0.5)
    endless, text = r"(.+)(.+)(.+)z\3\2\1x", b"ab" * 15000 + b"z" + b"cd" * 15000 + b"x"
    ticks = 0

    async def main() -> None:
        nonlocal ticks
        matching = asyncio.create_task(matches(endless, text))
        while not matching.done():
            await asyncio.sleep(TICK_S)
            ticks += 1
        with pytest.raises(PatternError, match=r"no end after 0\.5 s"):
            matching.result()

    asyncio.run(main())
    assert ticks > 10
