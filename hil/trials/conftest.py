# SPDX-License-Identifier: GPL-2.0-or-later
"""A ready pair of virtual servers for each scenario, and what it left to be read."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from hil.conftest import INVENTORY
from hil.labs import Lab, LabLacksError, Machine
from hil.metal.lab import MetalLab, NotThisLabError
from hil.processes import ROOT
from hil.qemu.guest import Guest
from hil.qemu.image import Image, image
from hil.qemu.lab import VirtualLab
from hil.qemu.proof import ready
from hil.qemu.report import write
from hil.qemu.saved import booted, going_on, lenient
from hil.qemu.story import Story
from hil.qemu.story import tell as story_of

HERE = Path(__file__).parent
TEST_LIMIT_S = 900
"""A server that is fenced boots again: a minute or two on a busy machine. The first test builds."""
REPORT = ROOT / "build" / "hil"
CONSOLE_SHOWN = 6000
ENTRIES_SHOWN = 60

BOOTS_MAX = 4
"""Of a lab's server, one after another, with what is mended before a scenario."""

Roles = tuple[Machine, Machine]
"""The active and the standby of any lab."""
VirtualRoles = tuple[Guest, Guest]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Everything here is a scenario with whole servers; not all of it can be had in every lab."""
    inventory = config.stash.get(INVENTORY, None)
    limit_s = TEST_LIMIT_S
    if inventory is not None:
        limit_s += BOOTS_MAX * round(inventory.boot_limit_s)
    for item in items:
        if not item.path.is_relative_to(HERE):
            continue
        item.add_marker(pytest.mark.hil)
        item.add_marker(pytest.mark.timeout(limit_s))
        if inventory is None:
            continue
        assert isinstance(item, pytest.Function)
        virtual = item.get_closest_marker("virtual")
        wants = item.function.__annotations__.values()
        if virtual is not None:
            item.add_marker(pytest.mark.skip(f"the lab lacks {virtual.args[0]}"))
        elif any("Virtual" in str(kind) for kind in wants):
            item.add_marker(pytest.mark.skip("the lab lacks what only virtual servers have"))


REAL = pytest.StashKey[MetalLab]()
"""The real pair that a scenario has, once it has it."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Skip, with its reason, what this very lab cannot do; fail what nobody watched."""
    try:
        yield
    except LabLacksError as lack:
        pytest.skip(f"the lab lacks {lack}")
    if REAL in item.stash:
        item.stash[REAL].check_observers()


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
def orderly() -> Iterator[None]:
    """Ended by a signal, the bench goes the ordinary way out, which cleans up."""
    before = {n: signal.signal(n, signal.default_int_handler) for n in _ENDING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


_ENDING = (signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(scope="session")
def servers(orderly: None) -> Image:
    """What the virtual servers boot from, built and once booted."""
    del orderly
    if os.geteuid() != 0:
        pytest.fail("virtual servers need root, for their networks")
    built = image()
    booted(built)
    return built


@pytest.fixture(scope="session")
def rack(pytestconfig: pytest.Config, orderly: None) -> Iterator[MetalLab]:
    """The real pair, found to be what its inventory says; left as it was found."""
    del orderly
    with ExitStack() as stack:
        try:
            lab = stack.enter_context(MetalLab(pytestconfig.stash[INVENTORY]))
        except NotThisLabError as error:
            pytest.exit(f"nothing was changed: {error}", pytest.ExitCode.USAGE_ERROR)
        lab.furnish()
        yield lab
        lab.settle()


@pytest.fixture
def build(request: pytest.FixtureRequest) -> Iterator[Callable[..., Lab]]:
    """Makes pairs with all power off, for one test; a real one is ready before it is put out."""
    labs: list[Lab] = []
    with ExitStack() as stack:

        def usual() -> VirtualLab:
            servers: Image = request.getfixturevalue("servers")
            state = lenient if request.node.get_closest_marker("lenient") else booted
            return going_on(servers, state(servers))

        def build_virtual(pair: VirtualLab | None = None, *, cold: bool = False) -> VirtualLab:
            lab = stack.enter_context(pair or usual())
            if cold:
                for guest in lab.machines.values():
                    guest.resume = None
            labs.append(lab)
            return lab

        def build_real(*, cold: bool = False) -> MetalLab:
            lab: MetalLab = request.getfixturevalue("rack")
            lab.settle()
            labs.append(lab)
            request.node.stash[REAL] = lab
            for name in lab.machines if cold else ():
                lab.power_off(name)
            return lab

        began_s = time.monotonic()
        yield build_real if INVENTORY in request.config.stash else build_virtual
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
def lab(build: Callable[..., Lab]) -> Lab:
    """A pair that was ready a moment ago; a virtual one, as its own clocks have it."""
    pair = build()
    if isinstance(pair, VirtualLab):
        pair.power_on()
    return pair


@pytest.fixture
def roles(lab: Lab) -> Roles:
    """The active and the standby of that pair, ready."""
    return ready(lab)


def without_a_next_agent(machine: Machine) -> None:
    """Have systemd start no other agent in this boot: on metal it would be back in time."""
    drop_in = "/run/systemd/system/haagent.service.d/alone.conf"
    machine.ssh.write(drop_in, "[Service]\nRestart=no\n")
    machine.run("systemctl", "daemon-reload")


def tell(lab: Lab) -> None:
    """Print what there is to know about a pair in which a test failed."""
    told = lab.power.since(lab.began_ns)
    shown = [e for e in told if e["what"] != "read"][-ENTRIES_SHOWN:]
    print("power:", *shown, sep="\n  ")  # noqa: T201  # for pytest
    print("holders:", lab.observer.holders(lab.began_ns))  # noqa: T201  # for pytest
    for machine in lab.machines.values():
        with suppress(LabLacksError):
            end = machine.console()[-CONSOLE_SHOWN:]
            print(f"{machine.name}'s console:", end, sep="\n")  # noqa: T201  # for pytest
