# SPDX-License-Identifier: GPL-2.0-or-later
"""A PDU at its serial console: the outlets that feed one machine, cut and read together.

No acknowledgement is believed. The relays are read back, all of the machine's outlets in every
reading, and where the PDU measures each outlet, a current that still flows contradicts them.
"""

from __future__ import annotations

from importlib import import_module
from uuid import UUID

from fencing import DeviceSettings, FenceError, Inspection, NotSentError, Option, Power
from fencing.drivers.pdu.dialect import ANSWER_S, Dialect, Query
from fencing.drivers.pdu.line import Line
from fencing.drivers.pdu.session import Session
from fencing.findings import Finding, Trouble

DIALECTS = ("apc", "baytech", "cyberpower", "raritan", "rps10", "sentry", "wti")
CURRENT_MAX_A = 0.1
"""What PDUs show of an outlet without load (their resolution); a server that runs draws more."""
OPERATION_PART = 0.9
"""Of the deadline, for one question or order: a worker that overruns it is killed, and cannot log
out, which locks everyone out of a CyberPower for up to 180 s."""
PROOF_CHARACTERS = 5_300
"""Of a login (a CyberPower's banner: 700), an order and three readings of 24 outlets (1,500 each).
At 9600 baud they take 5.5 s, without all delays."""
PROOF_PAUSES_S = 0.5
"""Between them: answers begin after some ms, and each is followed by two characters' silence."""
BITS_PER_CHARACTER = 10


class PduDevice:
    """Some outlets of one PDU. Options: those of `pdu` in fencing.drivers.

    Raises:
        FenceError: Settings that no PDU can have.
    """

    def __init__(self, settings: DeviceSettings) -> None:
        options = settings.options
        self._settings = settings
        self._dialect = _dialect(str(options.get("dialect", ""))).changed(options)
        self._outlets = _outlets(options.get("outlets", ()), self._dialect)
        self._line = Line(settings.address, self._dialect)
        answer = options.get("answer", ANSWER_S)
        assert isinstance(answer, int | float), "answer is a duration"
        password = settings.password.reveal()
        if not password.isascii() or not password.decode("ascii", "replace").isprintable():
            raise FenceError("the password cannot be typed at a console", Trouble.SETTINGS)
        self._session = Session(
            self._line,
            self._dialect,
            (settings.user, settings.password),
            answer_s=answer,
            limit_s=OPERATION_PART * settings.deadline_s,
        )
        self._evidence = ""
        self._measures = self._dialect.current is not None

    def off(self) -> None:
        """Order every outlet off, one after the other."""
        self._switch(self._dialect.off)

    def on(self) -> None:
        """Order every outlet on, one after the other."""
        self._switch(self._dialect.on)

    def status(self) -> Power:
        """Read the outlets: OFF if all are off and none draws current, ON if any is on."""
        self._evidence = ""
        listed = self._read()
        states = {listed.get(outlet, Power.UNKNOWN) for outlet in self._outlets}
        if Power.ON in states:
            return Power.ON
        if states != {Power.OFF}:
            return Power.UNKNOWN
        return Power.UNKNOWN if self._draws_current() else Power.OFF

    def evidence(self) -> str:
        """The current of each outlet when they last read off; "" if the PDU does not tell."""
        return self._evidence

    def identify(self) -> UUID | None:
        """None: a PDU does not know whom it feeds."""
        return None

    def inspect(self) -> Inspection:
        """Outlets that there are, the delay before an outlet is cut, and which PDU it is."""
        findings = [Finding(Trouble.IDENTITY_UNKNOWN, "a PDU does not know which machine it feeds")]
        listed = self._read()
        missing = [outlet for outlet in self._outlets if outlet not in listed]
        if missing:
            seen = _ranges(listed)
            text = f"it lists no outlet {_ranges(missing)}; it lists {seen or 'none'}"
            findings.append(Finding(Trouble.SETTINGS, text))
        delay_s = self._delay_s()
        left_s = self._settings.deadline_s - delay_s - self._settings.off_settle_s
        needed_s = PROOF_PAUSES_S + PROOF_CHARACTERS * BITS_PER_CHARACTER / self._dialect.baud
        if left_s < needed_s:
            text = (
                f"it waits {delay_s:g} s before it cuts an outlet, off_settle is"
                f" {self._settings.off_settle_s:g} s: {left_s:g} s of the deadline are left,"
                f" {needed_s:.1f} s are needed"
            )
            findings.append(Finding(Trouble.DELAY, text))
        return Inspection(mark=self._mark(), own_delay_s=delay_s, findings=tuple(findings))

    def rest(self) -> None:
        """Log out and close the line, so that others can use the console; never raises."""
        self._session.log_out()

    def close(self) -> None:
        """Log out and close the line, in the midst of anything too; never raises."""
        self._session.log_out()

    def _switch(self, order: str) -> None:
        given = False
        for outlet in self._outlets:
            try:
                self._session.order(self._command(order, outlet))
            except NotSentError as error:
                if given:
                    raise FenceError(str(error), error.trouble) from None
                raise
            given = True

    def _read(self) -> dict[int, Power]:
        """Every outlet that the PDU tells of, at least of those that are ours."""
        if "{outlet}" not in self._dialect.status:
            return self._dialect.states(self._session.ask(self._command(self._dialect.status)))
        found: dict[int, Power] = {}
        for outlet in self._outlets:
            answer = self._asked(self._dialect.status, outlet)
            listed = {} if answer is None else self._dialect.states(answer)
            if outlet in listed:
                found[outlet] = listed[outlet]
        return found

    def _draws_current(self) -> bool:
        """Whether an outlet is known to draw current; what was read becomes the evidence."""
        query = self._dialect.current
        if query is None or not self._measures:
            return False
        try:
            amperes = self._values(query)
        except FenceError as error:
            self._evidence = f"no current was read: {error}"
            return False
        self._measures = bool(amperes)  # A model without meters is not asked again.
        currents = (f"outlet {outlet}: {current:g} A" for outlet, current in amperes.items())
        self._evidence = ", ".join(currents)
        return any(current > CURRENT_MAX_A for current in amperes.values())

    def _delay_s(self) -> float:
        query = self._dialect.delay
        delays = {} if query is None else self._values(query)
        return max(delays.values(), default=0.0)

    def _mark(self) -> str:
        query = self._dialect.serial
        answer = None if query is None else self._asked(query.command)
        values = () if query is None or answer is None else query.values(answer).values()
        which = next(iter(values), "") or self._line.device_number()
        return f"{self._dialect.name} {which} outlets {_ranges(self._outlets)}" if which else ""

    def _values(self, query: Query) -> dict[int, float]:
        """A number for each of our outlets, as far as the PDU has one."""
        found: dict[int, float] = {}
        each = "{outlet}" in query.command
        for asked in self._outlets if each else self._outlets[:1]:
            answer = self._asked(query.command, asked)
            for outlet, value in query.values(answer or "").items():
                found[asked if outlet is None else outlet] = float(value)
        return {outlet: value for outlet, value in found.items() if outlet in self._outlets}

    def _asked(self, command: str, outlet: int = 0) -> str | None:
        """An answer, None if the PDU refused the question."""
        try:
            return self._session.ask(self._command(command, outlet))
        except FenceError as error:
            if error.trouble is Trouble.REFUSED:
                return None
            raise

    def _command(self, command: str, outlet: int = 0) -> str:
        return command.format(outlet=outlet, tower=self._dialect.tower)


def _dialect(name: str) -> Dialect:
    if name not in DIALECTS:
        text = f"no dialect is called {name!r}; there are: {', '.join(DIALECTS)}"
        raise FenceError(text, Trouble.SETTINGS)
    dialect = import_module(f"{__name__}.{name}").DIALECT
    assert isinstance(dialect, Dialect)
    return dialect


def _outlets(value: Option, dialect: Dialect) -> tuple[int, ...]:
    """The outlets' numbers; nothing else is ever put into a command."""
    numbers = tuple(value) if isinstance(value, tuple | list) else ()
    if not numbers or not all(type(number) is int for number in numbers):
        raise FenceError("outlets: a list of integers is needed", Trouble.SETTINGS)
    known = range(dialect.lowest, dialect.highest + 1)
    if not all(number in known for number in numbers) or len(set(numbers)) < len(numbers):
        text = f"outlets: each is named once, and from {dialect.lowest} to {dialect.highest}"
        raise FenceError(text, Trouble.SETTINGS)
    return numbers


def _ranges(outlets: tuple[int, ...] | list[int] | dict[int, Power]) -> str:
    return ", ".join(str(outlet) for outlet in sorted(outlets))
