# SPDX-License-Identifier: GPL-2.0-or-later
"""Log lines are written by a thread, completely, and never hold anybody up."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import structlog

from fencing import Secret
from haagent import log
from haagent.config.settings import LogSettings

LIMIT_S = 20.0


class Pipe:
    """A pipe in stderr's place."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()

    def lines(self) -> list[str]:
        """Everything written so far; ends the writing side."""
        os.close(self.write_end)
        with os.fdopen(self.read_end, encoding="utf-8") as file:
            return file.read().splitlines()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """A pipe, and structlog and logging as they were afterwards."""
    handlers = logging.getLogger().handlers[:]
    yield Pipe()
    logging.getLogger("pyghmi").setLevel(logging.NOTSET)
    logging.getLogger().handlers[:] = handlers
    structlog.reset_defaults()


def test_listeners_hear_all_from_info_up(pipe: Pipe) -> None:
    """Whoever listens hears what is not written as well, until he ends it; no debugging."""
    writer = log.setup(LogSettings("json", "error"), pipe.write_end)
    heard: list[str] = []
    end = log.listen(lambda event: heard.append(f"{event['level']} {event['event']}"))
    logger = structlog.get_logger()
    logger.debug("fence.detail")
    logger.info("fence.ordered")
    logger.error("fence.failed")
    end()
    logger.error("fence.failed_again")
    writer.close()
    assert heard == ["info fence.ordered", "error fence.failed"]
    assert [json.loads(line)["event"] for line in pipe.lines()] == [
        "fence.failed",
        "fence.failed_again",
    ]


def test_json_lines_with_time_level_and_values(pipe: Pipe) -> None:
    """Every event is one JSON object; nothing below the level; no secret is shown."""
    writer = log.setup(LogSettings("json", "info"), pipe.write_end)
    logger = structlog.get_logger()
    logger.debug("fence.detail")
    logger.info("fence.ordered", attempt=3, password=Secret(b"sesame"))
    writer.close()
    (line,) = pipe.lines()
    event = json.loads(line)
    assert event.pop("time").endswith("Z")
    assert event == {
        "event": "fence.ordered",
        "level": "info",
        "attempt": 3,
        "password": "Secret(***)",
    }


def test_console_lines(pipe: Pipe) -> None:
    """The console's form is for people, without colours when nobody watches."""
    writer = log.setup(LogSettings("console", "debug"), pipe.write_end)
    structlog.get_logger().debug("link.lost", link="lan")
    writer.close()
    (line,) = pipe.lines()
    assert "link.lost" in line
    assert "link=lan" in line
    assert "\x1b" not in line


@pytest.mark.parametrize("form", ["json", "console"])
def test_tracebacks_come_without_local_variables(pipe: Pipe, form: str) -> None:
    """An exception is shown with its place, never with the values around it."""
    writer = log.setup(LogSettings(form, "info"), pipe.write_end)  # type: ignore[arg-type]
    password = "ses" + "ame"
    try:
        int(f"x{len(password)}")
    except ValueError:
        structlog.get_logger().exception("agent.failed")
    writer.close()
    text = "\n".join(pipe.lines())
    assert "Traceback" in text
    assert "'x6'" in text
    assert "sesame" not in text


def test_libraries_use_the_same_queue_from_warning_on(pipe: Pipe) -> None:
    """What libraries log arrives as library.logged; their debug lines, which tell secrets, not."""
    writer = log.setup(LogSettings("json", "debug"), pipe.write_end)
    logging.getLogger("pyghmi").setLevel(logging.DEBUG)
    logging.getLogger("pyghmi").debug("password %s", "sesame")
    logging.getLogger("pyghmi").warning("session %s", "lost")
    logging.getLogger("pyghmi").warning("broken %d", "format")
    writer.close()
    first, second = (json.loads(line) for line in pipe.lines())
    assert (first["event"], first["logger"], first["message"]) == (
        "library.logged",
        "pyghmi",
        "session lost",
    )
    assert second["message"] == "broken %d"


def test_what_cannot_be_rendered_does_not_end_the_log(pipe: Pipe) -> None:
    """A value that is no JSON costs its own line only."""
    writer = log.setup(LogSettings("json", "info"), pipe.write_end)
    structlog.get_logger().info("a.broken", value={(1, 2): 3})
    structlog.get_logger().info("a.whole")
    writer.close()
    first, second = (json.loads(line)["event"] for line in pipe.lines())
    assert (first, second) == ("log.unrenderable", "a.whole")


def test_a_blocked_stderr_costs_lines_and_never_time(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nobody reading, events are dropped and counted; once read, the loss is reported."""
    monkeypatch.setattr(log, "QUEUE_LINES_MAX", 50)
    writer = log.setup(LogSettings("json", "info"), pipe.write_end)
    logger = structlog.get_logger()
    for number in range(3000):  # a pipe takes 64 KiB, some 500 of these lines
        logger.info("a.filler", number=number, text="x" * 80)
    assert writer.dropped > 1000
    received = b""
    while b"log.dropped" not in received:
        received += os.read(pipe.read_end, 65536)
    writer.close()
    received += "\n".join(pipe.lines()).encode()
    lines = [json.loads(line) for line in received.splitlines() if line.startswith(b"{")]
    lost = sum(line["lost"] for line in lines if line["event"] == "log.dropped")
    written = sum(line["event"] == "a.filler" for line in lines)
    assert lost == writer.dropped
    assert lost + written == 3000


def test_what_was_lost_while_nobody_took_it_is_said_afterwards(pipe: Pipe) -> None:
    """A stderr that is gone takes no report of a loss either: all is told once it is back."""
    writer = log.setup(LogSettings("json", "info"), pipe.write_end)
    deaf_read_end, deaf_write_end = os.pipe()
    os.close(deaf_read_end)
    kept = os.dup(pipe.write_end)
    os.dup2(deaf_write_end, pipe.write_end)
    logger = structlog.get_logger()
    for number in range(7):
        logger.info("a.lost", number=number)
    end_s = time.monotonic() + LIMIT_S
    while writer.dropped < 7:
        assert time.monotonic() < end_s, writer.dropped
        time.sleep(0.01)
    os.dup2(kept, pipe.write_end)
    os.close(kept)
    os.close(deaf_write_end)
    logger.info("a.taken")
    writer.close()
    told = [json.loads(line) for line in pipe.lines()]
    assert [line["event"] for line in told] == ["a.taken", "log.dropped"]
    assert told[1]["lost"] == writer.dropped == 7


def test_everything_is_written_before_the_process_ends() -> None:
    """Lines logged just before the end, even of a failing process, are not lost."""
    code = (
        "import structlog; from haagent import log;"
        "from haagent.config.settings import LogSettings;"
        "log.setup(LogSettings()); logger = structlog.get_logger();"
        "[logger.info('a.line', number=n) for n in range(500)]; raise SystemExit(7)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert ended.returncode == 7
    assert len(ended.stderr.splitlines()) == 500


def test_a_blocked_stderr_does_not_hold_up_the_end() -> None:
    """With a full pipe that nobody reads, the process still ends within the flush's budget."""
    code = (
        "import structlog; from haagent import log;"
        "from haagent.config.settings import LogSettings;"
        "log.FLUSH_BUDGET_S = 0.1; log.setup(LogSettings()); logger = structlog.get_logger();"
        "[logger.info('a.line', text='x' * 500) for n in range(2000)]; raise SystemExit(7)"
    )
    read_end, write_end = os.pipe()
    process = subprocess.Popen([sys.executable, "-c", code], stderr=write_end)
    assert process.wait(timeout=20) == 7
    os.close(read_end)
    os.close(write_end)


def test_another_level_from_now_on(pipe: Pipe) -> None:
    """Also what a logger was made for before is logged by the new level; libraries stay quiet."""
    writer = log.setup(LogSettings(), pipe.write_end)
    logger = structlog.get_logger(of="x")
    logger.debug("a.hidden")
    log.set_level("debug")
    logger.debug("a.shown")
    logging.getLogger("library").info("what it sends")
    log.set_level("error")
    logger.warning("a.hidden")
    logging.getLogger("library").warning("hidden too")
    writer.close()
    assert [json.loads(line)["event"] for line in pipe.lines()] == ["a.shown"]
