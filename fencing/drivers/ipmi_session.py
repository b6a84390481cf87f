# SPDX-License-Identifier: GPL-2.0-or-later
"""A warm IPMI session: one command, one answer, and a new login when the session has died.

Sending again is our decision, because pyghmi would have a slow BMC carry out one order three
times; so is every time limit. One process may use one session.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pyghmi.ipmi.private import session as pyghmi_session
from pyghmi.ipmi.private.util import get_ipmi_error

from fencing import FenceError, NotSentError, Secret
from fencing.drivers import threadless
from fencing.drivers.ipmi_logon import BUSY_PAUSE_S, NODE_BUSY, BoundedSession, Failure
from fencing.findings import Trouble

CHASSIS, APPLICATION, TRANSPORT = 0x00, 0x06, 0x0C
CHASSIS_CONTROL = 0x02
_CLOSE_SESSION = 0x3C

RESEND_S = 0.4
"""Queries are sent again so soon; orders are not, because a slow BMC carries out each one."""
IDLE_MAX_S = 50.0
"""BMCs close a session after 60 s +/- 3 s of silence (IPMI 2.0, 6.12.15)."""
LOGOUT_ANSWER_S = 0.2
LOGOUT_TRIES = 2
"""A lost logout costs a slot for a minute, so its answer is waited for, but not for long."""

_INSUFFICIENT_PRIVILEGE = 0xD4
"""A completion code (IPMI 2.0, table 5-2)."""


class RefusedError(FenceError):
    """The BMC answered with a completion code other than 0."""

    def __init__(self, words: str, code: int) -> None:
        privilege = code == _INSUFFICIENT_PRIVILEGE
        trouble = Trouble.PRIVILEGE if privilege else Trouble.REFUSED
        super().__init__(f"{words} (code {code:#04x})", trouble)
        self.code = code


@dataclass(frozen=True, slots=True)
class Login:
    """Where a BMC is, how to log in to it, and how long to wait for it."""

    address: str
    port: int
    user: bytes
    """Bytes, as all of it: pyghmi's register of sessions never forgets text."""
    password: Secret
    kg: Secret | None
    privilege: int
    suites: tuple[int, ...]
    logon_s: float
    warm_answer_s: float
    fresh_answer_s: float


class WarmSession:
    """One BMC's session, opened when it is first needed."""

    def __init__(self, login: Login) -> None:
        self._login = login
        self._session: BoundedSession | None = None
        self._answered_s = 0.0
        threadless.install()

    def command(self, netfn: int, command: int, data: Sequence[int] = ()) -> bytes:
        """Ask in the warm session, and once more in a new one if that is silent.

        Returns:
            The data of the answer, without its completion code, which was 0.

        Raises:
            RefusedError: The completion code was another one.
            NotSentError: There was no session, and none could be opened.
            FenceError: No answer.
        """
        if self._session is not None and time.monotonic() - self._answered_s > IDLE_MAX_S:
            self._abandon()
        was_asked = self._session is not None
        if was_asked:
            answer = self._ask(netfn, command, data, self._login.warm_answer_s)
            if answer is not None:
                return answer
            self._abandon()
        try:
            self._log_on()
        except NotSentError as error:
            if was_asked:  # The silent session may have carried it.
                raise FenceError(str(error), error.trouble) from None
            raise
        answer = self._ask(netfn, command, data, self._login.fresh_answer_s)
        if answer is None:
            self._abandon()
            raise FenceError("the BMC took the login, then it did not answer")
        return answer

    def close(self) -> None:
        """Log out, so that the BMC's few session slots stay free; never raises."""
        session = self._session
        try:
            if session is not None:
                session.incommand = False  # Else it waits for an answer that was given up.
                session.request_entry.clear()
                session_id = struct.pack("<I", session.sessionid)
                for _ in range(LOGOUT_TRIES):
                    answer = self._send(session, APPLICATION, _CLOSE_SESSION, session_id)
                    if answer is not None and answer["code"] != NODE_BUSY:
                        break
        except threadless.ERRORS:
            pass  # Nothing is owed to a BMC that cannot hear it; it forgets us in 60 s.
        finally:
            self._session = None
            threadless.forget()

    def _abandon(self) -> None:
        """Log out of a session that may be dead: without waiting for an answer."""
        session, self._session = self._session, None
        try:
            if session is not None:
                session.give_back()
        except threadless.ERRORS:
            pass  # As in close().
        finally:
            threadless.forget()

    def _ask(self, netfn: int, command: int, data: Sequence[int], limit_s: float) -> bytes | None:
        """One request in the present session: the answer's data, None for silence."""
        end_s = time.monotonic() + limit_s
        order = (netfn, command) == (CHASSIS, CHASSIS_CONTROL)
        resend_s = limit_s if order else RESEND_S
        while (left_s := end_s - time.monotonic()) > 0:
            assert self._session is not None
            try:
                answer = self._send(self._session, netfn, command, data, min(left_s, resend_s))
            except threadless.ERRORS as error:
                self._abandon()
                words = f"during a command: {threadless.describe(error)}"
                raise FenceError(words, threadless.trouble(error)) from None
            if answer is None:
                continue
            self._answered_s = time.monotonic()
            code = answer["code"]
            if code == 0:
                return bytes(answer["data"])
            if code != NODE_BUSY or self._answered_s + BUSY_PAUSE_S >= end_s:
                raise RefusedError(str(get_ipmi_error(answer)), code)
            time.sleep(BUSY_PAUSE_S)
        return None

    def _send(
        self,
        session: BoundedSession,
        netfn: int,
        command: int,
        data: Sequence[int],
        limit_s: float = LOGOUT_ANSWER_S,
    ) -> dict[str, Any] | None:
        """Send one packet and wait for its answer; a later answer to it will not be taken."""
        answers = list[dict[str, Any]]()
        end_s = threadless.limit(limit_s)
        # With a callback pyghmi sends once and leaves the waiting, and its timers, to us.
        session.raw_command(
            netfn=netfn, command=command, data=data, retry=False, callback=answers.append
        )
        while not answers and (left_s := end_s - time.monotonic()) > 0:
            pyghmi_session.Session.wait_for_rsp(left_s)
        session.incommand = False
        if answers:
            return answers[0]
        session.request_entry.clear()
        session.seqlun = (session.seqlun + 1) & 0x3F
        return None

    def _log_on(self) -> None:
        """Open a session, within the login's limit.

        Raises:
            NotSentError: There is none, for the reason given.
        """
        end_s = time.monotonic() + self._login.logon_s
        failure: Failure | None = None
        while (failure := self._try_log_on(end_s, failure)) is not None:
            threadless.forget()
            if not failure.busy or time.monotonic() + BUSY_PAUSE_S >= end_s:
                raise NotSentError(f"login: {failure.text}", failure.trouble)
            time.sleep(BUSY_PAUSE_S)
        pyghmi_session.Session.keepalive_sessions.clear()  # Being read is what keeps it alive.
        self._answered_s = time.monotonic()

    def _try_log_on(self, end_s: float, before: Failure | None) -> Failure | None:
        """Try once; a try that the limit cut short failed for the reason of the one `before`."""
        threadless.forget()
        threadless.limit(end_s - time.monotonic())
        results = list[dict[str, Any]]()
        login, session = self._login, None
        try:
            session = BoundedSession(
                login.suites,
                bmc=login.address,
                userid=login.user,
                password=login.password.reveal(),
                port=login.port,
                kg=None if login.kg is None else login.kg.reveal(),
                onlogon=results.append,
                privlevel=login.privilege,
                keepalive=False,
            )
            while not results and (left_s := end_s - time.monotonic()) > 0:
                pyghmi_session.Session.wait_for_rsp(left_s)
            if results and "error" not in results[0]:
                self._session = session
        except TimeoutError:
            pass  # The limit has passed within pyghmi.
        except threadless.ERRORS as error:
            return Failure(threadless.describe(error), threadless.trouble(error))
        finally:
            if session is not None and self._session is None and session.failure is None:
                session.give_back()  # Also when a signal ends the process.
        if self._session is not None:
            return None
        if session is None:
            return before or Failure(threadless.NO_ANSWER, Trouble.UNREACHABLE)
        return session.failure or before or session.silence()
