# SPDX-License-Identifier: GPL-2.0-or-later
"""IPMI 2.0 over LAN with pyghmi: raw chassis commands in one warm session.

pyghmi has known traps, and this file is built around them: credentials are bytes (its register
of sessions never forgets text ones), `set_power` is not used (it sends nothing when it believes
the state to be right already), sending again is our decision (pyghmi would have a slow BMC carry
out one order three times), and so is every time limit. One process may use one device.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from pyghmi.ipmi.private import session as pyghmi_session
from pyghmi.ipmi.private.util import get_ipmi_error

from fencing import FenceError, NotSentError, Power, Secret
from fencing.drivers import Options, threadless
from fencing.identity import from_bytes

PORT = 623
PRIVILEGES = {"operator": 3, "administrator": 4}
"""Chassis Control needs Operator (IPMI 2.0, appendix G); more than needed is not asked for."""
USER_BYTES_MAX = 16
PASSWORD_BYTES_MAX = 20
"""IPMI 2.0, 22.28 "Set User Name" and 22.30 "Set User Password"."""

WARM_ANSWER_S = 1.0
"""A session that is silent for so long is given up and a new one is tried."""
FRESH_ANSWER_S = 3.0
"""The BMC has just answered a logon, so it is alive, but it may be slow to act."""
LOGON_S = 6.0
"""pyghmi gives up on a silent BMC after 4.8 to 5.7 s; the limit is for the cases where it does
not (measured with 1.6.19)."""
RESEND_S = 0.4
"""Queries are sent again so soon; orders are not, because a slow BMC carries out each one."""
IDLE_MAX_S = 50.0
"""BMCs close a session after 60 s +/- 3 s of silence (IPMI 2.0, 6.12.15)."""

_CHASSIS, _APPLICATION = 0x00, 0x06
_GET_CHASSIS_STATUS, _CHASSIS_CONTROL, _GET_SYSTEM_GUID = 0x01, 0x02, 0x37
_POWER_DOWN, _POWER_UP = 0x00, 0x01


class IpmiDevice:
    """One BMC. Options: `port`, `privilege` ("operator"), `kg_file` (the BMC key, if it has one).

    Raises:
        FenceError: Settings that no BMC can take.
    """

    def __init__(self, address: str, user: str, password: Secret, options: Options) -> None:
        self._address = address
        self._port = int(options.get("port", PORT))
        self._user = user.encode()
        self._password = password
        self._kg = _read_key(options.get("kg_file"))
        privilege = str(options.get("privilege", "operator"))
        if privilege not in PRIVILEGES:
            raise FenceError(f"privilege must be one of {', '.join(PRIVILEGES)}")
        self._privilege = PRIVILEGES[privilege]
        if len(self._user) > USER_BYTES_MAX:
            raise FenceError(f"the user name is longer than IPMI's {USER_BYTES_MAX} bytes")
        if len(password.reveal()) > PASSWORD_BYTES_MAX:
            raise FenceError(f"the password is longer than IPMI's {PASSWORD_BYTES_MAX} bytes")
        self._session: Any = None
        self._answered_s = 0.0
        threadless.install()

    def off(self) -> None:
        """Order a hard power-off (chassis control 0), never an ACPI one."""
        self._command(_CHASSIS, _CHASSIS_CONTROL, (_POWER_DOWN,))

    def on(self) -> None:
        """Order power on (chassis control 1)."""
        self._command(_CHASSIS, _CHASSIS_CONTROL, (_POWER_UP,))

    def status(self) -> Power:
        """Read the power with Get Chassis Status: bit 0 of the first byte."""
        data = self._command(_CHASSIS, _GET_CHASSIS_STATUS)
        if not data:
            raise FenceError("the chassis status was empty")
        return Power.ON if data[0] & 1 else Power.OFF

    def identify(self) -> UUID | None:
        """Ask Get System GUID; the bytes are given in the order in which they came."""
        try:
            return from_bytes(self._command(_APPLICATION, _GET_SYSTEM_GUID))
        except _RefusedError:
            return None  # It is an optional command.

    def close(self) -> None:
        """Log out, so that the BMC's few session slots stay free; never raises."""
        session, self._session = self._session, None
        try:
            if session is not None:
                session.incommand = False  # Else logout waits for an answer that was given up.
                session.logout()
        except threadless.ERRORS:
            pass  # Nothing is owed to a BMC that cannot hear it; it forgets us in 60 s.
        finally:
            threadless.forget()

    def _command(self, netfn: int, command: int, data: Sequence[int] = ()) -> bytes:
        """Ask in the warm session, and once more in a new one if that is silent."""
        if self._session is not None and time.monotonic() - self._answered_s > IDLE_MAX_S:
            self.close()
        was_asked = self._session is not None
        if was_asked:
            answer = self._ask(netfn, command, data, WARM_ANSWER_S)
            if answer is not None:
                return answer
            self.close()
        try:
            self._log_on()
        except NotSentError as error:
            if was_asked:
                raise FenceError(str(error)) from None  # The silent session may have carried it.
            raise
        answer = self._ask(netfn, command, data, FRESH_ANSWER_S)
        if answer is None:
            self.close()
            raise FenceError("the BMC took the login, then it did not answer")
        return answer

    def _ask(self, netfn: int, command: int, data: Sequence[int], limit_s: float) -> bytes | None:
        """One request in the present session: the answer's data, None for silence."""
        end_s = time.monotonic() + limit_s
        resend_s = limit_s if command == _CHASSIS_CONTROL else RESEND_S
        while (left_s := end_s - time.monotonic()) > 0:
            try:
                answer = self._send(netfn, command, data, min(left_s, resend_s))
            except threadless.ERRORS as error:
                self.close()
                raise FenceError(f"during a command: {threadless.describe(error)}") from None
            if answer is None:
                continue
            self._answered_s = time.monotonic()
            refusal = get_ipmi_error(answer)
            if refusal:
                raise _RefusedError(f"{refusal} (code {answer['code']:#04x})")
            return bytes(answer["data"])
        return None

    def _send(
        self, netfn: int, command: int, data: Sequence[int], limit_s: float
    ) -> dict[str, Any] | None:
        """Send one packet and wait for its answer; a later answer to it will not be taken."""
        session, answers = self._session, list[dict[str, Any]]()
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
        """Open a session.

        Raises:
            NotSentError: There is none, for the reason given.
        """
        threadless.forget()
        results = list[dict[str, Any]]()
        end_s = threadless.limit(LOGON_S)
        try:
            session = pyghmi_session.Session(
                bmc=self._address,
                userid=self._user,
                password=self._password.reveal(),
                port=self._port,
                kg=self._kg,
                onlogon=results.append,
                privlevel=self._privilege,
                keepalive=False,
            )
            while not results and (left_s := end_s - time.monotonic()) > 0:
                pyghmi_session.Session.wait_for_rsp(left_s)
        except threadless.ERRORS as error:
            threadless.forget()
            raise NotSentError(f"login: {threadless.describe(error)}") from None
        failure = results[0].get("error") if results else "timeout"
        if failure is not None:
            threadless.forget()
            raise NotSentError(f"login: {threadless.words(failure)}")
        pyghmi_session.Session.keepalive_sessions.clear()  # Being read is what keeps it alive.
        self._session = session
        self._answered_s = time.monotonic()


class _RefusedError(FenceError):
    """The BMC answered with a completion code other than 0."""


def _read_key(path: object) -> bytes | None:
    """The BMC key from a file of its own, because options are shown and keys are not."""
    if path is None:
        return None
    try:
        return Path(str(path)).read_bytes().rstrip(b"\r\n")
    except OSError as error:
        raise FenceError(f"kg_file: {error.strerror}") from None
