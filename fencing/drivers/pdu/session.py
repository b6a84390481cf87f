# SPDX-License-Identifier: GPL-2.0-or-later
"""A session at the console of a PDU: login, questions, orders, log-out.

A command that is typed into a login prompt is taken as a user name and not carried out; so login
prompts are looked for in every answer, and the command is repeated after a new login. A session
that is left open locks everyone out (CyberPower: 180 s); so every way out logs out.
"""

from __future__ import annotations

import re
import time

from fencing import FenceError, NotSentError, Secret
from fencing.drivers.pdu.console import At, Console, Heard, TooLateError
from fencing.drivers.pdu.dialect import Dialect
from fencing.drivers.pdu.line import Line, LineLostError, plain
from fencing.findings import Trouble

TRIES = 3
"""A line on which three of three attempts are garbled is no line."""
WAKES = 3
WAKE_S = 1.0
"""APC consoles want up to three returns (their user guides); each is answered within 0.3 s."""
LOG_OUT_S = 0.4
"""`exit` is answered with the login prompt; a worker that ends has 1 s for everything."""
REFUSED_AGAIN_S = 1.0
"""Pause before a login that was refused for no good reason is tried again."""
QUOTE_CHARACTERS_MAX = 60


class Session:
    """It begins when something is first asked, and again whenever the console ended it.

    Args:
        account: User and password.
        answer_s: So long without a word means that an answer has ended.
        limit_s: A question or an order has ended, well or badly, after so long.
    """

    def __init__(
        self,
        line: Line,
        dialect: Dialect,
        account: tuple[str, Secret],
        *,
        answer_s: float,
        limit_s: float,
    ) -> None:
        self._line = line
        self._dialect = dialect
        self._console = Console(line, dialect)
        self._user, self._password = account
        self._answer_s = answer_s
        self._limit_s = limit_s
        self._ready = False
        """Whether the console stands at its prompt, with nothing typed."""
        self._logged_in = False
        self._ended_s = time.monotonic()
        """When the last session ended; a process before us may have had one."""

    def ask(self, command: str) -> str:
        """The whole answer to a question, which may be asked several times.

        Raises:
            NotSentError: There is no console, or it does not let us in.
            FenceError: It refused the command, or it gave no answer with an end.
        """
        self._begin()
        heard = Heard("", None)
        for _ in range(TRIES):
            self._log_in()
            if not self._type(command):
                continue
            heard = self._judge(self._console.end(self._answer_s))
            if heard.at is At.PROMPT:
                return self._accepted(command, heard)
        raise FenceError(f"no answer to {command!r}: {self._quoted(heard)}")

    def order(self, command: str) -> None:
        """Have a command carried out, or so it seems: nothing that the console says is a proof.

        Raises:
            NotSentError: It certainly was not carried out.
            FenceError: It was refused, or nobody knows.
        """
        self._begin()
        ended = False
        text, trouble = "the line garbles what is typed", Trouble.UNREACHABLE
        try:
            for _ in range(TRIES):
                self._log_in()
                if not self._type(command):
                    continue
                before, ended = ended, True
                heard = self._console.end(self._answer_s)
                if heard.at is At.CONFIRM:
                    heard = self._console.agree(self._answer_s)
                if self._judge(heard).at is At.PROMPT:
                    self._accepted(command, heard)
                    return
                text = f"{command!r} was not acknowledged: {self._quoted(heard)}"
                if heard.at is At.PASSWORD:
                    ended = before  # It was taken as a user name, so it was not carried out.
                elif heard.at is not At.LOGIN:
                    break
        except FenceError as error:
            text, trouble = str(error), error.trouble
        raise (FenceError if ended else NotSentError)(text, trouble)

    def log_out(self) -> None:
        """End the session and close the line, in less than 1 s; never raises.

        A signal that ends the worker in its midst leaves the line open: close() does it again.
        """
        self._console.end_s = time.monotonic() + 2 * LOG_OUT_S
        try:
            if self._line.is_open and self._logged_in and self._dialect.logout:
                self._leave()
        except FenceError:
            pass  # The line is gone, or never silent; an idle session ends by itself some time.
        self._forget()
        self._line.close()

    def _leave(self) -> None:
        """Give the command that logs out until something else than the prompt answers it."""
        heard = Heard("", At.PROMPT)
        while heard.at is At.PROMPT:
            if self._console.outside(plain(self._line.read(0))) is not None:
                return  # The console ended the session itself.
            if self._dialect.drops:
                self._console.erase("", LOG_OUT_S)
            heard = self._console.erase(self._dialect.logout, LOG_OUT_S)

    def _begin(self) -> None:
        self._console.end_s = time.monotonic() + self._limit_s

    def _forget(self) -> None:
        """The session has ended, if there was one."""
        if self._logged_in:
            self._ended_s = time.monotonic()
        self._logged_in = self._ready = False

    def _type(self, command: str) -> bool:
        self._ready = False
        return self._console.type(command)

    def _judge(self, heard: Heard) -> Heard:
        """Take note of where a command left the console."""
        if heard.outside:
            self._forget()
        self._ready = heard.at is At.PROMPT and not self._dialect.drops
        return heard

    def _log_in(self) -> None:
        """Come to the prompt, from wherever the console stands.

        Raises:
            NotSentError: It cannot be reached, for the reason given.
        """
        if self._ready:
            return
        self._ready = refused = False
        try:
            self._line.open(self._console.end_s)
            while self._dialect.wakes and not self._let_in():
                refused = True
                time.sleep(REFUSED_AGAIN_S)
        except LineLostError as error:
            raise NotSentError(str(error), error.trouble) from None
        except TooLateError as error:
            raise _refusal() if refused else NotSentError(f"login: {error}") from None
        self._ready = self._logged_in = True

    def _let_in(self) -> bool:
        """Wake the console and answer what it asks; False if it is worth to try again.

        Raises:
            NotSentError: It does not let us in.
        """
        heard = self._wake()
        name_said = password_said = False
        for _ in range(2 * TRIES):
            if heard.at is At.PROMPT:
                return True
            if password_said and heard.outside:
                return self._in_after_all() or self._refused(heard)
            if heard.at is At.LOGIN:
                name_said = True
                name = _configured("user name", self._user)
                heard = self._console.say(name.encode(), self._answer_s)
            elif heard.at is At.PASSWORD and self._user and self._dialect.login and not name_said:
                # Somebody began to log in; a console that wants no name asks again.
                name_said = True
                heard = self._console.say(b"", self._dialect.login_answer_s)
            elif heard.at is At.PASSWORD:
                password_said = self._logged_in = True
                password = _configured("password", self._password.reveal().decode())
                heard = self._console.say(password.encode(), self._dialect.login_answer_s)
            else:
                heard = self._wake()
        raise NotSentError(f"login: no prompt: {self._quoted(heard)}")

    def _in_after_all(self) -> bool:
        """Whether the login's prompt after our password was an older one's that came late.

        So it is where a killed process left an answer on the way: what was taken for the answer
        to our return was that one.
        """
        try:
            return self._wake().at is At.PROMPT
        except (NotSentError, TooLateError):
            return False  # It has no more to say to us; why is known.

    def _refused(self, heard: Heard) -> bool:
        """Judge a login that led back to the login: False to try it again.

        Raises:
            NotSentError: It will be no better.
        """
        self._logged_in = False
        if self._dialect.welcome and re.search(self._dialect.welcome, heard.text, re.MULTILINE):
            text = "login: it let us in and ended the session at once: another one is open"
            raise NotSentError(text, Trouble.NO_SESSION)
        excuse_s = self._ended_s + self._dialect.refuses_after_session_s
        if time.monotonic() >= excuse_s or self._console.left_s <= REFUSED_AGAIN_S:
            raise _refusal()
        return False

    def _wake(self) -> Heard:
        """Empty the console's line, end it, and hear where it stands.

        Raises:
            NotSentError: It says nothing, or nothing that is known.
        """
        heard = Heard("", None)
        for _ in range(WAKES):
            heard = self._console.erase("", WAKE_S)
            if heard.at is not None:
                return heard
        if not heard.text.strip():
            raise NotSentError("nothing is heard on the line")
        text = f"what is heard makes no sense; is the speed right? {self._quoted(heard)}"
        raise NotSentError(text)

    def _accepted(self, command: str, heard: Heard) -> str:
        """The answer to a command.

        Raises:
            FenceError: It is a refusal.
        """
        body = self._console.body(command, heard.text)
        refusal = self._dialect.refusal(body)
        if refusal is not None:
            text = f"it refused {command!r}: {refusal[:QUOTE_CHARACTERS_MAX]}"
            raise FenceError(text, Trouble.REFUSED)
        return body

    def _quoted(self, heard: Heard) -> str:
        """The last line that was heard, short, and without the password if it was echoed."""
        text, secret = heard.text, self._password.reveal().decode()
        if secret:
            text = text.replace(secret, "***")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return repr(lines[-1][-QUOTE_CHARACTERS_MAX:]) if lines else "silence"


def _refusal() -> NotSentError:
    return NotSentError("login: user or password refused", Trouble.LOGIN_REFUSED)


def _configured(what: str, value: str) -> str:
    """What the login asks for.

    Raises:
        NotSentError: There is nothing to answer.
    """
    if not value:
        text = f"login: it asks for a {what}, and none is configured"
        raise NotSentError(text, Trouble.LOGIN_REFUSED)
    return value
