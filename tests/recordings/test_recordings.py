# SPDX-License-Identifier: GPL-2.0-or-later
"""What real pairs went through is decided today as it was then, and told as it was.

Each recording is of a pair on the bench or of a customer's. One that is decided otherwise fails
with its story; docs/black-box.md says what to do then.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from haagent.blackbox.episodes import newest
from haagent.blackbox.reading import segments
from haagent.blackbox.replay import replay
from haagent.blackbox.story import tell, tell_until

HERE = Path(__file__).parent
RECORDINGS = sorted(HERE.glob("*.box"))
HANDFUL = 10


def test_there_are_recordings() -> None:
    """The pairs of the bench left more than a handful, and no story is left without one."""
    assert len(RECORDINGS) >= HANDFUL
    assert {path.stem for path in HERE.glob("*.txt")} == {path.stem for path in RECORDINGS}


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_the_core_decides_the_same(path: Path) -> None:
    """Every step: effects, phases and, where a segment begins, the whole state."""
    verdict = replay(segments(path))
    difference = verdict.difference
    if difference is not None:
        story = tell_until(difference.segment, difference.at_ns)
        fields = (f"  {field}" for field in difference.fields)
        pytest.fail("\n".join([*story, "", f"decided otherwise at {difference.event}:", *fields]))
    assert verdict.steps
    assert not verdict.torn
    assert not verdict.lost


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_it_is_told_as_it_was(path: Path, *, update: bool) -> None:
    """`haagent explain` tells of it what stands beside it (rewritten with --update)."""
    episode = newest(path)
    assert episode is not None
    text = "\n".join(tell(episode)) + "\n"
    transcript = path.with_suffix(".txt")
    if update:
        transcript.write_text(text)
    assert text == transcript.read_text()
