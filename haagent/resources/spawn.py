# SPDX-License-Identifier: GPL-2.0-or-later
"""Starts a program without holding up the loop: on a thread, and without the interpreter's lock.

Python's own ways (subprocess, asyncio, os.posix_spawn) keep that lock, or the calling thread, until
the new program is loaded. On a busy machine, or with the program on a disk that hangs, that is
longer than a heartbeat may be late. A call through ctypes gives the lock back for as long.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import signal
import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from haagent.resources import ResourceError

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""As Debian gives it to root and systemd to a service."""

_SETSIGDEF, _SETSIGMASK, _SETSID = 0x04, 0x08, 0x80
"""Source: glibc, posix/spawn.h."""
_OPAQUE_BYTES = 1024
"""Room for glibc's attributes (336), actions (80) and signal sets (128), and for their growth."""
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
"""What is ignored stays ignored across exec, and programs rely on SIGPIPE."""

_libc = ctypes.CDLL(None)


@dataclass(frozen=True, slots=True)
class Child:
    """A program that runs, leader of a session and process group of its own."""

    pid: int
    pidfd: int
    """Readable once it has ended. Whoever closes it must also reap `pid`."""


def spawn(
    argv: Sequence[str], environment: Mapping[str, str], *, stdout: int, stderr: int
) -> Child:
    """Start a program in "/", with no descriptor of ours but these two; blocks while it loads.

    Args:
        argv: The program, looked up in PATH if it has no slash, and its arguments.
        environment: All of it.
        stdout: Descriptor for its output; stays open here.
        stderr: Same for its error output.

    Raises:
        OSError: It did not start.
    """
    found = argv[0] if "/" in argv[0] else shutil.which(argv[0], path=PATH)
    if found is None:
        raise FileNotFoundError(errno.ENOENT, f"not found in {PATH}", argv[0])
    actions = ctypes.create_string_buffer(_OPAQUE_BYTES)
    attributes = ctypes.create_string_buffer(_OPAQUE_BYTES)
    _check(_libc.posix_spawn_file_actions_init(actions), found)
    _check(_libc.posix_spawnattr_init(attributes), found)
    try:
        _fill_actions(actions, stdout, stderr)
        _fill_attributes(attributes)
        pid = ctypes.c_int()
        _check(
            _libc.posix_spawn(
                ctypes.byref(pid),
                os.fsencode(found),
                actions,
                attributes,
                _strings(argv),
                _strings([f"{name}={value}" for name, value in environment.items()]),
            ),
            found,
        )
    finally:
        _libc.posix_spawnattr_destroy(attributes)
        _libc.posix_spawn_file_actions_destroy(actions)
    _be_ordinary(pid.value)
    try:
        return Child(pid.value, os.pidfd_open(pid.value))
    except OSError:  # No more descriptors: nobody would hear of its end, nor end it.
        os.killpg(pid.value, signal.SIGKILL)
        os.waitpid(pid.value, 0)
        raise


def spawn_apart(
    loop: AbstractEventLoop,
    start: Callable[[], Child],
    tell: Callable[[Child | OSError | ResourceError], None],
) -> None:
    """Call `start` on a thread of its own, and `tell` on the loop how it went.

    A thread from a pool would be missing to others while a program hangs in being loaded.

    Raises:
        OSError: There is no thread to be had; `start` is not called.
    """

    def work() -> None:
        try:
            result: Child | OSError | ResourceError = start()
        except (OSError, ResourceError) as error:
            result = error
        try:
            loop.call_soon_threadsafe(tell, result)
        except RuntimeError:  # The loop has ended: nobody would look after it.
            if isinstance(result, Child):
                with suppress(ProcessLookupError):
                    os.killpg(result.pid, signal.SIGKILL)

    try:
        threading.Thread(target=work, name="spawn", daemon=True).start()
    except RuntimeError as error:
        raise OSError(errno.EAGAIN, str(error)) from error


def _fill_actions(actions: ctypes.Array[ctypes.c_char], stdout: int, stderr: int) -> None:
    """Nothing to read, the given descriptors to write to, no other one, and no disk kept busy."""
    add_dup2 = _libc.posix_spawn_file_actions_adddup2
    add_open = _libc.posix_spawn_file_actions_addopen
    _check(add_open(actions, 0, b"/dev/null", os.O_RDONLY, 0))
    _check(add_dup2(actions, stdout, 1))
    _check(add_dup2(actions, stderr, 2))
    _check(_libc.posix_spawn_file_actions_addclosefrom_np(actions, 3))
    _check(_libc.posix_spawn_file_actions_addchdir_np(actions, b"/"))


def _fill_attributes(attributes: ctypes.Array[ctypes.c_char]) -> None:
    """A session of its own; signals as a program expects them."""
    flags = ctypes.c_short(_SETSID | _SETSIGDEF | _SETSIGMASK)
    _check(_libc.posix_spawnattr_setflags(attributes, flags))
    signals = ctypes.create_string_buffer(_OPAQUE_BYTES)
    _libc.sigemptyset(signals)
    _check(_libc.posix_spawnattr_setsigmask(attributes, signals))
    for number in _IGNORED_BY_PYTHON:
        _libc.sigaddset(signals, int(number))
    _check(_libc.posix_spawnattr_setsigdefault(attributes, signals))


def _be_ordinary(pid: int) -> None:
    """Take back the agent's protection from the OOM killer, which is not for a database.

    Its realtime scheduling is not inherited in the first place (SCHED_RESET_ON_FORK).
    """
    with suppress(OSError):  # It has ended, or nothing was to be changed.
        Path(f"/proc/{pid}/oom_score_adj").write_text("0", encoding="ascii")


def _strings(values: Sequence[str]) -> ctypes.Array[ctypes.c_char_p]:
    encoded = [os.fsencode(value) for value in values]
    if any(b"\0" in value for value in encoded):
        raise OSError(errno.EINVAL, "a zero byte in an argument or variable")
    return (ctypes.c_char_p * (len(encoded) + 1))(*encoded, None)


def _check(code: int, program: str | None = None) -> None:
    if code:
        raise OSError(code, os.strerror(code), program)
