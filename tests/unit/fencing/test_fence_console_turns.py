# SPDX-License-Identifier: GPL-2.0-or-later
"""One fence at a time per node: the console waits for whoever has the lock, and says who."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from console_bench import HOME, Pair, orders, pair, see

from fencing.console.command import carry_out
from fencing.console.daemon import NoDaemon
from fencing.console.exits import Exit
from fencing.console.order import Order, Verb
from fencing.console.output import Output
from fencing.console.site import read_site
from fencing.lock import lock_path

_HOLDER = """
import asyncio, sys
from pathlib import Path
from fencing.lock import FenceLock

async def hold():
    async with FenceLock(Path(sys.argv[1]), "console, somebody").held("off", 0.0):
        print("held", flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(hold())
"""


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Pair]:
    """A pair whose power is on."""
    with pair(tmp_path) as found:
        yield found


@contextmanager
def somebody(two: Pair) -> Iterator[subprocess.Popen[str]]:
    """Another process has beta's lock until its stdin ends."""
    command = [sys.executable, "-c", _HOLDER, str(lock_path(two.socket, "beta"))]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=HOME, stdin=pipe, stdout=pipe, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        try:
            yield holder
        finally:
            holder.kill()


def test_waiting(two: Pair) -> None:
    """It names who has the lock and since when, orders nothing, and goes on when it is free."""
    with somebody(two) as holder, two.start("off", "--yes") as process:
        shown = see(process, "waiting, at most 60 s")
        assert f"console, somebody (pid {holder.pid}) does off since " in shown
        assert two.beta.log == ()
        holder.communicate()
        see(process, "it is our turn")
        told, _ = process.communicate()
    assert (process.returncode, told) == (0, "beta: proved off, by device-2 (level 1)\n")


def test_other_nodes_are_free(two: Pair) -> None:
    """The lock is the node's: the other one is switched meanwhile, and status waits for nobody."""
    with somebody(two):
        assert two.run("off", "alpha", "--this-node", "--yes").returncode == 0
        assert two.run("status", "beta").returncode == 0


def test_waited_in_vain(two: Pair, capfd: pytest.CaptureFixture[str]) -> None:
    """The wait is bounded; after it nothing was ordered, and it says who was in the way."""
    site = read_site(two.file, "alpha", two.socket)
    order = Order(Verb.OFF, yes=True, lock_wait_s=0.1)
    with somebody(two) as holder:
        code = carry_out(order, lambda: site, NoDaemon(), Output.standard())
    assert code is Exit.NOT_ORDERED
    told = capfd.readouterr().out
    assert told.startswith(f"beta: nothing was ordered: console, somebody (pid {holder.pid})")
    assert two.beta.log == ()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_leaving_the_queue(two: Pair, number: signal.Signals) -> None:
    """Whoever leaves while it waits, or loses the terminal, has ordered nothing."""
    with somebody(two), two.start("off", "--yes", "--json") as process:
        see(process, "waiting, at most 60 s")
        process.send_signal(number)
        told, _ = process.communicate()
    assert process.returncode == Exit.INTERRUPTED
    assert '"ordered": false' in told
    assert "interrupted: nothing was ordered" in told
    assert two.beta.log == ()


def test_killed(two: Pair) -> None:
    """A console that is killed leaves no lock."""
    two.beta.fault = "ack_only"
    with two.start("off", "--yes", "--deadline", "5m") as process:
        see(process, "reads on")
        process.kill()
    two.beta.fault = "none"
    assert two.run("off", "--yes").returncode == 0


def test_no_lock_can_be_made(two: Pair) -> None:
    """Where no lock can be made it says so, and fences all the same: the proof does not need it."""
    lock_path(two.socket, "beta").mkdir()
    done = two.run("off", "--yes")
    assert done.returncode == 0
    assert "fence.no_lock" in done.stderr
    assert orders(two.beta) == ["off"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system in a namespace of its own")
def test_full_run(two: Pair, tmp_path: Path) -> None:
    """With /run full to the last byte the fence is done; only the name of its owner is missing."""
    full = tmp_path / "full"
    full.mkdir()
    script = (
        f"mount -t tmpfs -o size=4k,nr_inodes=4 none {full} && "
        f'{{ head -c 4096 /dev/zero > {full}/filler; touch {full}/a {full}/b; }} && exec "$@"'
    )
    command = two.command("off", "--yes", "--socket", str(full / "control.sock"))
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", *command],
        cwd=HOME,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "fence.no_lock" in done.stderr
    assert two.beta.power == "off"
