# SPDX-License-Identifier: GPL-2.0-or-later
"""Each combination of peer, witness, BMC and PDU, reached or not from each side."""

from __future__ import annotations

from pathlib import Path

import pytest

from .connections import Case, cases, ends
from .connections_page import page

PAGE = Path(__file__).parents[2] / "docs" / "witness-table.md"
REACHED = (True, True, True, True)
DEAF = (False, True, True, True)
CUT = (False, False, False, False)
LEFT_TO_THE_WITNESS = (False, True, False, False)


@pytest.mark.sim
@pytest.mark.timeout(1200)
def test_every_combination_is_on_the_page(*, update: bool) -> None:
    """S1, S2 e, S9: no checker fires in any combination, and the page says how each one ends."""
    text = page({case: ends(case) for case in cases()})
    if update:
        PAGE.write_text(text, encoding="utf-8")
    assert text == PAGE.read_text(encoding="utf-8"), "pytest --update, then review the diff"


@pytest.mark.parametrize(
    ("case", "shooters", "waits"),
    [
        (Case(1, REACHED, REACHED), {"nobody"}, "nobody"),
        (Case(1, DEAF, DEAF), {"beta"}, "peer_never_heard"),
        (Case(1, DEAF, (False, False, True, True)), {"nobody"}, "witness_unreachable"),
        (Case(1, DEAF, (False, True, False, False)), {"nobody"}, "fence_unconfirmed"),
        (Case(1, DEAF, (False, True, False, True)), {"beta"}, "peer_never_heard"),
        (Case(1, (), (False, False, False, False)), {"nobody"}, "witness_unreachable"),
        (Case(2, DEAF, DEAF), {"alpha", "beta"}, "peer_never_heard"),
        (Case(2, (False, False, True, True), DEAF), {"beta"}, "peer_never_heard"),
        (Case(1, (), (False, True, False, False), unfed=True), {"nobody"}, "nobody"),
        (Case(1, CUT, CUT, unfed=True), {"nobody"}, "witness_unreachable"),
    ],
)
def test_what_an_operator_expects(case: Case, shooters: set[str], waits: str) -> None:
    """The rows that matter most, each by itself: never both shoot, and who waits knows why."""
    found = ends(case)
    assert {end.shoots for end in found} <= shooters
    assert all(waits in end.waits for end in found), found


@pytest.mark.parametrize(
    ("alpha", "beta", "serves"),
    [
        ((), LEFT_TO_THE_WITNESS, {"beta"}),
        (CUT, LEFT_TO_THE_WITNESS, {"beta"}),
        (LEFT_TO_THE_WITNESS, LEFT_TO_THE_WITNESS, {"beta"}),
        (LEFT_TO_THE_WITNESS, CUT, {"alpha"}),
        (CUT, CUT, {"nobody"}),
        ((True, False, False, False), (True, False, False, False), {"alpha"}),
    ],
)
def test_who_serves_where_only_watchdogs_prove_anything(
    alpha: tuple[bool, ...], beta: tuple[bool, ...], serves: set[str]
) -> None:
    """S1, S2 e: whom the witness stands by serves; without peer and witness nobody does."""
    assert {end.serves for end in ends(Case(1, alpha, beta, unfed=True))} == serves
