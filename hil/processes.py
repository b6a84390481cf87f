# SPDX-License-Identifier: GPL-2.0-or-later
"""The only place where the lab starts processes: none of them outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
"""The checkout, from which `python -m hil.NAME` works."""
DIE_WITH_US = ("setpriv", "--pdeathsig", "KILL")
"""Prefix: the kernel kills what follows when the thread that started it ends, however it ends."""
COMMAND_LIMIT_S = 120.0
"""No helper command of the lab takes a second; the rest is for a loaded machine."""
RUNS_S, STANDS_S = 0.03, 0.17
"""Of slowed processes: less than makes a cluster elect another leader."""
_POLL_S = 0.005
LOG_SHOWN = 2000
"""Characters of a log that an error message shows."""


def run(
    command: Sequence[str], *, text: str | None = None, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and return what it wrote.

    Args:
        command: Program and arguments; no shell.
        text: For its standard input.
        check: Whether an exit status other than 0 is an error.

    Raises:
        RuntimeError: It failed although `check`; the message holds its standard error.
    """
    done = subprocess.run(  # noqa: S603  # the lab's own literals and paths
        command, input=text, capture_output=True, text=True, check=False, timeout=COMMAND_LIMIT_S
    )
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
    return done


def labour(command: Sequence[str], log: Path, *, limit_s: float) -> None:
    """Run a command that takes its time to its end; what it writes goes to a file.

    However this ends, nothing of it is left: it runs in mount and process namespaces of its own.

    Raises:
        RuntimeError: It failed, or took longer than the limit; the message ends as its log does.
    """
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    with log.open("ab") as sink:
        process = subprocess.Popen(  # noqa: S603  # the lab's own literals and paths
            [*DIE_WITH_US, *namespaces, *command],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            cwd=ROOT,
            start_new_session=True,
        )
        _share_niceness(process.pid)
        try:
            status = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            process.kill()
            process.wait()
    if status != 0:
        end_of_log = log.read_text(errors="replace")[-LOG_SHOWN:]
        raise RuntimeError(f"{command[0]} ended with {status}:\n{end_of_log}")


def spawn(
    command: Sequence[str], *, stderr: IO[bytes] | int | None = None
) -> subprocess.Popen[str]:
    """Start a process with pipes at its standard input and output; it dies with the lab.

    It gets a session of its own, so that Ctrl-C reaches only the lab, which then cleans up.
    """
    process = subprocess.Popen(  # noqa: S603  # the lab's own literals and paths
        [*DIE_WITH_US, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        bufsize=1,
        cwd=ROOT,
        start_new_session=True,
    )
    _share_niceness(process.pid)
    return process


def _share_niceness(pid: int) -> None:
    """Have a new session be as nice to others as we are.

    The kernel may schedule whole sessions against each other, sched(7): then `nice make hil` would
    say nothing of a server that has one of its own.
    """
    with suppress(OSError):  # a kernel without that, or it has ended
        Path(f"/proc/{pid}/autogroup").write_text(str(os.nice(0)))


@contextmanager
def slowed(pids: Sequence[int]) -> Iterator[None]:
    """Have processes stand still most of the time, all at once."""
    done = threading.Event()

    def hold_up() -> None:
        while not done.wait(RUNS_S):
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            done.wait(STANDS_S)
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    thread = threading.Thread(target=hold_up)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def with_words(pids: Iterable[int], words: str) -> list[int]:
    """Those of these processes that have the words in their command line."""
    found = []
    for pid in pids:
        try:
            line = Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
        except OSError:
            continue  # it has just ended
        if words in line:
            found.append(pid)
    return found


def stat(pid: int) -> list[str]:
    """What the kernel tells of a process, from its state on: the third field of proc(5) and so on.

    Raises:
        OSError: There is none.
    """
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def runs(pid: int) -> bool:
    """Whether there is such a process, and more of it than its name (a zombie)."""
    try:
        return stat(pid)[0] not in "ZX"
    except OSError:
        return False


def end_group(group: int) -> None:
    """Kill what is left of a process group, and return when nothing of it has a file or a port."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
    while any(_is_in(group, int(path.name)) for path in Path("/proc").glob("[0-9]*")):
        time.sleep(_POLL_S)


def _is_in(group: int, pid: int) -> bool:
    try:
        state, _, its_group, *_ = stat(pid)
    except OSError:
        return False  # it has just ended
    return state not in "ZX" and int(its_group) == group


def end(process: subprocess.Popen[str]) -> None:
    """Kill a process of ours and reap it; that it has ended already is no error."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def module(name: str, *arguments: str) -> list[str]:
    """The command line of one of our own modules."""
    return [sys.executable, "-m", name, *arguments]
