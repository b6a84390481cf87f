# SPDX-License-Identifier: GPL-2.0-or-later
"""Who must agree before a takeover: there, and asked from here if no agent asks them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from haagent.cli.verdict import rows
from haagent.doctor import Line, Subject, bad, ok, warning
from haagent.witness import Seat, Vote, Word
from haagent.witness.build import make_panel
from haagent.witness.majority import Ballot, is_barred

REMEDY = "docs/witness.md has what to do for each of its answers"


def look(subject: Subject) -> Iterator[Line]:
    """Each witness, and whether enough of them are there."""
    seats = make_panel(subject.configuration).seats
    if not seats:
        return
    words = _told(subject) or asyncio.run(_ask(seats))
    for seat in seats:
        vote = words.get(seat.name, Vote(Word.SILENT, "not asked yet"))
        what, text = f"witness {seat.name}", f"{seat.kind}: {vote.detail}"
        if vote.word is Word.YES:
            yield ok(what, text)
        else:
            left_out = "; it is left out of the count meanwhile" if seat.ignored else ""
            yield warning(what, text + left_out, REMEDY)
    silent = Vote(Word.SILENT, "")
    ballots = [
        Ballot(words.get(seat.name, silent).word, seat.witness.chooses, seat.ignored)
        for seat in seats
    ]
    if is_barred(ballots):
        yield bad("witnesses", "too few are there to agree to a takeover", REMEDY)
    else:
        yield ok("witnesses", f"enough of {len(seats)} are there; a majority must agree")


def _told(subject: Subject) -> dict[str, Vote]:
    """What the agent that runs here was told last."""
    return {
        str(row.get("name")): Vote(Word(str(row.get("word"))), str(row.get("detail")))
        for row in rows(subject.status, "witnesses")
        if row.get("word") in set(Word)
    }


async def _ask(seats: tuple[Seat, ...]) -> dict[str, Vote]:
    try:
        for seat in seats:
            seat.witness.open()
        votes = await asyncio.gather(*(_ask_one(seat) for seat in seats))
    finally:
        for seat in seats:
            seat.witness.close()
    return {seat.name: vote for seat, vote in zip(seats, votes, strict=True)}


async def _ask_one(seat: Seat) -> Vote:
    try:
        async with asyncio.timeout(seat.limit_s):
            return await seat.witness.look({})
    except TimeoutError:
        return Vote(Word.SILENT, f"no answer within {seat.limit_s:g} s")
