# SPDX-License-Identifier: GPL-2.0-or-later
"""The rule of proof against devices that answer anything, in any order, at any speed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from fencing import FenceError, FenceOutcome, Inspection, NotSentError, Power
from fencing.verify import ON_AGAIN_S, READ_GAP_S, OffRule, power_off, power_on

T = TypeVar("T")
S = 1_000_000_000
ME = UUID("b1234567-89ab-cdef-a123-456789abcdef")
OTHER = UUID("00000000-89ab-cdef-a123-456789abcdef")

Answer = Power | type[FenceError]
Identity = UUID | type[FenceError] | None
READINGS: st.SearchStrategy[Answer] = st.sampled_from([*Power, FenceError, NotSentError])
MOSTLY_OFF: st.SearchStrategy[Answer] = st.one_of(st.just(Power.OFF), READINGS)
ORDERS: st.SearchStrategy[type[FenceError] | None] = st.sampled_from(
    [None, None, FenceError, NotSentError]
)
DURATIONS_S = st.sampled_from([0.0, 0.001, 0.2, 1.0, 4.0])


class SimulatedClock:
    """Time that passes only when somebody spends it."""

    def __init__(self) -> None:
        self.ns = 1_000 * S

    def now_ns(self) -> int:
        """The simulated moment."""
        return self.ns

    def sleep(self, pause_s: float) -> None:
        """Spend it."""
        assert pause_s >= 0
        self.ns += round(pause_s * 1e9)


@dataclass(frozen=True)
class Call:
    """One call of the device, and how it ended."""

    name: str
    began_ns: int
    ended_ns: int
    result: object


class ScriptedDevice:
    """Answers from lists, each of which ends in its last element repeated."""

    def __init__(
        self,
        clock: SimulatedClock,
        readings: Sequence[Answer],
        orders: Sequence[type[FenceError] | None] = (None,),
        durations_s: Sequence[float] = (0.001,),
        identity: Identity | list[Identity] = None,
    ) -> None:
        self.clock = clock
        self.calls: list[Call] = []
        self._readings, self._orders = list(readings), list(orders)
        self._durations_s = list(durations_s)
        self._identities = identity if isinstance(identity, list) else [identity]

    def off(self) -> None:
        """The next scripted order."""
        self._spend("off", _next(self._orders))

    def on(self) -> None:
        """The next scripted order."""
        self._spend("on", _next(self._orders))

    def status(self) -> Power:
        """The next scripted reading."""
        reading = _next(self._readings)
        self._spend("status", reading)
        assert isinstance(reading, Power)
        return reading

    def evidence(self) -> str:
        """What the last reading saw besides."""
        return "no current"

    def inspect(self) -> Inspection:
        """Nothing but the scripted identity."""
        return Inspection(self.identify())

    def rest(self) -> None:
        """Nothing to give back."""

    def identify(self) -> UUID | None:
        """The scripted identity."""
        identity = _next(self._identities)
        self._spend("identify", identity)
        assert not isinstance(identity, type)
        return identity

    def close(self) -> None:
        """Nothing to log out of."""

    def _spend(self, name: str, result: object) -> None:
        began_ns = self.clock.ns
        self.clock.sleep(_next(self._durations_s))
        self.calls.append(Call(name, began_ns, self.clock.ns, result))
        if isinstance(result, type) and issubclass(result, FenceError):
            raise result("scripted")


def _next(script: list[T]) -> T:
    return script.pop(0) if len(script) > 1 else script[0]


def _rule(
    clock: SimulatedClock, settle_s: float = 2.0, budget_s: float = 20.0, expect: UUID | None = None
) -> OffRule:
    return OffRule(clock.ns + round(budget_s * 1e9), settle_s, expect)


@given(
    readings=st.lists(MOSTLY_OFF, min_size=1, max_size=30),
    orders=st.lists(ORDERS, min_size=1, max_size=5),
    durations_s=st.lists(DURATIONS_S, min_size=1, max_size=30),
    settle_s=st.sampled_from([0.0, 0.5, 2.0]),
    budget_s=st.sampled_from([0.0, 1.0, 20.0]),
)
def test_only_the_required_readings_confirm(
    readings: list[Answer],
    orders: list[type[FenceError] | None],
    durations_s: list[float],
    settle_s: float,
    budget_s: float,
) -> None:
    """S3: CONFIRMED_OFF needs an order, then three clean off readings with the pauses between."""
    clock = SimulatedClock()
    device = ScriptedDevice(clock, readings, orders, durations_s)
    rule = _rule(clock, settle_s, budget_s)
    result = power_off(device, rule, clock)
    calls = device.calls
    assert all(call.began_ns < rule.deadline_ns for call in calls)
    sent = [call for call in calls if call.name == "off" and call.result is not NotSentError]
    last = calls[-3:]
    proof = [call.name for call in last] == ["status"] * 3 and all(
        call.result is Power.OFF for call in last
    )
    match result.outcome:
        case FenceOutcome.CONFIRMED_OFF:
            assert proof
            assert sent
            assert last[1].began_ns - last[0].ended_ns >= READ_GAP_S * S
            assert last[2].began_ns - last[1].ended_ns >= settle_s * S
            assert result.read_off_ns == last[2].began_ns
            assert result.first_off_ns == last[0].began_ns
            assert result.evidence == "no current"
        case FenceOutcome.FAILED:
            assert not sent
            assert result.read_off_ns is None
        case FenceOutcome.UNKNOWN:
            assert sent
            assert not proof
            assert result.read_off_ns is None


@given(
    before=st.lists(READINGS, max_size=8),
    orders=st.lists(st.sampled_from([None, FenceError]), min_size=1, max_size=3),
)
def test_an_honest_device_is_believed(
    before: list[Answer], orders: list[type[FenceError] | None]
) -> None:
    """A device that settles at off is confirmed, refused orders (0xD5) or not."""
    clock = SimulatedClock()
    device = ScriptedDevice(clock, [*before, Power.OFF], orders)
    result = power_off(device, _rule(clock), clock)
    assert result.outcome is FenceOutcome.CONFIRMED_OFF


def test_another_machine_is_not_ordered_off() -> None:
    """A contradicting identity fails the attempt before any order leaves."""
    clock = SimulatedClock()
    device = ScriptedDevice(clock, [Power.OFF], identity=OTHER)
    result = power_off(device, _rule(clock, expect=ME), clock)
    assert result.outcome is FenceOutcome.FAILED
    assert str(OTHER) in result.detail
    assert [call.name for call in device.calls] == ["identify"]


def test_a_device_without_identity_is_ordered_off() -> None:
    """A device that cannot tell contradicts nothing; one that cannot be asked is FAILED."""
    for identity, outcome in (
        (None, FenceOutcome.CONFIRMED_OFF),
        (FenceError, FenceOutcome.CONFIRMED_OFF),
        (ME, FenceOutcome.CONFIRMED_OFF),
        (NotSentError, FenceOutcome.FAILED),
    ):
        clock = SimulatedClock()
        device = ScriptedDevice(clock, [Power.OFF], identity=identity)
        assert power_off(device, _rule(clock, expect=ME), clock).outcome is outcome


def test_a_busy_device_is_asked_again_who_it_is() -> None:
    """A device that says only after the order that it is another machine's proves nothing."""
    clock = SimulatedClock()
    device = ScriptedDevice(clock, [Power.OFF], identity=[FenceError, OTHER])
    result = power_off(device, _rule(clock, expect=ME), clock)
    assert result.outcome is FenceOutcome.UNKNOWN
    assert str(OTHER) in result.detail


def test_a_refused_order_is_given_again() -> None:
    """A busy BMC (0xC0) is asked again, one that took the order is not."""
    clock = SimulatedClock()
    busy = ScriptedDevice(clock, [Power.ON] * 6 + [Power.OFF], [FenceError, None])
    power_off(busy, _rule(clock), clock)
    assert [call.name for call in busy.calls].count("off") == 2
    taken = ScriptedDevice(clock, [Power.ON] * 6 + [Power.OFF])
    power_off(taken, _rule(clock), clock)
    assert [call.name for call in taken.calls].count("off") == 1


def test_an_order_that_may_have_left_is_never_called_unsent() -> None:
    """S3: after a refused order, one that cannot be sent leaves the attempt UNKNOWN, not FAILED."""
    clock = SimulatedClock()
    device = ScriptedDevice(clock, [Power.ON], [FenceError, NotSentError])
    result = power_off(device, _rule(clock), clock)
    assert result.outcome is FenceOutcome.UNKNOWN
    assert [call.result for call in device.calls if call.name == "off"][-1] is NotSentError


def test_power_that_comes_back_is_cut_again() -> None:
    """Off and then on means that somebody switched it on: order again, begin the proof anew."""
    clock = SimulatedClock()
    device = ScriptedDevice(clock, [Power.OFF, Power.OFF, *[Power.ON] * 6, Power.OFF])
    result = power_off(device, _rule(clock), clock)
    assert result.outcome is FenceOutcome.CONFIRMED_OFF
    assert [call.name for call in device.calls].count("off") == 2


def test_an_on_that_was_dropped_is_given_again() -> None:
    """A BMC that takes *on* while its platform still goes down, and drops it, is told again."""
    clock = SimulatedClock()
    dropped = ScriptedDevice(clock, [Power.OFF] * 20 + [Power.ON])
    assert power_on(dropped, clock.ns + 20 * S, clock) == (True, "")
    orders = [call.began_ns for call in dropped.calls if call.name == "on"]
    assert len(orders) == 2
    assert orders[1] - orders[0] >= ON_AGAIN_S * S


def test_an_on_that_is_under_way_is_left_alone() -> None:
    """A device that does not say *off* is not told again; one that does, ever more rarely."""
    clock = SimulatedClock()
    coming = ScriptedDevice(clock, [Power.UNKNOWN] * 20 + [Power.ON])
    assert power_on(coming, clock.ns + 20 * S, clock) == (True, "")
    assert [call.name for call in coming.calls].count("on") == 1
    stuck = ScriptedDevice(clock, [Power.OFF])
    ok, detail = power_on(stuck, clock.ns + 40 * S, clock)
    assert not ok
    assert "off" in detail
    orders = [call.began_ns for call in stuck.calls if call.name == "on"]
    pauses = [later - before for before, later in pairwise(orders)]
    assert [round(pause_ns / S) for pause_ns in pauses] == [5, 10, 20]


@given(
    readings=st.lists(READINGS, min_size=1, max_size=30),
    orders=st.lists(ORDERS, min_size=1, max_size=5),
    durations_s=st.lists(DURATIONS_S, min_size=1, max_size=30),
)
def test_on_is_read_back_too(
    readings: list[Answer], orders: list[type[FenceError] | None], durations_s: list[float]
) -> None:
    """Giving power back is only done when the device then said on."""
    clock = SimulatedClock()
    device = ScriptedDevice(clock, readings, orders, durations_s)
    ok, detail = power_on(device, clock.ns + 10 * S, clock)
    last = device.calls[-1]
    assert ok == (last.name == "status" and last.result is Power.ON)
    assert ok == (detail == "")
