# SPDX-License-Identifier: GPL-2.0-or-later
"""Somebody else's program, run so that nothing of it outlives its time limit or this process.

A process group is not enough: agents start `ssh` in sessions of their own, and a worker that is
killed kills no group. So the program runs in a PID namespace, whose first process it is; when that
one ends the kernel kills all others. A chain of parent-death signals reaches it even when this
process is killed by SIGKILL: no order is carried out by somebody who was given up.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fencing import FenceError, NotSentError
from fencing.findings import Trouble

OUTPUT_BYTES_MAX = 64 * 1024
"""Kept of each stream; the longest metadata of fence-agents 4.12 are 11 KiB."""
END_LIMIT_S = 1.0
"""To kill a namespace takes the kernel milliseconds; the rest is for a busy machine."""
_CHUNK_BYTES = 16 * 1024
_ENVIRONMENT = {"LANG": "C", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
"""All that a program is told; proxies and PCMK_service (no time limits!) are none of it."""
_CONTAIN = (
    *("/usr/bin/setpriv", "--pdeathsig", "KILL"),
    *("/usr/bin/unshare", "--pid", "--kill-child=KILL"),
)
"""Prefix of every command line. Both programs exec or end with what follows."""
_PREFIX_COMPLAINTS = ("setpriv: ", "unshare: ")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended by itself. Its texts may hold what it was given, passwords included."""

    code: int
    """Exit status; negative for a signal."""
    output: str
    complaint: str
    """What it wrote to stderr."""


def run(program: Path, text: bytes, limit_s: float) -> Ended:
    """Run `program` without arguments and with `text` as its whole input; blocks until its end.

    Raises:
        NotSentError: It was certainly not started.
        FenceError: It did not end within `limit_s` and was killed with all that it had started.
    """
    end_s = time.monotonic() + limit_s
    with _input(text) as stdin:
        try:
            process = subprocess.Popen(  # noqa: S603  # the program was judged by its caller
                [*_CONTAIN, str(program)],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_ENVIRONMENT,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            reason = f"{program.name} could not be started: {error.strerror}"
            raise NotSentError(reason, Trouble.NOT_INSTALLED) from None
    try:
        output, complaint = _read(process, end_s)
        code = process.wait(max(end_s - time.monotonic(), 0.0))
    except (TimeoutError, subprocess.TimeoutExpired):
        raise FenceError(f"{program.name} did not end within {limit_s:g} s") from None
    finally:
        _end(process)
    if code != 0 and complaint.startswith(_PREFIX_COMPLAINTS):
        reason = f"{program.name} could not be contained; it needs root: {complaint.strip()}"
        raise NotSentError(reason, Trouble.NOT_INSTALLED)
    return Ended(code, output, complaint)


@contextlib.contextmanager
def _input(text: bytes) -> Iterator[IO[bytes]]:
    """The input as a file in memory: complete before the program begins, on no disk.

    An agent that read half of it from a pipe would take another action than was meant.
    """
    with os.fdopen(os.memfd_create("input"), "w+b") as file:
        file.write(text)
        file.seek(0)
        yield file


def _read(process: subprocess.Popen[bytes], end_s: float) -> tuple[str, str]:
    """What it writes until it closes both streams; what is too much is read and forgotten.

    Raises:
        TimeoutError: It has not closed them by `end_s`.
    """
    assert process.stdout is not None
    assert process.stderr is not None
    kept = {process.stdout: bytearray(), process.stderr: bytearray()}
    with selectors.DefaultSelector() as selector:
        for stream in kept:
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            if (left_s := end_s - time.monotonic()) <= 0:
                raise TimeoutError
            for key, _ in selector.select(left_s):
                chunk = os.read(key.fd, _CHUNK_BYTES)
                if not chunk:
                    selector.unregister(key.fileobj)
                text = kept[key.fileobj]  # type: ignore[index]  # only these two are registered
                text += chunk[: OUTPUT_BYTES_MAX - len(text)]
    output, complaint = (bytes(text).decode(errors="replace") for text in kept.values())
    return output, complaint


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill it with all that it has started, and wait until the last of them is gone.

    Not by its parent, which would be gone sooner: the first process of a PID namespace ends only
    after all others of it, and its parent waits for it. Source: pid_namespaces(7).
    """
    if process.poll() is None:
        for pid in _children(process.pid) or [process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_LIMIT_S)
        process.kill()
    for stream in (process.stdout, process.stderr):
        assert stream is not None
        stream.close()


def _children(pid: int) -> list[int]:
    """The processes that it has started and not waited for; none if the kernel does not tell.

    Source: proc(5); needs CONFIG_PROC_CHILDREN, which Debian's and Red Hat's kernels have.
    """
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in children.split()]
