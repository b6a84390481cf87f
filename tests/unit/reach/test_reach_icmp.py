# SPDX-License-Identifier: GPL-2.0-or-later
"""Echo requests are what the standard says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from haagent.reach.icmp import checksum, echo_request


@given(st.binary(min_size=16, max_size=16), st.integers(0, 0xFFFF))
def test_echo_checksum(token: bytes, sequence: int) -> None:
    """RFC 1071: with its checksum in place an echo request sums up to zero."""
    assert checksum(echo_request(4, sequence, token)) == 0
