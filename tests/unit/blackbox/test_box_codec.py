# SPDX-License-Identifier: GPL-2.0-or-later
"""Every value that the core takes, gives or holds survives the black box."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from haagent.blackbox import RecordingError
from haagent.blackbox.codec import Decoder, Encoder, classes_in, differences
from haagent.blackbox.entries import Entry, Noted
from haagent.core.effects import Effect, Fence
from haagent.core.events import Event, FenceFinished
from haagent.core.state import State

CLASSES = [one for one in classes_in(Entry).values() if one is not Noted]


def test_all_of_the_core_is_known() -> None:
    """Each event, each effect and the state with all its phases can be recorded."""
    assert {*get_args(Event), *get_args(Effect), State} <= set(CLASSES)


@pytest.mark.parametrize("of", CLASSES, ids=lambda of: of.__name__)
def test_any_value_comes_back_as_it_was(of: type) -> None:
    """Whatever the fields hold, JSON and back gives an equal value of the same types."""
    encoder = Encoder(of)
    decoder = Decoder(of, json.loads(json.dumps(encoder.shapes)))

    @settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
    @given(st.from_type(of))
    def comes_back(value: Any) -> None:
        found = decoder.decode(json.loads(encoder.encode(value)))
        assert found == value
        assert encoder.encode(found) == encoder.encode(value)  # True is not 1 there

    comes_back()


def test_what_an_edge_says_comes_back() -> None:
    """Notes carry any JSON."""
    encoder = Encoder(Entry)
    noted = Noted(5, "resource.started", {"of": "vip", "took_ms": 7, "why": None, "s": [1, "ä"]})
    assert Decoder(Entry, encoder.shapes).decode(json.loads(encoder.encode(noted))) == noted


@pytest.mark.parametrize(
    "line",
    [
        None, 7, "Stepped", [], ["Nobody", 1], ["Stepped", 1], ["Fence", "1"], ["Fence", True],
        ["Fence", 1, 2], ["FenceFinished", 1, "perhaps", "", None], ["Started", *[None] * 7],
        [["Fence"], 1], {"Fence": 1},
    ],
)  # fmt: skip
def test_nonsense_is_refused(line: object) -> None:
    """What does not fit its type is no entry, and says so in one way only."""
    shapes = Encoder(Entry | Fence | FenceFinished).shapes
    with pytest.raises(RecordingError):
        Decoder(Entry | Fence | FenceFinished, shapes).decode(line)


@dataclass(frozen=True, slots=True)
class Grown:
    """Fields came and went since a file was written."""

    kept: int
    new: str = "default"


def test_fields_come_and_go() -> None:
    """A field that a file lacks has its default; one that is gone is left out, and told."""
    decoder = Decoder(Grown, {"Grown": ["gone", "kept"]})
    assert decoder.decode(["Grown", "x", 7]) == Grown(7)
    assert decoder.unknown == {"Grown.gone"}


def test_a_field_without_default_must_be_there() -> None:
    """What this release cannot do without is not invented."""
    with pytest.raises(RecordingError, match="Grown has no kept"):
        Decoder(Grown, {"Grown": ["new"]}).decode(["Grown", "x"])


def test_a_difference_has_its_path() -> None:
    """Two values are compared down to the field that differs."""
    one = FenceFinished(1, "unknown", "busy")  # type: ignore[arg-type]  # only shown
    assert list(differences((one,), (one,))) == []
    other = replace(one, detail="")
    assert list(differences((one,), (other,), "effects")) == [
        "effects[0].detail: recorded 'busy', now ''"
    ]
    assert list(differences((), (one,), "effects")) == [f"effects: recorded (), now {(one,)}"]
