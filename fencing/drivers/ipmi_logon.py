# SPDX-License-Identifier: GPL-2.0-or-later
"""pyghmi's logon held to our rules: which suites, how many tries, no slot left, every end named.

pyghmi 1.6.19 by itself falls back from suite 17 to 3 whatever it is told, does not look at what
the BMC agreed to, opens one half session after the other on a BMC that ignores RAKP message 1,
and leaves the BMC's slot taken where a logon fails in its midst. A BMC has few slots, four on
some, and keeps each for a minute.

Source: IPMI 2.0, 13.17 to 13.24, tables 13-15 (status codes) and 22-20 (cipher suites).
"""

from __future__ import annotations

import secrets
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from pyghmi.ipmi.private import constants
from pyghmi.ipmi.private import session as pyghmi_session
from pyghmi.ipmi.private.util import get_ipmi_error

from fencing.drivers import threadless
from fencing.findings import Trouble

RAKP_TRIES = 3
"""Half sessions opened for one logon. Each is given longer than the one before: pyghmi's own
0.5 to 1 s, then twice and three times as much, which is 6 s at most."""

_TAGS_OF_A_TRY = 64
NODE_BUSY = 0xC0
BUSY_PAUSE_S = 0.1
"""A BMC that said "node busy" did nothing, and is asked again after so long, within the limit."""

_NO_SESSION = frozenset({0x01, 0x0B})
_TROUBLES = {
    **dict.fromkeys(_NO_SESSION, Trouble.NO_SESSION),
    **dict.fromkeys((0x09, 0x0A), Trouble.PRIVILEGE),
    **dict.fromkeys((0x0C, 0x0D, 0x0F), Trouble.LOGIN_REFUSED),
}
"""What a status code means for the operator; the others are REFUSED."""
_INVALID_INTEGRITY_CHECK = 0x0F
_APPLICATION, _CLOSE_SESSION = 0x06, 0x3C
_NODE_BUSY = str(get_ipmi_error({"code": NODE_BUSY, "netfn": 0x07, "command": 0x3B}))


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no session."""

    text: str
    trouble: Trouble
    busy: bool = False
    """The BMC asked to be asked again."""


@dataclass(frozen=True, slots=True)
class _Suite:
    algorithms: tuple[int, int, int]
    """Authentication, integrity, confidentiality."""
    attempt: int
    """What pyghmi calls it: its `attemptedhash`."""


_SUITES = {
    17: _Suite((3, 4, 1), attempt=256),
    3: _Suite((1, 1, 1), attempt=1),
}
SUITES = tuple(_SUITES)
"""All that pyghmi speaks, the better one first."""


class BoundedSession(pyghmi_session.Session):  # type: ignore[misc]  # pyghmi has no types
    """One session, with `suites` offered in that order and nothing else taken.

    Methods of pyghmi's are replaced, which is one reason for its pin; `failure` says how the
    logon ended when `onlogon` was told of an error.
    """

    def __new__(cls, suites: Sequence[int], **how: Any) -> Self:
        """Have pyghmi register the session; it takes the same arguments here as in __init__."""
        del suites
        session: Self = super().__new__(cls, **how)
        return session

    def __init__(self, suites: Sequence[int], **how: Any) -> None:
        self._suites = suites
        self._silences = 0
        self._was_busy = False
        self.failure: Failure | None = None
        super().__init__(**how)

    def silence(self) -> Failure:
        """Say what the BMC did not answer, or that it went on asking to be asked again."""
        if self._was_busy:
            return Failure(_NODE_BUSY, Trouble.REFUSED, busy=True)
        match self.sessioncontext:
            case None:
                return Failure("no answer", Trouble.UNREACHABLE)
            case "OPENSESSION":
                offered = ", ".join(str(suite) for suite in self._suites)
                text = f"it answers, but there was no answer to the offer of suites {offered}"
                return Failure(text, Trouble.REFUSED)
            case "EXPECTINGRAKP2" | "EXPECTINGRAKP4":
                text = "it answers, but there was no answer to this user's login"
                return Failure(text, Trouble.LOGIN_REFUSED)
            case _:
                text = "it took the login, then there was no answer"
                return Failure(text, Trouble.UNREACHABLE)

    def give_back(self) -> None:
        """Free the slot this session or half session has in the BMC; waits for no answer.

        A session that failed for a wrong Kg stays: without the key nobody can close it.
        """
        self.lastpayload = None
        if self.sessioncontext == "ESTABLISHED":
            self._send_close()
        elif self.pendingsessionid and self._refusal == 0:
            self._send_rakp3_refusal()
            if self.sessioncontext == "EXPECTINGRAKP4":
                self._take_as_established()  # Which it is, if only RAKP message 4 was lost.
                self._send_close()

    def _send_close(self) -> None:
        session_id = struct.pack("<I", self.sessionid)
        self._send_ipmi_net_payload(_APPLICATION, _CLOSE_SESSION, session_id, retry=False)

    def _send_rakp3_refusal(self) -> None:
        """Tell the BMC that this login has ended (IPMI 2.0, 13.22)."""
        self.rmcptag += 1
        head = struct.pack("<4B", self.rmcptag, _INVALID_INTEGRITY_CHECK, 0, 0)
        self.send_payload(
            payload=bytearray(head + struct.pack("<I", self.pendingsessionid)),
            payload_type=constants.payload_types["rakp3"],
            retry=False,
        )

    def _take_as_established(self) -> None:
        """Use the session's keys from now on, as pyghmi does when RAKP message 4 came."""
        self.sessionid = self.pendingsessionid
        self.integrityalgo = self.attemptedhash
        self.confalgo = "aes"
        self.sequencenumber = 1
        self.sessioncontext = "ESTABLISHED"

    def raw_command(self, *values: Any, **how: Any) -> Any:
        """As pyghmi's; a login's own command is asked again of a busy BMC, until threadless.limit.

        Every other command is given a callback, and then there is no answer here.
        """
        while True:
            answer = super().raw_command(*values, **how)
            self._was_busy = answer is not None and answer.get("code") == NODE_BUSY
            if not self._was_busy:
                return answer
            time.sleep(BUSY_PAUSE_S)

    def onlogon(self, parameter: dict[str, Any]) -> None:
        """Tell of the logon's end, as pyghmi does, after a failed one was named and cleared up."""
        if "error" in parameter:
            if self.failure is None:
                self.failure = self._name(parameter["error"])
            self.give_back()
        super().onlogon(parameter)

    def _name(self, error: object) -> Failure:
        text = threadless.words(error)
        if text == threadless.NO_ANSWER:
            return self.silence()
        if text.startswith(_NODE_BUSY):
            return Failure(text, Trouble.REFUSED, busy=True)
        if self._refusal:
            return Failure(text, _TROUBLES.get(self._refusal, Trouble.REFUSED))
        if self.sessioncontext == "ESTABLISHED":  # Set Session Privilege is all that is asked.
            return Failure(text, Trouble.PRIVILEGE)
        if self.sessioncontext in ("FAILED", "EXPECTINGRAKP4"):  # Password, Kg.
            return Failure(text, Trouble.LOGIN_REFUSED)
        return Failure(text, Trouble.REFUSED)

    def _initsession(self) -> None:
        super()._initsession()
        self.pendingsessionid = 0
        self._refusal = 0
        # Every try has ids of its own. With pyghmi's, which are always the same, a late answer to
        # the try before is taken for a wrong password.
        self.localsid = secrets.randbits(31)
        self.rmcptag = 1 + _TAGS_OF_A_TRY * self._silences
        self._untried = list(self._suites)
        self._next_suite()

    def _next_suite(self) -> None:
        self._suite = _SUITES[self._untried.pop(0)]
        self.attemptedhash = self._suite.attempt

    def _got_rmcp_response(self, data: bytearray) -> None:
        if self.sessioncontext != "OPENSESSION" or data[0] != self.rmcptag:
            return
        status = data[1]
        if status and status not in _NO_SESSION and self._untried:
            self._next_suite()
            self._open_rmcpplus_request()
        elif status:
            self._refusal = status
            words = constants.rmcp_codes.get(status, f"status {status:#04x}")
            self.onlogon({"error": f"{words}, to suite {self._suite_number()}"})
        elif (data[16], data[24], data[32]) != self._suite.algorithms:
            text = f"it agreed to algorithms that suite {self._suite_number()} does not have"
            self.failure = Failure(text, Trouble.REFUSED)
            (self.pendingsessionid,) = struct.unpack_from("<I", data, 8)
            self.onlogon({"error": text})
        else:
            super()._got_rmcp_response(data)

    def _suite_number(self) -> int:
        return next(number for number, suite in _SUITES.items() if suite is self._suite)

    def _send_rakp1(self) -> None:
        self.timeout *= 1 + self._silences
        super()._send_rakp1()

    def _got_rakp2(self, data: bytearray) -> None:
        self._note_refusal(data)
        super()._got_rakp2(data)

    def _got_rakp4(self, data: bytearray) -> None:
        self._note_refusal(data)
        super()._got_rakp4(data)

    def _note_refusal(self, data: bytearray) -> None:
        if data[0] == self.rmcptag:
            self._refusal = data[1]

    def _timedout(self) -> None:
        """Begin anew where pyghmi does, but only RAKP_TRIES times."""
        if self.sessioncontext not in ("EXPECTINGRAKP2", "EXPECTINGRAKP4"):
            super()._timedout()
            return
        self._silences += 1
        if self._silences == RAKP_TRIES:
            self.onlogon({"error": threadless.NO_ANSWER})
            return
        self.give_back()
        self.logontries = 1  # pyghmi counts down to zero and takes what is below for plenty.
        self._relog()
