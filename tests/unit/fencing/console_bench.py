# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m fencing` on the bench: a pair with a BMC each, and the command in its own process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any
from uuid import UUID

from fence_bench import simulator
from haagent_bench import Entry, configuration

from hil.bmc import IpmiSim
from hil.person import LIMIT_S, Person

HOME = Path(__file__).parents[3]
ALPHAS = UUID("a1234567-89ab-cdef-a123-456789abcdef")
KEYS = {
    *("command", "exit", "meaning", "message", "nodes", "dry_run", "ordered", "proof", "roles"),
    *("plan", "levels", "devices", "attempts", "steps"),
}
"""Every key of the JSON."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two nodes, each with a BMC: device-1 cuts alpha, device-2 cuts beta; we are alpha."""

    folder: Path
    file: Path
    alpha: IpmiSim
    beta: IpmiSim

    def command(self, *arguments: str) -> list[str]:
        """A command line; a later option of a kind outranks ours."""
        verb, *rest = arguments
        where = ("--config", str(self.file), "--node", "alpha", "--socket", str(self.socket))
        return [sys.executable, "-m", "fencing", verb, *where, *rest]

    @property
    def socket(self) -> Path:
        """Where a daemon would listen; locks are beside it."""
        return self.folder / "control.sock"

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, with nobody at its stdin."""
        return run(self.command(*arguments))

    def told(self, *arguments: str) -> dict[str, Any]:
        """Run a command with --json; the object, which is all of stdout."""
        done = self.run(*arguments, "--json")
        assert done.stdout.count("\n") == 1, done
        found = json.loads(done.stdout)
        assert set(found) == KEYS
        assert found["exit"] == done.returncode
        assert isinstance(found, dict)
        return found

    @contextmanager
    def start(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Start a command, to be read step by step; afterwards it has ended."""
        with started(self.command(*arguments)) as process:
            yield process

    def person(self, *arguments: str) -> Person:
        """Start a command at a terminal."""
        return Person(self.command(*arguments))


@contextmanager
def pair(folder: Path) -> Iterator[Pair]:
    """Both BMCs up."""
    alpha, beta = simulator(folder / "alpha"), simulator(folder / "beta")
    alpha.guid = ALPHAS
    with alpha, beta:
        yield Pair(
            folder, configuration(folder, Entry("alpha", alpha), Entry("beta", beta)), alpha, beta
        )


@contextmanager
def started(
    command: Sequence[str], *, stderr: int = subprocess.PIPE
) -> Iterator[subprocess.Popen[str]]:
    """A command that runs, with nobody at its stdin; it is killed if it does not end by itself."""
    with subprocess.Popen(
        command,
        cwd=HOME,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command,
        cwd=HOME,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def see(process: subprocess.Popen[str], text: str) -> str:
    """Read stderr up to the line that has `text` in it."""
    assert process.stderr is not None
    shown = ""
    while line := process.stderr.readline():
        shown += line
        if text in line:
            return shown
    raise AssertionError(f"{text!r} is not in:\n{shown}")


def orders(bmc: IpmiSim) -> list[str]:
    """What the BMC was ordered, in order: `off` or `on`, repetitions left out.

    A device that does not read off within a second is ordered off by a second worker, too.
    """
    words = {"set power 0": "off", "set power 1": "on"}
    given = (word for line in bmc.log for start, word in words.items() if line.startswith(start))
    return [word for word, _ in groupby(given)]
