# SPDX-License-Identifier: GPL-2.0-or-later
"""pyghmi without its I/O thread, and with its process-wide registers emptied between logons.

Two private functions are replaced: `define_worker`, which makes the thread, and `_io_wait`,
which waits for it. Here the calling thread selects over pyghmi's sockets itself, so there are
no wake-ups to lose (measured stalls of 0.5 to 1.5 s), and no loop inside pyghmi can outlive
our limit.
"""

from __future__ import annotations

import select
import struct
import time

from pyghmi.exceptions import IpmiException
from pyghmi.ipmi.private import session as pyghmi_session

from fencing.findings import Trouble

PYGHMI_VERSION = "1.6.19"
"""The release whose private names are used; a test holds the pin to it."""

NO_ANSWER = "no answer"

ERRORS = (
    IpmiException,
    OSError,
    struct.error,
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    NotImplementedError,
)
"""What pyghmi lets out, by reading and by experience, when a BMC answers nonsense."""


def install() -> None:
    """Take the thread's place; once per process is enough, more does no harm."""
    pyghmi_session.define_worker = lambda: _NoThread
    pyghmi_session._io_wait = _wait  # noqa: SLF001  # the reason for the pin


def limit(limit_s: float) -> float:
    """Bound everything pyghmi waits for from now on; returns the end (time.monotonic)."""
    _bound.end_s = time.monotonic() + limit_s
    return _bound.end_s


def forget() -> None:
    """Empty pyghmi's registers and close its sockets, so that the next logon starts from nothing.

    The next session has another source port, so answers to this one cannot reach it.
    """
    for register in ("bmc_handlers", "waiting_sessions", "initting_sessions", "keepalive_sessions"):
        getattr(pyghmi_session.Session, register).clear()
    pyghmi_session.sessionqueue.clear()
    pyghmi_session.Session.socketpool.clear()
    for socket in pyghmi_session.iosockets:
        socket.close()
    pyghmi_session.iosockets.clear()


def describe(error: BaseException) -> str:
    """An operator's words for what pyghmi raised: of foreign exceptions only the kind.

    Their texts may hold anything, e.g. a KeyError of pyghmi's register holds the password.
    """
    if isinstance(error, IpmiException):
        return words(error.args[0] if error.args else None)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, TimeoutError):
        return NO_ANSWER
    return f"pyghmi failed with {type(error).__name__}"


def trouble(error: BaseException) -> Trouble:
    """The name of what pyghmi raised: the network's silence, or an answer that makes no sense."""
    unheard = isinstance(error, (OSError, IpmiException))
    return Trouble.UNREACHABLE if unheard else Trouble.REFUSED


def words(text: object) -> str:
    """What pyghmi says of a failed login; it has no word for a BMC that never answered."""
    return NO_ANSWER if text in (None, "timeout") else str(text)


class _Bound:
    end_s = 0.0


_bound = _Bound()


class _NoThread:
    """Tells those who wait for the thread that it is ready."""

    daemon = True

    def start(self) -> None:
        pyghmi_session.iothreadready = True
        while pyghmi_session.iothreadwaiters:
            pyghmi_session.iothreadwaiters.pop().set()


def _wait(timeout: float, myaddr: object = None, evq: object = None) -> None:
    """Wait as `_io_wait` does until `myaddr` (None: anybody) answered, or `timeout` seconds.

    Raises:
        TimeoutError: The limit had passed before.
    """
    del evq  # Other threads would use it to cut the waiting short; there are none.
    now_s = time.monotonic()
    if now_s > _bound.end_s:
        raise TimeoutError(NO_ANSWER)
    end_s = min(now_s + timeout, _bound.end_s)
    while True:
        left_s = max(end_s - time.monotonic(), 0.0)
        ready, _, _ = select.select(pyghmi_session.iosockets, (), (), left_s)
        if ready:
            senders = pyghmi_session._io_graball(  # noqa: SLF001  # the reason for the pin
                pyghmi_session.iosockets, {}
            )
            if senders if myaddr is None else myaddr in senders:
                return
        if not left_s:
            return
