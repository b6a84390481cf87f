# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs run within their limits, and nothing of them is left when a limit has passed."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import structlog
from dead_disk import dead_disk

from haagent.resources import ResourceError, output, process
from haagent.resources.process import (
    ENVIRONMENT,
    Finished,
    Program,
    ProgramError,
    Programs,
    StuckError,
    TimedOutError,
)
from hil.processes import runs

LIMIT_S = 20.0
"""For what ends by itself; only a fault reaches it."""
SHORT_S = 0.5
"""For what does not end by itself."""
FOREVER = "1000"
Logs = list[MutableMapping[str, Any]]


def shell(script: str, **options: Any) -> Program:
    """A program of the operator's who wants a shell."""
    return Program(("sh", "-c", script), "start", **options)


def run(program: Program, limit_s: float = LIMIT_S) -> tuple[Finished, list[str]]:
    """Run one program; its end and the lines that it brought into the log."""
    with structlog.testing.capture_logs() as logs:
        finished = asyncio.run(Programs("db").run(program, limit_s))
    return finished, said(logs)


def said(logs: Logs) -> list[str]:
    """The lines of output in the log."""
    return [entry["line"] for entry in logs if entry["event"] == "program.said"]


async def until(condition: Callable[[], object]) -> None:
    """Wait for what must come."""
    async with asyncio.timeout(LIMIT_S):
        while not condition():  # noqa: ASYNC110 - it is another process that changes it
            await asyncio.sleep(0.01)


def marked(path: Path) -> list[str]:
    """The processes that have this path in a variable, as all descendants of a program have it."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if f"HAAGENT_TEST={path}\0".encode() in environ.read_bytes():
                found.append(environ.parent.name)
    return found


def written_pids(path: Path, count: int) -> Callable[[], list[int]]:
    """The process ids in a file, once there are so many."""

    def read() -> list[int]:
        pids = path.read_text().split() if path.exists() else []
        return [int(pid) for pid in pids] if len(pids) == count else []

    return read


def test_a_program_gets_a_clean_start() -> None:
    """Documented environment, descriptors, session, directory, signals, OOM score: nothing else."""
    leak = os.dup(0)
    os.set_inheritable(leak, True)  # noqa: FBT003 - a positional argument of Python's
    try:
        _, lines = run(Program(("env",), "start", environment={"HAAGENT_GROUP": "käse"}))
        assert sorted(lines) == sorted(
            [*(f"{name}={value}" for name, value in ENVIRONMENT.items()), "HAAGENT_GROUP=käse"]
        )
        # The listing itself opens one more.
        _, descriptors = run(Program(("ls", "/proc/self/fd"), "start"))
        assert descriptors == ["0", "1", "2", "3"]
    finally:
        os.close(leak)
    _, (cwd, group_and_session, pid) = run(shell("pwd; cut -d' ' -f5,6 /proc/$$/stat; echo $$"))
    assert cwd == "/"
    assert group_and_session == f"{pid} {pid}"
    _, (ignored,) = run(Program(("grep", "SigIgn", "/proc/self/status"), "start"))
    assert int(ignored.split()[1], 16) & 0x7FFFFFFF == 0, "two signals above are glibc's own"


def test_a_program_is_not_spared_by_the_oom_killer() -> None:
    """Whatever score the agent has, a program gets the ordinary one, right after its start."""
    path = Path("/proc/self/oom_score_adj")
    ours = path.read_text()
    path.write_text("300")  # A lower one needs CAP_SYS_RESOURCE.
    try:
        run(shell("until grep -qx 0 /proc/$$/oom_score_adj; do sleep 0.01; done"), 5.0)
    finally:
        path.write_text(ours)


def test_arguments_are_not_for_a_shell() -> None:
    """What the operator wrote arrives as written, and its end is told."""
    finished, lines = run(Program(("echo", "$HOME;", "a  b", "*"), "start"))
    assert lines == ["$HOME; a  b *"]
    assert str(finished) == "exit status 0: $HOME; a  b *"
    assert str(run(shell("echo why >&2; exit 3"))[0]) == "exit status 3: why"
    assert str(run(shell("kill -KILL $$"))[0]) == "killed by SIGKILL"
    assert str(run(shell("kill -35 $$"))[0]) == "killed by signal 35", "it has no name"


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        ("nobody-has-this", "start: nobody-has-this: not found in /usr"),
        ("/nobody/has/this", "start: /nobody/has/this: No such file or directory"),
        ("/etc/passwd", "start: /etc/passwd: Permission denied"),
        ("zero\0byte", "start: .*: not found|start: .*: a zero byte"),
    ],
)
def test_what_cannot_be_started_is_said(argv: str, reason: str) -> None:
    """The error names the program and the reason, and the next one can be run."""

    async def main() -> None:
        programs = Programs("db")
        with pytest.raises(ProgramError, match=reason):
            await programs.run(Program((argv,), "start"), LIMIT_S)
        assert (await programs.run(shell("exit 0"), LIMIT_S)).status == 0

    asyncio.run(main())


def test_a_machine_without_threads_runs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread can be started: that is an error of the program, and leaves no descriptor open."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        programs = Programs("db")
        before = descriptors()
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(ProgramError, match="start: can't start new thread"):
                await programs.run(shell("exit 0"), LIMIT_S)
        assert descriptors() == before
        assert (await programs.run(shell("exit 0"), LIMIT_S)).status == 0

    asyncio.run(main())


def test_a_program_that_nobody_can_watch_does_not_run_on() -> None:
    """Without a descriptor for its end it is killed and waited for, and its start has failed."""

    async def main() -> None:
        programs = Programs("db")
        # The two pipes and nothing else.
        pipes = [os.dup(0) for _ in range(4)]
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(pipes) + 1, limit[1]))
        for descriptor in pipes:
            os.close(descriptor)
        try:
            with pytest.raises(ProgramError, match="start: sh: Too many open files"):
                await programs.run(shell("sleep 1000"), LIMIT_S)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)
        assert (await programs.run(shell("exit 0"), LIMIT_S)).status == 0

    before = children()
    asyncio.run(main())
    assert children() <= before


def test_the_search_for_a_program_may_fail() -> None:
    """What it raises is told: an error of the disk as one of the program, a refusal as it is."""

    async def main(error: Exception) -> None:
        def find() -> str:
            raise error

        await Programs("db").run(Program(("x",), "start", find=find), LIMIT_S)

    with pytest.raises(ProgramError, match="start: x: Input/output error"):
        asyncio.run(main(OSError(errno.EIO, "Input/output error")))
    with pytest.raises(ResourceError, match="not here"):
        asyncio.run(main(ResourceError("not here")))


def test_lines_are_logged_while_it_runs(tmp_path: Path) -> None:
    """Each line arrives, with the resource's name, before the program has ended; none is lost."""
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    script = f"echo one; echo two >&2; read word <{fifo}; echo $word; printf half"

    async def main(logs: Logs) -> Finished:
        task = asyncio.create_task(Programs("db").run(shell(script), LIMIT_S))
        await until(lambda: set(said(logs)) == {"one", "two"})
        assert not task.done()
        assert {(entry["of"], entry["action"]) for entry in logs} == {("db", "start")}
        with fifo.open("w") as file:
            file.write("three\n")
        return await task

    with structlog.testing.capture_logs() as logs:
        finished = asyncio.run(main(logs))
    assert said(logs)[2:] == ["three", "half"]
    assert finished.tail[2:] == ("three", "half")


def test_an_answer_is_not_logged() -> None:
    """An answer on stdout is read whole and not logged; a quiet program logs as debug."""
    finished, lines = run(shell("seq 20000; echo error >&2", answers=True))
    assert finished.answer.split() == [str(number) for number in range(1, 20001)]
    assert lines == ["error"]
    with structlog.testing.capture_logs() as logs:
        asyncio.run(Programs("db").run(shell("echo fine", quiet=True), LIMIT_S))
    assert [entry["log_level"] for entry in logs] == ["debug"]


def test_a_terminal_is_not_obeyed_and_long_lines_are_cut() -> None:
    """Control characters are shown, not sent; a line without end is one short line."""
    _, lines = run(
        shell(r"printf '\033[2Jx\r\n'; head -c 300000 /dev/zero | tr '\0' a; echo; echo z")
    )
    assert lines[0] == "\\x1b[2Jx"
    assert lines[1] == "a" * output.LINE_BYTES_MAX + " ...(cut)"
    assert lines[2:] == ["z"]


def test_a_flood_is_bounded() -> None:
    """A program that prints without end leaves the loop its time, and a bounded number of lines."""
    ticks = 0

    async def main() -> None:
        nonlocal ticks

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticking = asyncio.create_task(tick())
        with pytest.raises(TimedOutError, match="last line: y"):
            await Programs("db").run(Program(("yes",), "start"), 1.0)
        ticking.cancel()

    begun_s = time.monotonic()
    with structlog.testing.capture_logs() as logs:
        asyncio.run(main())
    took_s = time.monotonic() - begun_s
    lines = said(logs)
    assert len([line for line in lines if line == "y"]) <= (
        output.BURST_LINES + took_s * output.LINES_PER_S
    )
    losses = [line for line in lines if "lines more than may be logged" in line]
    assert losses[-1] == lines[-1]
    assert len(losses) <= took_s + 2
    lost = sum(int(line.strip("(").split()[0]) for line in losses)
    reads = took_s / output.READ_PAUSE_S + output.DRAIN_READS + 2
    assert 0 < lost <= reads * output.READ_BYTES / len("y\n")
    assert ticks > 20, "of about 100"


@pytest.mark.parametrize("own_end", [True, False], ids=["leader dies", "leader stays"])
def test_a_limit_ends_the_whole_group(tmp_path: Path, own_end: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """TERM first, then KILL for all that ignore it, whether or not the leader obeyed."""
    pids = written_pids(tmp_path / "pids", 2)
    leader = "trap 'echo asked; exit' TERM" if own_end else "trap 'echo asked' TERM"
    script = f"""
        sh -c 'trap "" TERM; echo $$ >>{tmp_path}/pids; while :; do sleep 0.1; done' &
        {leader}; echo $$ >>{tmp_path}/pids; while :; do sleep 0.1; done"""
    with (
        structlog.testing.capture_logs() as logs,
        pytest.raises(TimedOutError, match=r"start: no end after 0\.5 s"),
    ):
        asyncio.run(Programs("db").run(shell(script), SHORT_S))
    assert "asked" in said(logs)
    assert len(pids()) == 2
    assert not any(runs(pid) for pid in pids())


def test_one_that_obeys_is_not_killed(tmp_path: Path) -> None:
    """Between TERM and KILL there is time to tidy up."""
    done = tmp_path / "done"
    script = f"trap 'sleep 0.3; echo tidy >{done}; exit' TERM; while :; do sleep 0.05; done"
    with pytest.raises(TimedOutError):
        asyncio.run(Programs("db").run(shell(script), SHORT_S))
    assert done.read_text() == "tidy\n"


@pytest.mark.parametrize("patience_s", [0.0, 0.3], ids=["at once", "later"])
def test_cancellation_ends_it_too(tmp_path: Path, patience_s: float) -> None:
    """Cancelled, even twice, run() returns only when nothing of the group is left."""
    program = shell("trap '' TERM; sleep 1000", environment={"HAAGENT_TEST": str(tmp_path)})

    async def main() -> None:
        task = asyncio.create_task(Programs("db").run(program, LIMIT_S))
        await asyncio.sleep(patience_s)
        if patience_s:
            await until(lambda: marked(tmp_path))
        task.cancel()
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert not marked(tmp_path)


def test_a_cancellation_beside_the_limit_is_not_lost(tmp_path: Path) -> None:
    """Cancelled while a program that overran its limit is ended, run() says so, not "timed out"."""
    ended = tmp_path / "ended"
    program = shell(f"trap 'echo >{ended}' TERM; while :; do sleep 0.05; done")

    async def main() -> None:
        task = asyncio.create_task(Programs("db").run(program, SHORT_S))
        await until(ended.exists)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def children() -> set[str]:
    """All processes of ours, zombies included."""
    return {
        pid
        for path in Path("/proc/self/task").glob("*/children")
        for pid in path.read_text().split()
    }


def descriptors() -> int:
    """How many are open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def test_no_zombie_is_left() -> None:
    """Whatever way a program ended, it was waited for."""

    async def main() -> None:
        programs = Programs("db")
        await programs.run(shell("exit 1"), LIMIT_S)
        with suppress(TimedOutError):
            await programs.run(shell("sleep 100"), SHORT_S)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SHORT_S):
                await programs.run(shell("sleep 100"), LIMIT_S)

    before = children()
    opened = descriptors()
    asyncio.run(main())
    assert children() <= before
    assert descriptors() <= opened


@pytest.mark.parametrize("away", ["setsid", ""], ids=["own session", "same group"])
def test_a_started_service_lives_on(tmp_path: Path, away: str) -> None:
    """What start leaves behind runs on, its output is logged, and holding the pipe hangs nobody."""
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    service = f"{away} sh -c 'echo $$; read word <{fifo}; echo serving $word; sleep {FOREVER}' &"

    async def main(logs: Logs) -> None:
        programs = Programs("db")
        assert (await programs.run(shell(service, lives_on=True), LIMIT_S)).status == 0
        await until(lambda: said(logs))
        pid = int(said(logs)[0])
        try:
            # What else is run, and ended, for the resource does not touch it.
            with pytest.raises(TimedOutError):
                await programs.run(shell("sleep 100"), SHORT_S)
            assert runs(pid)
            with fifo.open("w") as file:
                file.write("clients\n")
            await until(lambda: "serving clients" in said(logs))
            await until(lambda: any(entry["event"] == "program.output_held" for entry in logs))
        finally:
            os.killpg(os.getpgid(pid), signal.SIGKILL)
        programs.close()

    with structlog.testing.capture_logs() as logs:
        asyncio.run(main(logs))


def test_a_daemon_that_lets_go_of_its_output_is_no_news(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most close it a moment after the program that started them has ended."""
    monkeypatch.setattr(process, "HELD_S", 0.3)
    service = "sh -c 'echo $$; sleep 0.1; exec >/dev/null 2>&1; sleep 1' &"

    async def main() -> None:
        programs = Programs("db")
        assert (await programs.run(shell(service, lives_on=True), LIMIT_S)).status == 0
        assert programs._kept
        await until(lambda: all(reader.closed for reader in programs._kept))
        await asyncio.sleep(0.4)
        programs.close()

    with structlog.testing.capture_logs() as logs:
        asyncio.run(main())
    assert not [entry for entry in logs if entry["event"] == "program.output_held"]


def test_a_held_pipe_hangs_nobody(tmp_path: Path) -> None:
    """A monitor that leaves a child behind has ended when it has ended, and its lines are there."""
    finished, lines = run(shell(f"sleep 30 & echo $! >{tmp_path}/pid; echo fine"))
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert lines == ["fine"]
    assert finished.status == 0


def test_a_survivor_of_kill_is_not_forgotten(tmp_path: Path) -> None:
    """S7: while a killed program can still do its work, nothing else is run for the resource."""
    with dead_disk(tmp_path) as disk:

        async def main(logs: Logs) -> None:
            programs = Programs("db")
            with pytest.raises(StuckError, match="SIGKILL does not end it"):
                await programs.run(Program(("cat", f"{tmp_path}/file"), "start"), SHORT_S)
            (stuck,) = [entry for entry in logs if entry["event"] == "program.stuck"]
            assert "(cat, state D)" in stuck["left"]
            with pytest.raises(StuckError, match=r"an earlier program cannot be ended: .*cat"):
                await programs.run(shell("exit 0"), LIMIT_S)
            assert (await Programs("other").run(shell("exit 0"), LIMIT_S)).status == 0
            await asyncio.to_thread(disk.revive)
            await until(lambda: not runs(int(stuck["left"].split()[0])))
            assert (await programs.run(shell("exit 0"), LIMIT_S)).status == 0

        with structlog.testing.capture_logs() as logs:
            asyncio.run(main(logs))


def test_a_program_on_a_dead_disk_holds_up_nobody(tmp_path: Path) -> None:
    """The loop goes on while a program hangs in being loaded, which is waited for and told."""
    with dead_disk(tmp_path) as disk:

        async def main() -> None:
            programs = Programs("db")
            task = asyncio.create_task(
                programs.run(Program((f"{tmp_path}/monitor",), "monitor"), SHORT_S)
            )
            await until(disk.touched.is_set)
            assert not task.done()
            with pytest.raises(StuckError):
                await task
            with pytest.raises(StuckError, match="monitor \\(being loaded\\)"):
                await programs.run(shell("exit 0"), LIMIT_S)
            await asyncio.to_thread(disk.revive)
            async with asyncio.timeout(LIMIT_S):
                while True:
                    with suppress(StuckError):
                        await programs.run(shell("exit 0"), LIMIT_S)
                        return
                    await asyncio.sleep(0.01)

        asyncio.run(main())


def test_one_that_is_loaded_too_late_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that comes to life after its limit does nothing any more."""
    slow_start = process._start

    def late(program: Program, stdout: int, stderr: int) -> Any:
        if program.action == "late":
            time.sleep(SHORT_S + process.GRACE_S + process.KILLED_S + 0.5)
        return slow_start(program, stdout, stderr)

    monkeypatch.setattr(process, "_start", late)
    mark = tmp_path / "mark"

    async def main() -> None:
        programs = Programs("db")
        with pytest.raises(StuckError):
            await programs.run(Program(("sh", "-c", f"sleep 0.5; echo >{mark}"), "late"), SHORT_S)
        async with asyncio.timeout(LIMIT_S):
            while True:
                with suppress(StuckError):
                    await programs.run(shell("sleep 1"), LIMIT_S)
                    return
                await asyncio.sleep(0.01)

    asyncio.run(main())
    assert not mark.exists()
