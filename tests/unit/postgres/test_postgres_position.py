# SPDX-License-Identifier: GPL-2.0-or-later
"""What counts as fresher, and who can stream from whom."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haagent.config import values
from haagent.postgres.follow import follows, forks
from haagent.postgres.layout import slot_of
from haagent.postgres.position import (
    LOG_MAX,
    TIMELINE_MAX,
    Position,
    log_position,
    position_of,
)
from haagent.resources.command import POSITION_MAX

PLACES = st.builds(Position, st.integers(1, TIMELINE_MAX), st.integers(0, LOG_MAX))
HISTORY = """1\t0/3000060\tno recovery target specified

2\t0/5000110\tno recovery target specified
"""


@given(PLACES, PLACES)
def test_numbers_are_ordered_as_places_are(one: Position, other: Position) -> None:
    """A later timeline is fresher than any amount of an earlier one; all fit into a heartbeat."""
    mine, theirs = one.number, other.number
    assert mine is not None
    assert theirs is not None
    assert (mine < theirs) == (one < other)
    assert 0 < mine <= POSITION_MAX
    assert position_of(mine) == one


@pytest.mark.parametrize(
    "place", [Position(0, 1), Position(TIMELINE_MAX + 1, 1), Position(1, LOG_MAX + 1)]
)
def test_what_does_not_fit_is_unknown(place: Position) -> None:
    """Rather no position than a wrong one."""
    assert place.number is None


def test_positions_of_the_log_are_read() -> None:
    """As PostgreSQL writes them; anything else is an error."""
    assert log_position("16/B374D848") == 0x16B374D848
    assert str(Position(3, 0x16B374D848)) == "16/B374D848 on timeline 3"
    for text in ("", "12", "1/x"):
        with pytest.raises(ValueError, match=r".+"):
            log_position(text)


def test_forks_are_read_from_a_history_file() -> None:
    """Each earlier timeline with the place where it was left; remarks and gaps are passed over."""
    assert forks(HISTORY + "# nothing\n") == {1: 0x3000060, 2: 0x5000110}


@pytest.mark.parametrize(
    ("own", "can"),
    [
        (Position(3, 0x6000000), True),
        (Position(3, 0x7000001), False),
        (Position(2, 0x5000110), True),
        (Position(2, 0x5000111), False),
        (Position(1, 0x3000060), True),
        (Position(1, 0x4000000), False),
        (Position(4, 0x1000000), False),
    ],
)
def test_who_can_stream(own: Position, *, can: bool) -> None:
    """Only what left each timeline at, or before, the place where the primary did."""
    assert follows(own, Position(3, 0x7000000), forks(HISTORY)) is can


def test_slots_have_names_that_postgresql_takes() -> None:
    """Lower case letters, digits and underscores, at most 63."""
    assert slot_of("Alpha-1.example") == "haagent_alpha_1_example"
    assert len(slot_of("a" * 80)) == 63


@pytest.mark.parametrize(
    "text", ["password=x", "host=192.0.2.1", "sslmode", "options='-c x'", "sslmode=a'b"]
)
def test_parameters_that_are_not_the_operators(text: str) -> None:
    """Secrets, and what the agent says itself, are refused; so is what libpq would not read."""
    with pytest.raises(ValueError, match=r".+"):
        values.conninfo(text)


def test_parameters_of_libpq() -> None:
    """What is left is taken as it stands."""
    text = "sslmode=verify-full sslrootcert='/etc/ssl/a b.pem'"
    assert values.conninfo(text) == text
    assert values.conninfo("") == ""
