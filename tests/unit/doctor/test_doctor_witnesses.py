# SPDX-License-Identifier: GPL-2.0-or-later
"""doctor's lines about witnesses: as the agent was told, or asked from here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from config_bench import Site, example

from haagent.config import Configuration
from haagent.doctor import Subject, Verdict
from haagent.doctor.witnesses import look

OBSERVERS = "".join(
    f"""
[[witness]]
kind = "observer"
name = "{name}"
address = "127.0.0.1"
port = {port}
timeout = "100ms"
"""
    for name, port in (("gamma", 9), ("delta", 10), ("epsilon", 11))
)
"""At ports of the loopback where nobody answers."""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """With everything the example needs."""
    return Site(tmp_path)


def lines(configuration: Configuration, status: dict[str, Any]) -> list[tuple[Verdict, str, str]]:
    """What is told."""
    subject = Subject(configuration, status, None, 0.0)
    return [(line.verdict, line.what, line.text) for line in look(subject)]


def told(**words: str) -> dict[str, Any]:
    """A status with what each witness said."""
    return {"witnesses": [{"name": n, "word": w, "detail": "why"} for n, w in words.items()]}


def test_a_pair_without_witnesses_has_no_lines(site: Site) -> None:
    """Nobody is asked, and nothing is told."""
    assert lines(site.load(example()), {}) == []


def test_as_the_agent_was_told(site: Site) -> None:
    """One lost is a warning; with two lost, or not asked yet, no takeover would be agreed to."""
    configuration = site.load(example() + OBSERVERS)
    found = lines(configuration, told(gamma="yes", delta="no", epsilon="silent"))
    assert found == [
        (Verdict.OK, "witness gamma", "observer: why"),
        (Verdict.WARNING, "witness delta", "observer: why"),
        (Verdict.WARNING, "witness epsilon", "observer: why"),
        (Verdict.OK, "witnesses", "enough of 3 are there; a majority must agree"),
    ]
    for status in (told(gamma="yes", delta="silent", epsilon="silent"), told(gamma="yes")):
        assert lines(configuration, status)[-1][0] is Verdict.BAD


def test_asked_from_here_when_no_agent_runs(site: Site) -> None:
    """Each gets its own question, and has its own time to answer."""
    found = lines(site.load(example() + OBSERVERS), {})
    assert [verdict for verdict, _, _ in found] == [Verdict.WARNING] * 3 + [Verdict.BAD]
    assert found[0][2] == "observer: no answer within 0.1 s"
