# SPDX-License-Identifier: GPL-2.0-or-later
"""How the parts of a drill become its verdict."""

from __future__ import annotations

from witness.loop import looped

from haagent.drill.archive import Verdict
from haagent.drill.experiment import Ending
from haagent.drill.watch import StoppedError


async def _goes_well() -> None:
    pass


async def _is_stopped() -> None:
    raise StoppedError("operator", "ordered by a person")


@looped
async def test_nothing_that_deviated_passes() -> None:
    """What was noticed beside the way fails a drill whose every part went well."""
    ending = Ending()
    assert await ending.attempt(_goes_well())
    ending.noticed(["2 power-offs were ordered, not one"])
    assert ending.verdict is Verdict.FAILED
    assert ending.reason == "2 power-offs were ordered, not one"
    assert ending.deviations == [ending.reason]


@looped
async def test_the_first_bad_news_is_the_verdict() -> None:
    """An aborted drill stays aborted; what was noticed as well is told once."""
    ending = Ending()
    assert not await ending.attempt(_is_stopped())
    ending.noticed(["ordered by a person", "the history was not to be had"])
    assert ending.verdict is Verdict.ABORTED
    assert ending.reason == "ordered by a person"
    assert ending.deviations == ["ordered by a person", "the history was not to be had"]


@looped
async def test_a_drill_without_news_passes() -> None:
    """Nothing noticed: nothing said."""
    ending = Ending()
    await ending.hold(_goes_well())
    ending.noticed([])
    assert (ending.verdict, ending.reason, ending.deviations) == (Verdict.PASSED, "", [])
