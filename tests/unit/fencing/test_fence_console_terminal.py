# SPDX-License-Identifier: GPL-2.0-or-later
"""A person's terminal: the question, Ctrl-C, a lost line, a stuck line, and none at all."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from console_bench import HOME, Pair, orders, pair, see, started
from fence_bench import sessions

from fencing.console.exits import Exit
from fencing.console.output import LINE_BYTES_MAX, LINES_MAX, Output
from hil.person import CTRL_C, CTRL_D, CTRL_Q, CTRL_S, LIMIT_S

QUESTION = "Type the node's name to do it (beta): "


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Pair]:
    """A pair whose power is on."""
    with pair(tmp_path) as found:
        yield found


def _until(happened: Callable[[], bool]) -> None:
    """Wait for something that tells nobody when it happens."""
    end_s = time.monotonic() + LIMIT_S
    while not happened():
        assert time.monotonic() < end_s, "it does not happen"
        time.sleep(0.01)


def test_the_name_is_asked_for(two: Pair) -> None:
    """Before the shot it says what is known and asks; the node's name, typed, is a yes."""
    with two.person("off") as person:
        shown = person.see(QUESTION)
        assert "This cuts the power of beta at once, without a shutdown." in shown
        assert "nobody here knows whether beta serves now" in shown
        assert orders(two.beta) == []
        person.type("beta\n")
        assert person.wait() == 0
        assert "beta: proved off, by device-2 (level 1)" in person.shown
    assert two.beta.power == "off"


@pytest.mark.parametrize("typed", ["alpha\n", "yes\n", "\n", "bet\n", "beta beta\n", CTRL_D])
def test_anything_else_is_a_no(two: Pair, typed: str) -> None:
    """Another name, a yes, an empty line, the end of the input: nothing is ordered, code 3."""
    with two.person("cycle") as person:
        person.see(QUESTION)
        person.type(typed)
        assert person.wait() == Exit.NOT_ORDERED
        assert "that is not its name: nothing was ordered" in person.shown
    assert two.beta.log == ()


@pytest.mark.parametrize(("how", "code"), [(CTRL_C, Exit.INTERRUPTED), ("", -signal.SIGHUP)])
def test_leaving_at_the_question(two: Pair, how: str, code: int) -> None:
    """Ctrl-C or a lost terminal at the question: nothing is ordered."""
    with two.person("off") as person:
        person.see(QUESTION)
        if how:
            person.type(how)
        else:
            person.hang_up()
        assert person.wait() == code
        assert not how or "interrupted: nothing was ordered" in person.shown
    assert two.beta.log == ()


def test_no_terminal(two: Pair) -> None:
    """Where nobody can be asked nothing is done, unless --yes says so."""
    done = two.run("off")
    assert (done.returncode, done.stdout) == (Exit.NOT_ORDERED, "")
    assert "stdin is no terminal to ask at" in done.stderr
    assert two.beta.log == ()


def test_ctrl_c_in_mid_order(two: Pair) -> None:
    """Ctrl-C gives up and says that the order may be carried out; no session is left."""
    two.beta.fault = "ack_only"
    with two.person("off", "--yes", "--deadline", "5m") as person:
        person.see("reads on")
        person.type(CTRL_C)
        assert person.wait() == Exit.INTERRUPTED
        assert "an order off was given (device-2 at " in person.shown
        assert "it may be carried out yet, and nothing proves it" in person.shown
    assert sessions(two.beta) == 0


def test_ctrl_c_after_the_proof(two: Pair) -> None:
    """Ctrl-C while a cycle holds leaves the power off, and says so."""
    with two.person("cycle", "--yes") as person:
        person.see("the power stays off for 5 s")
        person.type(CTRL_C)
        assert person.wait() == Exit.INTERRUPTED
        assert "proved off, by device-2 (level 1); it stays off" in person.shown
    assert orders(two.beta) == ["off"]


def test_a_lost_terminal_in_mid_order(two: Pair) -> None:
    """An off that was ordered is finished, and a cycle too, although nobody watches any more."""
    two.beta.fault = "off_delay 0.5"
    with two.person("cycle") as person:
        person.see(QUESTION)
        person.type("beta\n")
        person.see("device-2 is ordered off")
        person.hang_up()
        assert person.wait() == Exit.DONE
    assert orders(two.beta) == ["off", "on"]
    assert two.beta.power == "on"
    assert sessions(two.beta) == 0


def test_nohup(two: Pair) -> None:
    """A SIGHUP that is ignored stays so, even while nothing is ordered yet."""
    with (two.folder / "fence-beta.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        command = ["nohup", *two.command("off", "--yes")]
        with started(command) as process:
            see(process, "waiting, at most 60 s")
            process.send_signal(signal.SIGHUP)
            fcntl.flock(held, fcntl.LOCK_UN)
            told, _ = process.communicate()
    assert (process.returncode, told) == (0, "beta: proved off, by device-2 (level 1)\n")


def test_a_stopped_terminal(two: Pair) -> None:
    """Ctrl-S stops the screen, and not the fence; after Ctrl-Q everything is shown."""
    with two.person("off") as person:
        person.see(QUESTION)
        person.type(f"beta\n{CTRL_S}")
        _until(lambda: two.beta.power == "off")
        lock = two.folder / "fence-beta.lock"
        _until(lambda: lock.exists() and _free(lock))
        person.type(CTRL_Q)
        assert person.wait() == 0
        assert "device-2 is ordered off" in person.shown
        assert "proved off" in person.shown


def _free(lock: Path) -> bool:
    """Whether nobody holds it; it is not kept."""
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def test_a_full_pipe(two: Pair) -> None:
    """Whoever does not read the steps does not hold up the fence, and finds them afterwards."""
    reading, writing = os.pipe()
    _fill(writing)
    command = two.command("off", "--yes")
    with started(command, stderr=writing) as process:
        os.close(writing)
        _until(lambda: two.beta.power == "off" and _free(two.folder / "fence-beta.lock"))
        assert process.poll() is None
        with os.fdopen(reading, "rb") as stream:
            steps = stream.read().lstrip(b"x")
        assert process.wait(LIMIT_S) == 0
    assert b"device-2 is ordered off" in steps


def _drained(reading: int) -> bytes:
    """All that is in a pipe."""
    found = b""
    with suppress(BlockingIOError):
        while part := os.read(reading, 65536):
            found += part
    return found


def _fill(writing: int) -> None:
    """Fill a pipe's buffer to the last byte."""
    os.set_blocking(writing, False)
    for size in (65536, 1):
        with suppress(BlockingIOError):
            while True:
                os.write(writing, b"x" * size)
    os.set_blocking(writing, True)


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_descriptors(two: Pair, closed: str) -> None:
    """Without stdout and stderr the fence is done all the same, and nothing else is written to."""
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", *two.command("off", "--yes")]
    assert subprocess.run(command, cwd=HOME, check=False, timeout=LIMIT_S).returncode == 0
    assert two.beta.power == "off"


def test_readers_that_go_away(two: Pair) -> None:
    """Both readers are gone before the first word: the fence is done all the same."""
    reading, writing = os.pipe()
    os.close(reading)
    command = two.command("off", "--yes")
    done = subprocess.run(
        command, cwd=HOME, stdout=writing, stderr=writing, check=False, timeout=LIMIT_S
    )
    os.close(writing)
    assert done.returncode == 0
    assert two.beta.power == "off"


def test_lines_are_lines() -> None:
    """What a device says cannot drive a terminal; a stuck one gets the last lines, a lost none."""
    reading, writing = os.pipe()
    output = Output(None, writing)
    output.say(f"a\x1b[2Jb\nc{'d' * 1000}")
    shown = os.read(reading, 65536)
    assert shown.startswith(b"a?[2Jb?cd")
    assert len(shown) == LINE_BYTES_MAX
    _fill(writing)
    for number in range(LINES_MAX + 10):
        output.say(str(number))
    os.set_blocking(reading, False)
    assert set(_drained(reading)) == {ord("x")}
    output.flush()
    assert _drained(reading).split() == [b"%d" % number for number in range(10, LINES_MAX + 10)]
    os.close(reading)
    output.say("nobody hears it")
    output.flush()
    os.close(writing)
