# SPDX-License-Identifier: GPL-2.0-or-later
"""A ready pair of virtual servers for each scenario, and what it left to be read."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from hil.processes import ROOT
from hil.qemu.guest import Guest
from hil.qemu.image import Image, image
from hil.qemu.lab import VirtualLab
from hil.qemu.proof import ready
from hil.qemu.report import write
from hil.qemu.saved import booted, resumed
from hil.qemu.story import Story
from hil.qemu.story import tell as story_of

HERE = Path(__file__).parent
TEST_LIMIT_S = 900
"""A server that is fenced boots again: a minute or two on a busy machine. The first test builds."""
REPORT = ROOT / "build" / "hil"
CONSOLE_SHOWN = 6000
ENTRIES_SHOWN = 60

Roles = tuple[Guest, Guest]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here is a scenario with whole servers."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.hil)
            item.add_marker(pytest.mark.timeout(TEST_LIMIT_S))


FAILURE = pytest.StashKey[str]()
"""Why a test failed, once it has."""
STORIES: list[Story] = []
"""What this run has to tell."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let the fixtures know whether the test failed, and why."""
    report = yield
    if report.failed:
        item.stash[FAILURE] = report.longreprtext
    return report


def pytest_sessionfinish() -> None:
    """Write what there is to tell, also of a run that was interrupted."""
    if STORIES:
        write(STORIES, REPORT)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say where it is."""
    if STORIES:
        terminalreporter.write_line(f"report: {REPORT / 'index.html'}")


@pytest.fixture(scope="session")
def servers() -> Iterator[Image]:
    """What the servers boot from, built and once booted."""
    if os.geteuid() != 0:
        pytest.fail("virtual servers need root, for their networks")
    # Ended by a signal, the bench goes the ordinary way out, which cleans up.
    before = {n: signal.signal(n, signal.default_int_handler) for n in _ENDING}
    built = image()
    booted(built)
    yield built
    for number, handler in before.items():
        signal.signal(number, handler)


_ENDING = (signal.SIGTERM, signal.SIGHUP)


@pytest.fixture
def build(servers: Image, request: pytest.FixtureRequest) -> Iterator[Callable[..., VirtualLab]]:
    """Makes pairs with all power off, for one test."""
    labs: list[VirtualLab] = []
    with ExitStack() as stack:

        def build_lab(*, cold: bool = False) -> VirtualLab:
            lab = stack.enter_context(resumed(servers))
            if cold:
                for guest in lab.machines.values():
                    guest.resume = None
            labs.append(lab)
            return lab

        began_s = time.monotonic()
        yield build_lab
        failure = request.node.stash.get(FAILURE, "")
        story = Story(
            name=request.node.name,
            claim=(request.function.__doc__ or "").strip(),
            passed=not failure,
            seconds=round(time.monotonic() - began_s, 1),
            failure=failure,
        )
        STORIES.append(story)
        for lab in labs:
            story_of(story, lab)
            if failure:
                tell(lab)


@pytest.fixture
def lab(build: Callable[..., VirtualLab]) -> VirtualLab:
    """A pair that was ready a moment ago, as its own clocks have it."""
    pair = build()
    pair.power_on()
    return pair


@pytest.fixture
def roles(lab: VirtualLab) -> Roles:
    """The active and the standby of that pair, ready."""
    return ready(lab)


def tell(lab: VirtualLab) -> None:
    """Print what there is to know about a pair in which a test failed."""
    shown = [e for e in lab.power.since() if e["what"] != "read"][-ENTRIES_SHOWN:]
    print("power:", *shown, sep="\n  ")  # noqa: T201  # for pytest
    print("holders:", lab.observer.holders())  # noqa: T201  # for pytest
    for guest in lab.machines.values():
        end = guest.console()[-CONSOLE_SHOWN:]
        print(f"{guest.name}'s console:", end, sep="\n")  # noqa: T201  # for pytest
