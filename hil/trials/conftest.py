# SPDX-License-Identifier: GPL-2.0-or-later
"""A ready pair of virtual servers for each scenario, and what it left to be read."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from hil.conftest import INVENTORY
from hil.labs import Lab, LabLacksError, Machine
from hil.metal.lab import MetalLab, NotThisLabError
from hil.namespaces import inside
from hil.pair import BMC_USER, PASSWORD, bmc_address
from hil.processes import run
from hil.qemu.guest import Guest
from hil.qemu.image import Image, image
from hil.qemu.lab import VirtualLab
from hil.qemu.proof import never_both, ready
from hil.qemu.report import REPORT, write
from hil.qemu.saved import booted, going_on, lenient
from hil.qemu.story import Story, Verdict
from hil.qemu.story import tell as tell_all

HERE = Path(__file__).parent
TEST_LIMIT_S = 900
"""A server that is fenced boots again: a minute or two on a busy machine. The first test builds."""
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


LABS = pytest.StashKey[list[Lab]]()
"""The pairs that a scenario has, once it has them."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Skip, with its reason, what this very lab cannot do; fail what nobody watched, and S1."""
    try:
        yield
    except LabLacksError as lack:
        pytest.skip(f"the lab lacks {lack}")
    for lab in item.stash.get(LABS, ()):
        if isinstance(lab, MetalLab):
            lab.check_observers()
        elif item.get_closest_marker("sabotage") is None:
            never_both(lab)


STORIES: dict[str, Story] = {}
"""What this run has to tell, by the tests' names."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep how every part of a test ended."""
    report = yield
    story = story_of(item)
    story.seconds = round(story.seconds + report.duration, 1)
    if report.failed:
        story.verdict, story.reason = Verdict.FAILED, report.longreprtext
    elif report.skipped:
        story.verdict, story.reason = Verdict.SKIPPED, why_skipped(report)
    return report


def story_of(item: pytest.Item) -> Story:
    """What there is to tell of a test so far."""
    assert isinstance(item, pytest.Function)
    claim = (item.function.__doc__ or "").strip()
    return STORIES.setdefault(item.nodeid, Story(item.name, claim))


def why_skipped(report: pytest.TestReport) -> str:
    """Why it was skipped."""
    assert isinstance(report.longrepr, tuple)
    return str(report.longrepr[2]).removeprefix("Skipped: ")


def pytest_sessionfinish() -> None:
    """Write what there is to tell, also of a run that was interrupted."""
    if STORIES:
        write(list(STORIES.values()))


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
    request.node.stash[LABS] = labs
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
            for name in lab.machines if cold else ():
                lab.power_off(name)
            return lab

        yield build_real if INVENTORY in request.config.stash else build_virtual
        story = story_of(request.node)
        for lab in labs:
            tell_all(story, lab)
            if story.verdict is Verdict.FAILED:
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


def ipmitool(lab: VirtualLab, name: str, *words: str) -> str:
    """Ask a server's BMC over the management network, with a client that is not ours."""
    bmc = ["-H", bmc_address(name), "-U", BMC_USER, "-P", PASSWORD, "-L", "OPERATOR"]
    command = [*inside(lab.operator_pid), "ipmitool", "-I", "lanplus", "-C", "3", *bmc]
    return run([*command, "chassis", "power", *words]).stdout.strip()


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
