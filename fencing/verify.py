# SPDX-License-Identifier: GPL-2.0-or-later
"""The rule by which a power-off counts as proved (S3), the same for every driver.

Order off, whatever the device says to the order; read *off* in two separate queries; wait
`off_settle`, because some BMCs say off before the machine is; read *off* once more. Any other
answer, or none, starts the reading anew. What is not proved by the deadline is UNKNOWN.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from fencing import Device, FenceError, FenceOutcome, NotSentError, Power
from fencing.findings import Trouble
from fencing.identity import same

READINGS = 3
"""Off readings in a row that make the proof; the last one comes after `off_settle`."""
READ_GAP_S = 0.03
"""Pause between the first two: a BMC that answers from one cached sample gets to take another."""
POLL_FIRST_S = 0.05
POLL_MAX_S = 0.5
"""Pauses after a reading that was not off; they double, as BMCs are slow computers."""
REORDER_S = 1.0
"""Pause before an order that was refused or not acknowledged is given again, e.g. for code 0xC0,
node busy."""
ON_AGAIN_S = 5.0
"""Pause before *on* is given again to a device that took it and still reads off; it doubles. Some
BMCs drop it silently while the platform is still going down (RackN, "ipmi-power-confirm-timeout");
PDUs wait up to 3 s by themselves as they are shipped, and an order may make them begin anew."""


class Clock(Protocol):
    """Time, so that the rule can be tested without waiting."""

    def now_ns(self) -> int:
        """Monotonic nanoseconds."""

    def sleep(self, pause_s: float) -> None:
        """Let `pause_s` seconds pass."""


class MonotonicClock:
    """CLOCK_MONOTONIC, which every process of this machine reads alike."""

    def now_ns(self) -> int:
        """Monotonic nanoseconds."""
        return time.monotonic_ns()

    def sleep(self, pause_s: float) -> None:
        """Let `pause_s` seconds pass."""
        time.sleep(pause_s)


class Happened(StrEnum):
    """A step of an attempt, for whoever watches it."""

    ORDERED = "ordered"
    """An order is about to leave."""
    ACKNOWLEDGED = "acknowledged"
    """The device took the order; whether it carries it out is another matter."""
    REFUSED = "refused"
    """The order was answered with an error, or not at all."""
    NOT_SENT = "not sent"
    """The order certainly did not leave."""
    READ = "read"
    """A reading; the text is the power."""
    UNREAD = "unread"
    """A query was answered with an error, or not at all."""


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of an attempt at its moment (monotonic)."""

    at_ns: int
    happened: Happened
    text: str


Tell = Callable[[Progress], None]


def nobody(progress: Progress) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class OffRule:
    """What one attempt has to keep to."""

    deadline_ns: int
    """Monotonic; the device is asked nothing after it."""
    off_settle_s: float
    expect_identity: UUID | None = None


@dataclass(frozen=True, slots=True)
class OffResult:
    """How one device's attempt ended, and the moments of it (monotonic)."""

    outcome: FenceOutcome
    detail: str
    ordered_ns: int | None = None
    """When the first order was about to leave."""
    first_off_ns: int | None = None
    """When the query was about to leave that first read off and was not contradicted since."""
    read_off_ns: int | None = None
    """When the query was about to leave whose answer completed the proof: off since then."""
    evidence: str = ""
    """What the device saw besides its switch, e.g. that no current flows."""


def power_off(device: Device, rule: OffRule, clock: Clock, tell: Tell = nobody) -> OffResult:
    """Order off and read the proof; blocks until then or until the deadline.

    Returns:
        CONFIRMED_OFF only after READINGS readings of exactly *off* in a row, all later than the
        last order. FAILED only if no order can have left. Else UNKNOWN.
    """
    attempt = _Attempt(device, rule.deadline_ns, clock, tell, rule.expect_identity)
    if attempt.over():
        return OffResult(FenceOutcome.FAILED, "no time was left to order anything")
    try:
        attempt.order(device.off)
        proof_ns = attempt.read_off(rule.off_settle_s)
        if proof_ns is not None:
            attempt.refuse_other_machine()
    except NotSentError as error:
        return OffResult(FenceOutcome.FAILED, str(error))
    except _OtherMachineError as error:
        ordered_ns = attempt.first_ordered_ns
        outcome = FenceOutcome.FAILED if ordered_ns is None else FenceOutcome.UNKNOWN
        return OffResult(outcome, str(error), ordered_ns)
    if proof_ns is None:
        detail = f"not read off in time; {attempt.last_said}"
        return OffResult(FenceOutcome.UNKNOWN, detail, attempt.first_ordered_ns)
    return OffResult(
        outcome=FenceOutcome.CONFIRMED_OFF,
        detail="",
        ordered_ns=attempt.first_ordered_ns,
        first_off_ns=attempt.first_off_ns,
        read_off_ns=proof_ns,
        evidence=device.evidence(),
    )


def power_on(
    device: Device, deadline_ns: int, clock: Clock, tell: Tell = nobody
) -> tuple[bool, str]:
    """Order on and read it back: (True, "") only if the device then said *on*, else the reason."""
    attempt = _Attempt(device, deadline_ns, clock, tell)
    again_s, power = ON_AGAIN_S, Power.UNKNOWN
    while not attempt.over():
        try:
            if power is Power.OFF and attempt.ordered_before(again_s):
                attempt.order(device.on)
                again_s *= 2
            attempt.order_if_due(device.on)
            power = attempt.read()
            if power is Power.ON:
                return True, ""
        except (NotSentError, _OtherMachineError) as error:
            return False, str(error)
        if not attempt.pause_after_wrong_answer():
            break
    return False, f"not read on in time; {attempt.last_said}"


class _OtherMachineError(Exception):
    """The device answers for another machine, which is neither ordered off nor read any more."""


class _Attempt:
    """The orders and readings of one attempt, none begun after its deadline."""

    def __init__(
        self,
        device: Device,
        deadline_ns: int,
        clock: Clock,
        tell: Tell,
        expected: UUID | None = None,
    ) -> None:
        self._device = device
        self._deadline_ns = deadline_ns
        self._clock = clock
        self._tell = tell
        self._expected = expected
        self._acknowledged = False
        self._ordered_ns: int | None = None
        self._poll_s = POLL_FIRST_S
        self.last_said = "it was not asked"
        self.first_ordered_ns: int | None = None
        self.first_off_ns: int | None = None

    def over(self) -> bool:
        return self._clock.now_ns() >= self._deadline_ns

    def order(self, give: _Order) -> None:
        """Give the order; a refusal is no error here, because only readings count.

        Raises:
            NotSentError: It certainly did not leave, and neither did one before it.
            _OtherMachineError: It would be given to another machine.
        """
        self.refuse_other_machine()
        first = self._ordered_ns is None
        self._ordered_ns = self._clock.now_ns()
        if first:
            self.first_ordered_ns = self._ordered_ns
        self._tell(Progress(self._ordered_ns, Happened.ORDERED, ""))
        try:
            give()
        except NotSentError as error:
            self._say(Happened.NOT_SENT, str(error))
            if first:
                raise
        except FenceError as error:
            _refuse(error)
            self.last_said = f"to the order it said: {error}"
            self._say(Happened.REFUSED, str(error))
        else:
            self._acknowledged = True
            self._say(Happened.ACKNOWLEDGED, "")

    def order_if_due(self, give: _Order) -> None:
        """Give the order unless the device took it, or refused it less than REORDER_S ago."""
        if not self._acknowledged and (self._ordered_ns is None or self.ordered_before(REORDER_S)):
            self.order(give)

    def ordered_before(self, pause_s: float) -> bool:
        """Whether the last order was given so long ago."""
        last_ns = self._ordered_ns
        return last_ns is not None and self._clock.now_ns() - last_ns >= pause_s * 1e9

    def read(self) -> Power:
        """One fresh reading; a device that does not answer reads UNKNOWN.

        Raises:
            _OtherMachineError: Of another machine.
        """
        try:
            power = self._device.status()
        except FenceError as error:
            _refuse(error)
            self.last_said = f"to the last query it said: {error}"
            self._say(Happened.UNREAD, str(error))
            return Power.UNKNOWN
        self.last_said = f"it last read {power}"
        self._say(Happened.READ, power)
        return power

    def read_off(self, off_settle_s: float) -> int | None:
        """Read until the proof is complete: the moment of its last query, None without proof."""
        readings = 0
        while not self.over():
            asked_ns = self._clock.now_ns()
            if self.read() is Power.OFF:
                readings += 1
                if readings == 1:
                    self.first_off_ns = asked_ns
                if readings == READINGS:
                    return asked_ns
                if not self._pause(off_settle_s if readings == READINGS - 1 else READ_GAP_S):
                    return None
                continue
            if readings:
                self._acknowledged = False  # It was off and is not: somebody ordered it on.
                readings = 0
            if not self.pause_after_wrong_answer():
                return None
            self.order_if_due(self._device.off)
        return None

    def refuse_other_machine(self) -> None:
        """Ask whose power it is: before every order, and once more when the proof is complete.

        An address may have become another machine's in between. A device that has no identity, or
        cannot tell it now, contradicts nothing.

        Raises:
            NotSentError: It cannot be asked, and no order has left.
            _OtherMachineError: It answers for another than the expected one.
        """
        if self._expected is None:
            return
        try:
            answer = self._device.identify()
        except FenceError as error:
            if isinstance(error, NotSentError) and self._ordered_ns is None:
                raise
            return
        if answer is not None and not same(answer, self._expected):
            text = f"wrong machine: the device answers for {answer}, expected {self._expected}"
            raise _OtherMachineError(text)

    def pause_after_wrong_answer(self) -> bool:
        """Wait before the next query, longer each time; False if the deadline comes first."""
        pause_s = self._poll_s
        self._poll_s = min(2 * pause_s, POLL_MAX_S)
        return self._pause(pause_s)

    def _say(self, happened: Happened, text: str) -> None:
        self._tell(Progress(self._clock.now_ns(), happened, text))

    def _pause(self, pause_s: float) -> bool:
        if self._clock.now_ns() + pause_s * 1e9 >= self._deadline_ns:
            return False
        self._clock.sleep(pause_s)
        return True


def _refuse(error: FenceError) -> None:
    """Give up a device whose driver itself found that another machine now answers."""
    if error.trouble is Trouble.OTHER_MACHINE:
        raise _OtherMachineError(str(error)) from None


class _Order(Protocol):
    def __call__(self) -> None: ...
