# SPDX-License-Identifier: GPL-2.0-or-later
"""One BMC's Redfish service: entered when it is first asked, and left without a trace.

Source: DSP0266 1.20, "Redfish Specification", 13.3 "Authentication".
"""

from __future__ import annotations

import contextlib
import signal
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass

from requests import Response

from fencing import FenceError, Secret
from fencing.drivers.redfish.document import LINK, Document, text
from fencing.drivers.redfish.line import Line, left_before, resource
from fencing.drivers.redfish.refusal import login_refusal, refusal

ROOT = "/redfish/v1/"
SESSIONS = "/redfish/v1/SessionService/Sessions"
"""Where sessions are, should the root not say it (DSP0266 1.20, 13.3.4)."""
LOGOUT_S = 0.8
"""The worker is killed a second after its stdin has ended, see fencing.process."""
_UNAUTHORIZED = 401


@dataclass(frozen=True, slots=True)
class Access:
    """How to enter a service."""

    user: str
    password: Secret
    session: bool
    """Log in once and show the session's token; else the password goes with each request."""
    answer_s: float


class Service:
    """One BMC; connection and login are kept until close()."""

    def __init__(self, line: Line, access: Access) -> None:
        self.logins = 0
        """Rises with each login: what was read in an earlier one may be another machine's."""
        self.session_path = ""
        """The session's own resource, "" without one."""
        self._line = line
        self._access = access
        self._credentials: dict[str, str] = {}
        self._root: Document | None = None

    @property
    def date(self) -> str:
        """When the BMC believes that it gave its last answer, in HTTP's words."""
        return self._line.date

    def still(self, login: int) -> bool:
        """Whether this is surely the BMC of that login: its token proves it, a password not."""
        return self._access.session and login == self.logins and bool(self._credentials)

    def root(self) -> Document:
        """The service root, read once a login."""
        if self._root is None:
            self._root = self.get(ROOT)
        return self._root

    def get(self, path: str, *, in_new_login: bool = True) -> Document:
        """Read one resource.

        Args:
            path: Where it is.
            in_new_login: Log in anew if the BMC says that we have not; some say so of everything
                that an account may not read.

        Raises:
            NotSentError: There is no connection or no login.
            FenceError: No answer, a refusal, or no resource in the answer.
        """
        return resource(self._ask("GET", path, in_new_login=in_new_login))

    def post(self, path: str, body: Document) -> None:
        """Send an order; no error means that it was taken, not that it is carried out.

        It is not repeated in a new login, because that may be with another machine.

        Raises:
            NotSentError: Certainly not a byte of the order left.
            FenceError: No answer, or a refusal.
        """
        self._ask("POST", path, body, in_new_login=False)

    def close(self) -> None:
        """End session and connection; never raises."""
        with contextlib.suppress(FenceError):
            if self.session_path:
                self._exchange("DELETE", self.session_path, answer_s=LOGOUT_S)
        self._forget_login()
        self._line.close()

    def _ask(
        self, method: str, path: str, body: Document | None = None, *, in_new_login: bool = True
    ) -> Response:
        """Ask in the present login, and once more in a new one if the BMC has forgotten it."""
        was_warm = bool(self._credentials)
        if not was_warm:
            self._log_in()
        answer = self._exchange(method, path, body)
        forgotten = answer.status_code == _UNAUTHORIZED and was_warm and self._access.session
        if forgotten and in_new_login:
            with left_before():
                answer = self._ask_in_new_login(method, path, body)
        if not answer.ok:
            raise refusal(answer, self._secrets())
        return answer

    def _ask_in_new_login(self, method: str, path: str, body: Document | None) -> Response:
        old_path = self.session_path
        self._log_in()
        answer = self._exchange(method, path, body)
        if answer.status_code == _UNAUTHORIZED and old_path:
            # So it was not the session that it did not like: the old one may still be there.
            with contextlib.suppress(FenceError):
                self._exchange("DELETE", old_path)
        return answer

    def _log_in(self) -> None:
        """Enter anew.

        Raises:
            NotSentError: There is no login, for the reason given.
            FenceError: The BMC says that it cannot now, which may pass before the deadline.
        """
        self._forget_login()
        self.logins += 1
        user, password = self._access.user.encode(), self._access.password.reveal()
        if not self._access.session:
            words = b64encode(user + b":" + password).decode()
            self._credentials = {"Authorization": f"Basic {words}"}
            return
        sessions = self._sessions_path()
        names = {"UserName": self._access.user, "Password": password.decode()}
        with _signals_held():  # To end in here would leave a session whose name nobody knows.
            answer = self._exchange("POST", sessions, names)
            token = answer.headers.get("X-Auth-Token", "")
            if not answer.ok or not token:
                raise login_refusal(answer)
            self._credentials = {"X-Auth-Token": token}
            self.session_path = _location(answer)

    def _sessions_path(self) -> str:
        """Where to log in: the root can be read without a login."""
        answer = self._exchange("GET", ROOT)
        if not answer.ok:
            raise refusal(answer, self._secrets())
        self._root = resource(answer)
        return text(self._root, "Links", "Sessions", LINK) or SESSIONS

    def _exchange(
        self, method: str, path: str, body: Document | None = None, answer_s: float | None = None
    ) -> Response:
        limit_s = self._access.answer_s if answer_s is None else answer_s
        return self._line.exchange(method, path, body, self._credentials, limit_s)

    def _forget_login(self) -> None:
        self._credentials, self.session_path, self._root = {}, "", None

    def _secrets(self) -> tuple[str, ...]:
        """All that a BMC might quote and nobody may read."""
        shown = (words.removeprefix("Basic ") for words in self._credentials.values())
        return (self._access.password.reveal().decode(errors="replace"), *shown)


def _location(answer: Response) -> str:
    """The new session's own resource: in a header, or in the body where a BMC forgets that."""
    path = answer.headers.get("Location", "")
    if not path:
        with contextlib.suppress(FenceError):
            path = text(resource(answer), LINK)
    return path


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Let the signals that end a worker come only after this; every wait in it is bounded."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGIO})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
