# SPDX-License-Identifier: GPL-2.0-or-later
"""The byte orders in which firmware tells a UUID."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fencing.identity import from_bytes, same

WRITTEN = UUID("b1234567-89ab-4def-a123-456789abcdef")


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param("b1234567-89ab-4def-a123-456789abcdef", id="as written (ipmi_sim)"),
        pytest.param("efcdab89-6745-23a1-ef4d-ab89674523b1", id="backwards (IPMI)"),
        pytest.param("674523b1-ab89-ef4d-a123-456789abcdef", id="first fields little-endian"),
        pytest.param("89abcdef-4567-a123-ef4d-ab89674523b1", id="backwards, then little-endian"),
        pytest.param("efcdab89-6745-23a1-4def-89abb1234567", id="little-endian, then backwards"),
    ],
)
def test_one_machine_in_every_order(answer: str) -> None:
    """One machine's UUID is recognised however its bytes were turned."""
    assert same(UUID(answer), WRITTEN)
    assert same(WRITTEN, UUID(answer))


@given(st.uuids(), st.uuids())
def test_two_machines_are_told_apart(one: UUID, two: UUID) -> None:
    """No other machine's UUID passes, whatever way round; sameness is mutual."""
    assert same(one, one)
    assert same(one, two) == same(two, one)
    if sorted(one.bytes) != sorted(two.bytes):
        assert not same(one, two)


@pytest.mark.parametrize("raw", [bytes(16), b"\xff" * 16, b"", bytes(15) + b"\x01" + b"\x00"])
def test_no_identity(raw: bytes) -> None:
    """What firmware answers when it was never given a UUID identifies nothing."""
    assert from_bytes(raw) is None
