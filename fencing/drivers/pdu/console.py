# SPDX-License-Identifier: GPL-2.0-or-later
"""What is said at the console of a PDU, over a line that may lose or garble any character.

| danger | answer |
|---|---|
| a lost character makes `off 12` an `off 1` | a command is typed, its echo compared, and only \
then ended with a return |
| a process was killed while it typed, and the next return ends its command | what stands in the \
line is erased before anything else is said |
| the end of an answer is lost, or something in it looks like one | it is read until the prompt, \
which is the last thing said, or until silence |
| somebody reads what is garbage for ever | every wait ends at `end_s` |
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from enum import Enum, auto

from fencing import FenceError
from fencing.drivers.pdu.dialect import COMMAND_CHARACTERS_MAX, Dialect
from fencing.drivers.pdu.line import Line, plain

ECHO_S = 0.5
"""A console that echoes does so while it is typed to; at 300 baud a character takes 33 ms there
and as much back."""
UNECHOED = 2
"""So many commands without any echo mean that the console is set not to echo."""
ANSWER_CHARACTERS_MAX = 32_768
"""64 outlets in lines of 100 characters are 6,400; more is a line that never falls silent."""
PAGES_MAX = 16
"""64 outlets in pages of 4; a pager that goes on for longer goes on for ever."""
_TOO_LONG = "the console took too long"


class TooLateError(FenceError):
    """The time of a question or an order is up."""


class At(Enum):
    """Where a console stands, i.e. what it said last."""

    PROMPT = auto()
    LOGIN = auto()
    PASSWORD = auto()
    MORE = auto()
    CONFIRM = auto()


@dataclass(frozen=True, slots=True)
class Heard:
    """What a console said, and what it now waits for; None if that is not to be recognised."""

    text: str
    at: At | None

    @property
    def outside(self) -> bool:
        """Whether nobody is logged in."""
        return self.at in (At.LOGIN, At.PASSWORD)


class Console:
    """One PDU's console: what is typed there, and what it says."""

    def __init__(self, line: Line, dialect: Dialect) -> None:
        self.line = line
        self.end_s = 0.0
        """Nothing is waited for after this moment (monotonic)."""
        self._dialect = dialect
        self._ends = _ends(dialect)
        self._echoes = dialect.echoes
        self._unechoed = 0

    @property
    def left_s(self) -> float:
        """What is left of the time."""
        return self.end_s - time.monotonic()

    def type(self, command: str) -> bool:
        """Put a command on the console's empty line, do not end it; whether it stands there.

        If it does not, something else may: then it has to be erased.
        """
        assert len(command) <= COMMAND_CHARACTERS_MAX, command
        babbles = False
        while self.left_s > 0 and self.line.read(min(self._dialect.gap_s, self.left_s)):
            babbles = True  # A message or noise that came since the prompt.
        if self.left_s <= 0:
            raise TooLateError("the console is never silent" if babbles else _TOO_LONG)
        self.line.write(command.encode())
        if self._echoes is False:
            return True
        raw = b""
        while (echo := plain(raw).strip()) != command and len(raw) < ANSWER_CHARACTERS_MAX:
            came = self._read(ECHO_S)
            raw += came
            if not came:
                break
        if echo == command:
            self._echoes = True
            return True
        if self._echoes is None and not echo:
            # It was awake before each of them, so it is not deaf: it does not echo.
            self._unechoed += 1
            if self._unechoed == UNECHOED:
                self._echoes = False
                return True
        return False

    def end(self, limit_s: float) -> Heard:
        """End the line that was typed, and hear what that leads to."""
        return self.say(b"", limit_s)

    def erase(self, then: str, limit_s: float) -> Heard:
        """Empty the console's line, whoever typed it, say something and hear what that leads to."""
        self.line.read(0)
        return self.say(self._dialect.erase * COMMAND_CHARACTERS_MAX + then.encode(), limit_s)

    def say(self, answer: bytes, limit_s: float) -> Heard:
        """Say something, end the line, and hear what that leads to."""
        self.line.write(answer + self._dialect.end)
        return self.hear(limit_s)

    def agree(self, limit_s: float) -> Heard:
        """Answer the question that an order was answered with."""
        self.line.write(self._dialect.confirm_answer)
        return self.hear(limit_s)

    def hear(self, limit_s: float) -> Heard:
        """Read until the console waits for us, or until it has been silent for `limit_s`."""
        raw, pages = b"", list[str]()
        while len(raw) < ANSWER_CHARACTERS_MAX and len(pages) < PAGES_MAX:
            at = self._standing(plain(raw))
            came = self._read(limit_s if at is None else self.line.quiet_s)
            raw += came
            if came:
                continue
            if at is At.MORE:
                self.line.write(self._dialect.more_answer)
                pages.append(self._ends[At.MORE].sub("\n", plain(raw)))
                raw = b""
                continue
            text = "".join((*pages, plain(raw)))
            return Heard(text, self.outside(text) or at if at in (At.PROMPT, None) else at)
        return Heard("".join((*pages, plain(raw))), None)

    def outside(self, text: str) -> At | None:
        """A login's prompt anywhere in a text: whoever gets it is not logged in."""
        for at, pattern in ((At.PASSWORD, self._dialect.password), (At.LOGIN, self._dialect.login)):
            if pattern and re.search(rf"^[ \t]*(?:{pattern})", text, re.MULTILINE):
                return at
        return None

    def body(self, command: str, text: str) -> str:
        """An answer without the echo that comes late, and without the prompt."""
        return self._ends[At.PROMPT].sub("", text.lstrip().removeprefix(command))

    def _standing(self, text: str) -> At | None:
        """What the last line of a text is."""
        for at, pattern in self._ends.items():
            if pattern.search(text):
                return at
        return None

    def _read(self, limit_s: float) -> bytes:
        """What has come, b"" for silence.

        Raises:
            TooLateError: There is no time.
        """
        if self.left_s <= 0:
            raise TooLateError(_TOO_LONG)
        return self.line.read(min(limit_s, self.left_s))


def _ends(dialect: Dialect) -> dict[At, re.Pattern[str]]:
    """What can be the last line, most telling first."""
    lasts = (
        (At.PASSWORD, dialect.password),
        (At.LOGIN, dialect.login),
        (At.CONFIRM, dialect.confirm),
        (At.MORE, dialect.more),
        (At.PROMPT, dialect.prompt),
    )
    return {
        at: re.compile(rf"^[ \t]*(?:{pattern})[ \t]*\Z", re.MULTILINE)
        for at, pattern in lasts
        if pattern
    }
