# SPDX-License-Identifier: GPL-2.0-or-later
"""What a dialect is: everything by which one make of serial PDU differs from another.

Patterns are regular expressions over text that was cleaned (line.plain): line ends are newlines,
control characters are gone. `^` and `$` match at every line. A prompt stands at the start of the
last line, blanks around it do not count.

Commands are formats: `{outlet}` is an integer, `{tower}` what the option of that name says. No
dialect has a command for `all` outlets, a group or a reboot among its orders, and none sends
Ctrl-C (CyberPower takes it as a character of the command).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from fencing import FenceError, Option, Power
from fencing.findings import Trouble

COMMAND_CHARACTERS_MAX = 40
"""No command is longer, so that so many erasures empty any line that we may have left."""
BAUD = 9600
FRAME = "8N1"
ANSWER_S = 3.0
"""A console that says nothing for so long has nothing more to say: a CyberPower needs 0.62 s
(captured), a WTI about 1 s to switch."""

OUTLET_MAX = 64
"""The largest PDUs sold have 48 outlets; a chain of four Sentry units is addressed by tower."""

Row = Mapping[str, str]
"""What a status says of one outlet: `outlet` and one `state...` or more."""


@dataclass(frozen=True, slots=True)
class Query:
    """A question whose answer has one row for an outlet, or one value."""

    command: str
    row: str
    """Its named groups: `value`, and `outlet` if the row says which outlet it is of."""

    def values(self, text: str) -> dict[int | None, str]:
        """The value of every row, by outlet; by None where the row names none."""
        found: dict[int | None, str] = {}
        for match in re.finditer(self.row, text, re.MULTILINE):
            groups = match.groupdict()
            outlet = groups.get("outlet")
            found[None if outlet is None else int(outlet)] = groups["value"].strip()
        return found


@dataclass(frozen=True, slots=True)
class Dialect:
    """One make of PDU at its serial console."""

    name: str
    prompt: str
    off: str
    on: str
    status: str
    """With `{outlet}` it is asked for each outlet, else once for all."""
    refused: str
    """What it says instead of carrying a command out."""
    row: str = ""
    """One outlet in the answer to `status`: the group `outlet` is its number, every group whose
    name begins with `state` must say the same word. `{tower}` stands for the tower."""
    rows: Callable[[str], Iterable[Row]] | None = None
    """Finds the rows, with the same groups, where a pattern cannot."""
    off_word: str = "off"
    on_word: str = "on"
    lowest: int = 1
    highest: int = OUTLET_MAX
    """Bounds of an outlet's number. What is outside of them may be more than one outlet."""
    tower: str = ""
    """What stands before the number of every outlet of one unit; "" if nothing ever does."""

    login: str = ""
    """What it asks the user name with; "" if it never does."""
    password: str = ""
    """What it asks the password with; "" if it never does."""
    welcome: str = ""
    """What only a login that was taken is answered with."""
    logout: str = ""
    """The command that ends the session; "" if there are no sessions."""
    login_answer_s: float = ANSWER_S
    """Limit of the answer to a password."""
    refuses_after_session_s: float = 0.0
    """So long after a session a right password may be refused."""

    wakes: bool = True
    """Whether an empty line is answered with a prompt."""
    echoes: bool | None = None
    """Whether typed characters come back; None to find out."""
    erase: bytes = b"\x08"
    """Removes the last character of a line that was typed and not yet ended."""
    end: bytes = b"\r"
    """Ends a line."""
    drops: bool = False
    """Whether it may lose characters of a command that does not follow an empty line."""
    gap_s: float = 0.0
    """It does not hear a command that comes sooner after its last word."""
    more: str = ""
    """The pager's prompt."""
    more_answer: bytes = b" "
    confirm: str = ""
    """A question that an order is answered with."""
    confirm_answer: bytes = b"y\r"

    delay: Query | None = None
    """Reads, in seconds, what the PDU waits between an order to cut an outlet and its effect."""
    current: Query | None = None
    """Reads the current of an outlet in amperes."""
    serial: Query | None = None
    """Reads what tells this PDU from all others."""

    baud: int = BAUD
    frame: str = FRAME
    """Data bits, parity, stop bits."""
    flow: str = "none"

    def changed(self, options: Mapping[str, Option]) -> Dialect:
        """This dialect with what the configuration says otherwise.

        Raises:
            FenceError: A pattern is no regular expression.
        """
        for option in ("prompt", "login_prompt", "password_prompt"):
            try:
                re.compile(str(options.get(option, "")))
            except re.error as error:
                text = f"{option}: not a regular expression: {error}"
                raise FenceError(text, Trouble.SETTINGS) from None
        tower = str(options.get("tower", self.tower))
        if self.tower and not re.fullmatch(r"\.?[A-Za-z]{1,2}", tower):
            raise FenceError("tower: not one or two letters, such as .AA", Trouble.SETTINGS)
        baud = options.get("baud", self.baud)
        assert isinstance(baud, int), "baud is an integer"
        return replace(
            self,
            tower=tower,
            row=self.row.replace("{tower}", re.escape(tower)),
            prompt=str(options.get("prompt", self.prompt)),
            login=str(options.get("login_prompt", self.login)),
            password=str(options.get("password_prompt", self.password)),
            baud=baud,
            frame=str(options.get("line", self.frame)),
            flow=str(options.get("flow", self.flow)),
        )

    def states(self, text: str) -> dict[int, Power]:
        """Every outlet that an answer to `status` clearly has one row for.

        A state that is not exactly one of both words, a pending one such as `Off*`, is UNKNOWN,
        and so is an outlet with two rows: there is noise on the line.
        """
        found: dict[int, Power] = {}
        for row in self._rows(text):
            outlet = int(row["outlet"])
            found[outlet] = Power.UNKNOWN if outlet in found else self._power(row)
        return found

    def refusal(self, text: str) -> str | None:
        """The line with which it refused a command, None if it did not."""
        match = re.search(self.refused, text, re.MULTILINE)
        return None if match is None else match[0].strip()

    def _rows(self, text: str) -> Iterable[Row]:
        if self.rows is not None:
            return self.rows(text)
        return (match.groupdict() for match in re.finditer(self.row, text, re.MULTILINE))

    def _power(self, row: Row) -> Power:
        states = (word for group, word in row.items() if group.startswith("state"))
        words = {word.strip().casefold() for word in states}
        if words == {self.off_word.casefold()}:
            return Power.OFF
        return Power.ON if words == {self.on_word.casefold()} else Power.UNKNOWN
