# SPDX-License-Identifier: GPL-2.0-or-later
"""Debounce, and which signs a group's clients are judged by: both without a clock."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface

from hypothesis import given
from hypothesis import strategies as st

from haagent.reach import Reference, clients_of
from haagent.reach.steady import Steady
from haagent.reach.watch import NUMBERS, not_before
from haagent.vip import Vip

GATEWAY = Reference(ip_address("192.0.2.1"))
GATEWAY6 = Reference(ip_address("fe80::1"), neighbour_on="eth0")
MANAGEMENT = Reference(ip_address("198.51.100.1"))
WEB = Vip(ip_interface("192.0.2.10/24"), "eth0")
WEB6 = Vip(ip_interface("2001:db8::10/64"), "eth0")
FILES = Vip(ip_interface("203.0.113.10/24"), "bond0.7")

COUNTS = st.integers(1, 4)


@given(COUNTS, COUNTS, st.lists(st.booleans(), max_size=60))
def test_only_a_row_changes_the_verdict(
    failures: int, successes: int, readings: list[bool]
) -> None:
    """Bad after `failures` bad ones in a row, good after `successes` good ones, else as is."""
    steady = Steady(failures, successes)
    verdict = True
    for index, reading in enumerate(readings):
        needed = successes if reading else failures
        row = readings[max(0, index + 1 - needed) : index + 1]
        if row == [reading] * needed:
            verdict = reading
        assert steady.take(good=reading) is verdict
        assert steady.good is verdict


@given(st.lists(st.booleans(), max_size=60))
def test_a_flapping_reading_changes_nothing(flaps: list[bool]) -> None:
    """With the default patience no reading that comes alone is noticed."""
    steady = Steady(3, 2)
    for flap in flaps:
        assert steady.take(good=not flap)
        assert steady.take(good=True)


def test_near_references_judge_alone() -> None:
    """A gateway in the clients' network decides; without one all references do."""
    everybody = (GATEWAY, GATEWAY6, MANAGEMENT)
    web, files = clients_of([WEB, WEB6], everybody), clients_of([FILES], everybody)
    assert web.references == (GATEWAY,)
    assert files.references == everybody
    assert (web.interfaces, files.interfaces) == (("eth0",), ("bond0.7",))
    assert clients_of([], everybody).interfaces == ()


@given(st.integers(0, NUMBERS - 1), st.integers(0, NUMBERS // 2 - 1))
def test_numbers_start_again(first: int, later: int) -> None:
    """The order of questions holds where their numbers start again from 0."""
    assert not_before((first + later) % NUMBERS, first)
    assert not_before(first, (first + later) % NUMBERS) is (later == 0)


def test_references_as_they_are_told() -> None:
    """Words for the operator."""
    assert [str(GATEWAY), str(GATEWAY6)] == ["192.0.2.1", "fe80::1 on eth0"]
