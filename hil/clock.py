# SPDX-License-Identifier: GPL-2.0-or-later
"""A wall clock of its own for one process, which can be set at any time: forwards and backwards.

Usage: python -m hil.clock FILE COMMAND..., after `Clock(FILE)` has made the file.

The kernel has no namespace for CLOCK_REALTIME, and a library that is loaded beside (libfaketime)
is not asked by programs in Go, such as etcd. So the question itself is answered here: the process
is told that there is no vDSO, asks by clock_gettime(2), and that call alone is handed to a
supervisor (seccomp user notification), which adds what the file says. Monotonic clocks, and what
waits for them, are as they are. Source: seccomp(2), seccomp_unotify(2), ptrace(2), getauxval(3).
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import platform
import select
import socket
import struct
import sys
import time
from pathlib import Path

from hil.processes import module, stat

_SYS_SECCOMP, _SYS_CLOCK_GETTIME = {"x86_64": (317, 228), "aarch64": (277, 113)}[platform.machine()]
_SET_MODE_FILTER = 1
_NEW_LISTENER, _WAIT_KILLABLE = 1 << 3, 1 << 5
"""The second: a signal does not break off a call that is being answered; Go sends many."""
_USER_NOTIF, _ALLOW = 0x7FC00000, 0x7FFF0000
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
"""BPF: a word of the call's data, jump if equal, the verdict."""
_NUMBER_AT, _CLOCK_AT = 0, 16
"""In struct seccomp_data."""
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_NOTICE = struct.Struct("=QIIiIQ6Q")
_ANSWER = struct.Struct("=QqiI")
_SEIZE, _DETACH, _TRACE_EXEC = 0x4206, 17, 0x10
_AT_NULL, _AT_IGNORE, _AT_SYSINFO_EHDR = 0, 1, 33
_START_STACK = 27
"""Field of /proc/PID/stat, from 0."""
_STACK_BYTES = 1 << 18
_SECOND_NS = 1_000_000_000
_OFFSET = struct.Struct("=q")
_libc = ctypes.CDLL(None, use_errno=True)


class Clock:
    """The wall clock of one process, from outside.

    Args:
        file: Its offset is kept there; made here.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        file.write_bytes(_OFFSET.pack(0))

    def step(self, seconds: float) -> None:
        """Set it forwards, or backwards, from where it is."""
        (before_ns,) = _OFFSET.unpack(self.file.read_bytes())
        with self.file.open("r+b") as opened:
            opened.write(_OFFSET.pack(before_ns + round(seconds * _SECOND_NS)))


def under(file: str) -> tuple[str, ...]:
    """Prefix that runs a command by the clock of that file, as the command sees the path."""
    return tuple(module("hil.clock", file))


def main() -> None:
    """Become the command, supervised."""
    file, *command = sys.argv[1:]
    ours, theirs = socket.socketpair()
    me = os.getpid()
    if os.fork() == 0:
        ours.close()
        _supervise(me, theirs, Path(file))
        os._exit(0)
    theirs.close()
    ours.recv(1)  # It watches us now.
    socket.send_fds(ours, [b"."], [_filter()])
    os.execvp(command[0], command)  # noqa: S606  # the lab's own literals and paths


def _filter() -> int:
    """Hand every question for the wall clock over; gives the place where they arrive."""
    lines = (
        (_LOAD, 0, 0, _NUMBER_AT),
        (_EQUAL, 0, 3, _SYS_CLOCK_GETTIME),
        (_LOAD, 0, 0, _CLOCK_AT),
        (_EQUAL, 0, 1, time.CLOCK_REALTIME),
        (_RETURN, 0, 0, _USER_NOTIF),
        (_RETURN, 0, 0, _ALLOW),
    )
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in lines))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(lines), ctypes.addressof(code)))
    flags = _NEW_LISTENER | _WAIT_KILLABLE
    return _checked(_libc.syscall(_SYS_SECCOMP, _SET_MODE_FILTER, flags, program))


def _supervise(pid: int, channel: socket.socket, file: Path) -> None:
    _ptrace(_SEIZE, pid, _TRACE_EXEC)
    channel.send(b".")
    _, (notices,), _, _ = socket.recv_fds(channel, 1, 1)
    channel.close()
    os.waitpid(pid, 0)  # It has become the command, and has not begun.
    _hide_vdso(pid)
    _ptrace(_DETACH, pid, 0)
    with file.open("r+b") as opened:
        offset = mmap.mmap(opened.fileno(), _OFFSET.size)
    _answer(notices, offset)


def _answer(notices: int, offset: mmap.mmap) -> None:
    """Answer until nobody is left who could ask."""
    waiting = select.poll()
    waiting.register(notices, select.POLLIN)
    while True:
        ((_, events),) = waiting.poll()
        if not events & select.POLLIN:
            return
        notice = bytearray(_NOTICE.size)
        try:
            fcntl.ioctl(notices, _RECEIVE, notice)
            number, thread, _, _, _, _, _, place, *_ = _NOTICE.unpack(notice)
            (ahead_ns,) = _OFFSET.unpack(offset[:])
            now = divmod(time.time_ns() + ahead_ns, _SECOND_NS)
            with Path(f"/proc/{thread}/mem").open("r+b", buffering=0) as memory:
                memory.seek(place)
                memory.write(struct.pack("=qq", *now))
            fcntl.ioctl(notices, _SEND, _ANSWER.pack(number, 0, 0, 0))
        except (FileNotFoundError, ProcessLookupError):
            continue  # Who asked is dead.


def _hide_vdso(pid: int) -> None:
    """Have a process that has just begun believe that there is no clock in its own memory."""
    start = int(stat(pid)[_START_STACK - 2])
    with Path(f"/proc/{pid}/mem").open("r+b", buffering=0) as memory:
        memory.seek(start)
        words = memory.read(_STACK_BYTES)
        at = 8 * (1 + _word(words, 0) + 1)  # Number of arguments, these, and an end.
        while _word(words, at):
            at += 8  # The environment, and an end.
        at += 8
        while (kind := _word(words, at)) != _AT_NULL:
            if kind == _AT_SYSINFO_EHDR:
                memory.seek(start + at)
                memory.write(struct.pack("=Q", _AT_IGNORE))
            at += 16


def _word(words: bytes, at: int) -> int:
    (value,) = struct.unpack_from("=Q", words, at)
    return int(value)


def _ptrace(request: int, pid: int, data: int) -> None:
    _libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    _libc.ptrace.restype = ctypes.c_long
    _checked(_libc.ptrace(request, pid, None, data))


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


if __name__ == "__main__":
    main()
