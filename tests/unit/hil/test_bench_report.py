# SPDX-License-Identifier: GPL-2.0-or-later
"""What the bench keeps of a scenario, and the cache of what it built."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hil.qemu import cache
from hil.qemu.report import write
from hil.qemu.story import Span, Story, Verdict, spans

NS_PER_MS = 1_000_000


def test_sightings_close_to_each_other_are_one_span() -> None:
    """What is seen again within the gap goes on; a longer silence or another holder ends it."""
    seen = [(0, "alpha"), (2, "alpha"), (9, "alpha"), (10, "beta"), (11, "beta")]
    joined = spans(((at * NS_PER_MS, who) for at, who in seen), 0, 3 * NS_PER_MS)
    assert joined == [Span(0, 2, "alpha"), Span(9, 9, "alpha"), Span(10, 11, "beta")]


class _Shape(HTMLParser):
    """Counts the drawn spans and everything that would be loaded from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.rectangles = 0
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.rectangles += tag == "rect"
        given = dict(attrs)
        found = given.get("src") or given.get("href") or ""
        if found and not found.startswith("#"):
            self.loads.append(found)


def test_report_is_one_page_and_the_same_as_values(tmp_path: Path) -> None:
    """Every span is drawn, nothing is loaded from elsewhere, text is text; the JSON has it all."""
    lanes = {"client": [Span(0, 900, "alpha"), Span(1500, 2500, "beta")]}
    said = {"alpha's console": "Kernel panic & more"}
    stories = [
        Story("test_a", "x", seconds=2.0, lanes=lanes, phases=[("to power off", 12.4)]),
        Story("test_b", "S1: <never> both.", Verdict.FAILED, "a < b", attachments=said),
        Story("test_c", "y", Verdict.SKIPPED, "the lab lacks a PDU"),
    ]
    page = write(stories, tmp_path)
    text = page.read_text()
    shape = _Shape()
    shape.feed(text)
    assert shape.rectangles == 2
    assert shape.loads == []
    assert "S1: &lt;never&gt; both." in text
    assert "1 passed, 1 failed, 1 skipped" in text
    assert "to power off<td class=n>12 ms" in text
    for words in ("a &lt; b", "Kernel panic &amp; more", "the lab lacks a PDU"):
        assert words in text
    told = json.loads((tmp_path / "report.json").read_text())
    assert "processors" in told["conditions"]
    first, second, third = told["stories"]
    assert first["lanes"]["client"][1] == {"start_ms": 1500, "end_ms": 2500, "what": "beta"}
    assert (second["verdict"], second["reason"]) == ("failed", "a < b")
    assert third["verdict"] == "skipped"


@pytest.fixture
def builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Where things were built, in a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return []


def test_same_inputs_are_built_once(builds: list[Path]) -> None:
    """Once for each set of inputs; where one input ends and the next begins counts."""

    def build(directory: Path) -> None:
        builds.append(directory)
        (directory / "made").touch()

    first = cache.built("thing", [b"ab", b"c"], build)
    assert cache.built("thing", [b"ab", b"c"], build) == first
    assert (first / "made").exists()
    assert len(builds) == 1
    assert cache.built("thing", [b"a", b"bc"], build) != first


def test_build_that_failed_leaves_nothing(builds: list[Path]) -> None:
    """What was not finished is not kept, and the next call builds it."""

    def fail(directory: Path) -> None:
        builds.append(directory)
        (directory / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.built("thing", [b"x"], fail)
    assert not builds[0].exists()
    result = cache.built("thing", [b"x"], lambda _: None)
    assert list(result.iterdir()) == []


def test_cache_is_bounded(builds: list[Path]) -> None:
    """Of each kind, the last used ones stay and no more."""
    assert not builds
    for number in range(cache.KEPT_PER_KIND + 2):
        last = cache.built("thing", [bytes([number])], lambda _: None)
    left = list(cache.home().glob("thing-*"))
    assert len(left) == cache.KEPT_PER_KIND
    assert last in left


def test_a_kind_whose_name_begins_alike_is_left_alone(builds: list[Path]) -> None:
    """A "thing-tuned" is no old "thing", and neither is its lock."""
    tuned = cache.built("thing-tuned", [b"x"], builds.append)
    for number in range(cache.KEPT_PER_KIND + 2):
        cache.built("thing", [bytes([number])], builds.append)
    assert tuned.exists()
    assert (cache.home() / "thing-tuned.lock").exists()
