# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole pairs for the tests: one healthy pair is used again and again, as long as it stays so."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from hil.database import Writer, in_sync, writing
from hil.drills import fit
from hil.lab import Lab
from hil.machine import Machine
from hil.pair import Options
from hil.power import Behaviour
from hil.record import NotSeenError
from hil.watch import forget_failures, ready

HERE = Path(__file__).parent
EVENTS_SHOWN = 60
SHARED = Options(
    # As many failovers as there are tests; the bound (S10) has its own test.
    timing={"max_fences": 100, "fence_retry": "1s"},
    check_every="1s",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here is a test of whole agents in namespaces."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.net)


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let the fixtures know whether the test failed."""
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed  # a default
    return report


def tell(lab: Lab) -> None:
    """Print what there is to know about a pair in which a test failed."""
    print("power:", *lab.power.since()[-EVENTS_SHOWN:], sep="\n  ")  # noqa: T201  # for pytest
    for machine in lab.machines.values():
        events = [
            {key: value for key, value in event.items() if key not in {"level", "time"}}
            for event in machine.agent_events()[-EVENTS_SHOWN:]
        ]
        print(f"{machine.name}'s agent:", *events, sep="\n  ")  # noqa: T201  # for pytest


class Bench:
    """Keeps one pair for many tests and replaces it when it is not healthy any more."""

    def __init__(self) -> None:
        self._lab: Lab | None = None

    def healthy(self, options: Options) -> Lab:
        """A pair of these options with one active and one standby that could take over."""
        if self._lab is not None and self._lab.options is not options:
            self.discard()
        if self._lab is not None:
            self._lab.network.heal()
            self._lab.services.mend(*self._lab.machines.values())
            for switch in self._lab.switches.values():
                switch.behaviour = Behaviour()
            try:
                for machine in self._lab.machines.values():
                    forget_failures(machine)
                ready(self._lab)
            except NotSeenError as error:
                print(f"not healthy any more, replaced: {error}")  # noqa: T201  # for pytest
                tell(self._lab)
                self.discard()
        if self._lab is None:
            self._lab = Lab(options).__enter__()
            try:
                self._lab.power_on()
                ready(self._lab)
            except NotSeenError:
                tell(self._lab)
                self.discard()
                raise
        return self._lab

    def discard(self) -> None:
        """Throw the pair away."""
        if self._lab is not None:
            self._lab.__exit__(None, None, None)
            self._lab = None


@pytest.fixture(scope="package")
def bench() -> Iterator[Bench]:
    """The keeper of the shared pair."""
    if os.geteuid() != 0:
        pytest.fail("whole agents in network namespaces need root; leave them out: -m 'not net'")
    keeper = Bench()
    try:
        yield keeper
    finally:
        keeper.discard()


@pytest.fixture
def lab(bench: Bench, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The shared pair, healthy; thrown away after a test that failed with it.

    It is of the options that the test's module calls OPTIONS.
    """
    pair = bench.healthy(getattr(request.module, "OPTIONS", SHARED))
    yield pair
    if request.node.stash.get(FAILED, False):  # a default
        tell(pair)
        bench.discard()


@pytest.fixture
def roles(lab: Lab) -> tuple[Machine, Machine]:
    """The active and the standby of the shared pair."""
    return ready(lab)


@pytest.fixture
def writer(lab: Lab, roles: tuple[Machine, Machine]) -> Iterator[Writer]:
    """Somebody who writes all the time, to a pair of databases that is in sync."""
    in_sync(lab, roles[0])
    with writing(lab) as somebody:
        yield somebody


@pytest.fixture
def fit_pair(lab: Lab, roles: tuple[Machine, Machine]) -> None:
    """The shared pair, with nothing left that a drill would refuse to begin for."""
    assert roles
    fit(lab)


@pytest.fixture
def build(bench: Bench, request: pytest.FixtureRequest) -> Iterator[Callable[[Options], Lab]]:
    """Builds pairs with other options, all power off, for one test each."""
    assert bench  # it checks for root
    labs: list[Lab] = []
    with ExitStack() as stack:

        def build_lab(options: Options) -> Lab:
            labs.append(stack.enter_context(Lab(options)))
            return labs[-1]

        yield build_lab
        if request.node.stash.get(FAILED, False):  # a default
            for pair in labs:
                tell(pair)
