# SPDX-License-Identifier: GPL-2.0-or-later
"""One serial line: opened for us alone, read and written within limits, gone at any moment.

pyserial's exceptions end here. Its ways that matter: reading an adapter that was pulled out gives
nothing at once; a write that took its time raises although all was sent, so a failed write
says nothing about what the other end got; closing a line waits up to 30 s for output that the
other end does not take (the kernel's closing_wait), unless that is thrown away first.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
import termios
import time
from pathlib import Path

import serial

from fencing import FenceError
from fencing.drivers.pdu.dialect import Dialect
from fencing.findings import Trouble

FREE_S = 5.0
"""Another process has the line for one operation; a worker that ends needs 1 s to log out."""
BACK_S = 2.0
"""A USB adapter that was reset has its name again in about 1 s (udev)."""
POLL_S = 0.05
WRITE_S = 2.0
"""40 characters take 1.3 s at 300 baud; a longer wait means that flow control holds us."""

_BYTES_MAX = 4096
_PARITIES = {"N": serial.PARITY_NONE, "E": serial.PARITY_EVEN, "O": serial.PARITY_ODD}
_ERRORS = (OSError, ValueError, termios.error)
"""What pyserial and the kernel raise; SerialException is an OSError, termios.error is not."""

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[()][0-9A-Za-z]|[0-9=>A-Za-z])")
_LINE_END = re.compile(r"\r\n|\n\r|\r")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\xff]")


def plain(raw: bytes) -> str:
    r"""What a console wrote, as lines of ASCII.

    `\r\n`, `\n\r` and `\r` are newlines. ANSI sequences and all other control characters are
    gone, and so is what is not ASCII, because no PDU sends it on purpose.
    """
    text = _ANSI.sub("", raw.decode("latin-1"))
    return _CONTROL.sub("", _LINE_END.sub("\n", text))


class LineLostError(FenceError):
    """The line cannot be opened, or it broke while it was used."""


class Line:
    """One serial line. It may be opened again after it was lost.

    Raises:
        FenceError: Settings that no line can have.
    """

    def __init__(self, path: str, dialect: Dialect) -> None:
        frame = re.fullmatch(r"([78])([NEO])([12])", dialect.frame.upper())
        if frame is None:
            text = f"line: {dialect.frame!r} is not data bits, parity, stop bits, such as 8N1"
            raise FenceError(text, Trouble.SETTINGS)
        self._path = path
        self._baud = dialect.baud
        self._bits, self._parity, self._stop = frame.groups()
        self._flow = dialect.flow
        self._port: serial.Serial | None = None

    @property
    def is_open(self) -> bool:
        """Whether it was opened, and not lost as far as is known."""
        return self._port is not None

    @property
    def quiet_s(self) -> float:
        """So long after a prompt it is certain that nothing follows: two characters' time."""
        return max(0.02, 20 / self._baud)

    def device_number(self) -> str:
        """The kernel's number of the line, "4:64", by whatever name; "" if it is gone."""
        try:
            number = Path(self._path).stat().st_rdev
        except OSError:
            return ""
        return f"{os.major(number)}:{os.minor(number)}"

    def open(self, end_s: float) -> None:
        """Open it exclusively; being open is no error. What came before is forgotten.

        Raises:
            LineLostError: It is not there after BACK_S, or in use after FREE_S, or at `end_s`.
        """
        if self._port is not None:
            return
        started_s = time.monotonic()
        while True:
            try:
                self._port = self._opened()
            except _ERRORS as error:
                patience_s = _PATIENCE_S.get(_number(error) or 0, 0.0)
                if time.monotonic() >= min(started_s + patience_s, end_s):
                    raise self._cannot_open(error) from None
            else:
                return
            time.sleep(POLL_S)

    def write(self, data: bytes) -> None:
        """Send.

        Raises:
            LineLostError: It broke, or it takes nothing; some of it may have been sent.
        """
        try:
            self._required().write(data)
        except _ERRORS as error:
            raise self._lost(error) from None

    def read(self, limit_s: float) -> bytes:
        """What has come, as soon as there is something; b"" after `limit_s` of silence.

        Raises:
            LineLostError: It broke.
        """
        port = self._required()
        try:
            ready, _, _ = select.select([port.fileno()], [], [], max(0.0, limit_s))
            return bytes(port.read(_BYTES_MAX)) if ready else b""
        except _ERRORS as error:
            raise self._lost(error) from None

    def close(self) -> None:
        """Close it, throwing away what was not sent; never raises."""
        port, self._port = self._port, None
        if port is None:
            return
        for last in (port.reset_output_buffer, port.close):
            with contextlib.suppress(*_ERRORS):  # It may be gone, with what it had to send.
                last()

    def _opened(self) -> serial.Serial:
        return serial.Serial(
            self._path,
            baudrate=self._baud,
            bytesize=int(self._bits),
            parity=_PARITIES[self._parity],
            stopbits=int(self._stop),
            rtscts=self._flow == "rtscts",
            xonxoff=self._flow == "xonxoff",
            timeout=0,
            write_timeout=WRITE_S,
            exclusive=True,
        )

    def _required(self) -> serial.Serial:
        if self._port is None:
            raise LineLostError(f"{self._path} is not open")
        return self._port

    def _lost(self, error: Exception) -> LineLostError:
        self.close()
        return LineLostError(f"{self._path} broke: {_words(error)}")

    def _cannot_open(self, error: Exception) -> LineLostError:
        if _number(error) == errno.EAGAIN:
            return LineLostError(f"{self._path} is in use by another process", Trouble.NO_SESSION)
        return LineLostError(f"{self._path} cannot be opened: {_words(error)}")


_PATIENCE_S = {errno.EAGAIN: FREE_S, errno.ENOENT: BACK_S, errno.ENODEV: BACK_S, errno.EIO: BACK_S}
"""How long an error of opening may pass by itself; EAGAIN is another's exclusive lock."""


def _number(error: Exception) -> int | None:
    if isinstance(error, termios.error):
        return int(error.args[0]) if error.args else None
    return error.errno if isinstance(error, OSError) else None


def _words(error: Exception) -> str:
    """The system's words for it; pyserial's own where it has no number."""
    number = _number(error)
    return os.strerror(number) if number else str(error)
