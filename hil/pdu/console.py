# SPDX-License-Identifier: GPL-2.0-or-later
"""What the consoles of all makes have in common: line editing, login, one session, idle time-out.

A make says its prompts, and answers its commands in `answer`. Everything that was typed stays to
be looked at: `commands` at the prompt, `names` at the login.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from pathlib import Path

from hil.pdu.outlets import OnChange, Relays
from hil.pdu.terminal import Terminal

BACKSPACE, DELETE, RETURN, NEWLINE = 0x08, 0x7F, 0x0D, 0x0A


class Place(Enum):
    """What the console waits for."""

    NAME = auto()
    PASSWORD = auto()
    PROMPT = auto()
    PAGER = auto()


@dataclass
class ConsoleFaults:
    """What is wrong with the PDU; may be changed at any time."""

    ignores_orders: bool = False
    """It takes orders to switch and does nothing."""
    own_delay_s: float = 0.0
    """It waits so long between an order and its effect."""
    echo: bool = True
    refusal_s: float = 0.0
    """A refused login is answered after so long."""
    refuses: int = 0
    """So many right logins are refused."""
    taken: bool = False
    """Somebody else is logged in elsewhere: a login is taken, then the session ends."""
    idle_s: float | None = None
    """An idle session ends after so long."""
    page_lines: int | None = None
    """The pager stops after so many lines."""
    lies: dict[int, str] = field(default_factory=dict)
    """What the status says of an outlet, whatever is true."""
    unlisted: frozenset[int] = frozenset()
    """Outlets that the status leaves out."""


class Console(Terminal):
    """One PDU's console.

    Args:
        path: Where the serial line appears.
        account: User and password.
        outlets: How many it has.
        on_change: Told of every outlet that moves.
    """

    prompt = b"> "
    name_prompt = b""
    """b"" where no name is asked."""
    password_prompt = b""
    """b"" where no password is asked."""
    password_echo = b""
    page_prompt = b"--More--"

    def __init__(
        self,
        path: Path,
        *,
        account: tuple[str, str] = ("", ""),
        outlets: int = 8,
        on_change: OnChange | None = None,
        baud: int = 9600,
    ) -> None:
        super().__init__(path, baud=baud)
        self.user, self.password = account
        self.relays = Relays(outlets, on_change)
        self.faults = ConsoleFaults()
        self.commands: list[str] = []
        self.on_command: Callable[[str], object] | None = None
        """Told of each of them before it is answered, in the emulator's thread."""
        self.names: list[str] = []
        self.logins = 0
        self.question = b""
        """Said in place of the next prompt; the line that follows goes to `reply`."""
        self._name = ""
        self._typed = bytearray()
        self._pages: list[bytes] = []
        self._idle_number = 0
        self.pending: set[int] = set()
        """Outlets with an order whose time has not come."""
        self._order_numbers: dict[int, int] = {}
        self._place = self._first_place()

    @property
    def session(self) -> bool:
        """Whether somebody is logged in."""
        return self._place in (Place.PROMPT, Place.PAGER)

    def answer(self, command: str) -> bytes | None:
        """What the make says to a command, without the prompt; None ends the session."""
        raise NotImplementedError

    def reply(self, question: bytes, line: str) -> bytes:
        """What the make says to the answer of a question that it had asked."""
        raise NotImplementedError

    def banner(self) -> bytes:
        """What follows a right password."""
        return b""

    def hear(self, character: int) -> None:
        """Edit the line; RETURN ends it."""
        self._restart_idle()
        if self._place is Place.PAGER:
            self._next_page()
        elif character == RETURN:
            line, self._typed = self._typed.decode("latin-1"), bytearray()
            self._end_line(line)
        elif character in (BACKSPACE, DELETE):
            if self._typed:
                self._typed.pop()
                self._echo(b"\x08 \x08")
        elif character != NEWLINE:
            self._typed.append(character)
            self._echo(bytes([character]))

    def switch(self, outlets: list[int], *, on: bool) -> None:
        """Carry an order out, when the PDU's own delay is over; a later order replaces it."""
        if self.faults.ignores_orders:
            return
        for outlet in outlets:
            number = self._order_numbers[outlet] = self._order_numbers.get(outlet, 0) + 1
            carry_out = partial(self._carry_out, outlet, number, on=on)
            if self.faults.own_delay_s:
                self.pending.add(outlet)
                self.later(self.faults.own_delay_s, carry_out)
            else:
                carry_out()

    def word(self, outlet: int, on: str, off: str) -> str:
        """What the status says of an outlet."""
        return self.faults.lies.get(outlet, on if self.relays.on[outlet] else off)

    def listed(self) -> list[int]:
        """The outlets that the status tells of."""
        return [outlet for outlet in self.relays.on if outlet not in self.faults.unlisted]

    def end_session(self) -> None:
        """As by `exit`."""
        self._place = self._first_place()
        self._pages.clear()
        self.question = b""

    def _carry_out(self, outlet: int, number: int, *, on: bool) -> None:
        if self._order_numbers[outlet] == number:
            self.pending.discard(outlet)
            self.relays.switch([outlet], on=on)

    def _first_place(self) -> Place:
        if self.name_prompt:
            return Place.NAME
        return Place.PASSWORD if self.password_prompt else Place.PROMPT

    def _echo(self, data: bytes) -> None:
        if self._place is Place.PASSWORD:
            self.say(self.password_echo * len(data.strip(b"\x08 ")))
        elif self.faults.echo:
            self.say(data)

    def _end_line(self, line: str) -> None:
        if self.faults.echo or self._place is not Place.PROMPT:
            self.say(b"\r\n")
        match self._place:
            case Place.NAME:
                self._take_name(line)
            case Place.PASSWORD:
                self._take_password(line)
            case _:
                self._take_command(line)

    def _take_name(self, line: str) -> None:
        if line:
            self.names.append(line)
            self._name = line
            self._place = Place.PASSWORD
            self.say(self.password_prompt)
        else:
            self.say(self.name_prompt)

    def _take_password(self, line: str) -> None:
        right = line == self.password and (not self.name_prompt or self._name == self.user)
        if right and self.faults.refuses:
            self.faults.refuses -= 1
            right = False
        if not right:
            self.later(self.faults.refusal_s, self._refuse)
            return
        self.logins += 1
        self.say(self.banner())
        if self.faults.taken:
            self._place = self._first_place()
            self.say(b"\r\n" + (self.name_prompt or self.password_prompt))
            return
        self._place = Place.PROMPT
        self._restart_idle()
        self.say(self.prompt)

    def _refuse(self) -> None:
        self._place = self._first_place()
        self.say(self.refused() + (self.name_prompt or self.password_prompt))

    def refused(self) -> bytes:
        """What precedes the login prompt after a wrong password."""
        return b"\r\n"

    def _take_command(self, line: str) -> None:
        command = line.strip()
        question, self.question = self.question, b""
        answer: bytes | None = b"\r\n"
        if question:
            answer = self.reply(question, command)
        elif command:
            self.commands.append(command)
            if self.on_command is not None:
                self.on_command(command)
            answer = self.answer(command)
        if answer is None:
            self.end_session()
            self.say(b"\r\n" + (self.name_prompt or self.password_prompt))
        else:
            self._pages = self._paged(answer + (self.question or self.prompt))
            self._next_page()

    def _paged(self, answer: bytes) -> list[bytes]:
        lines = self.faults.page_lines
        if lines is None:
            return [answer]
        parts = answer.splitlines(keepends=True)
        return [b"".join(parts[at : at + lines]) for at in range(0, len(parts), lines)]

    def _next_page(self) -> None:
        if self._place is Place.PAGER:
            self.say(b"\r" + b" " * len(self.page_prompt) + b"\r")
        self._place = Place.PROMPT
        self.say(self._pages.pop(0))
        if self._pages:
            self._place = Place.PAGER
            self.say(self.page_prompt)

    def _restart_idle(self) -> None:
        self._idle_number += 1
        if self.session and self.faults.idle_s is not None:
            number = self._idle_number
            self.later(self.faults.idle_s, lambda: self._idle_out(number))

    def _idle_out(self, number: int) -> None:
        if number == self._idle_number and self.session:
            self.end_session()
            self.say(b"\r\n\r\n" + (self.name_prompt or self.password_prompt))
