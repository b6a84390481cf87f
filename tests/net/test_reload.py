# SPDX-License-Identifier: GPL-2.0-or-later
"""Another configuration taken in by running agents: whole or not at all, and nothing moves for it.

Both nodes of this bench read the same file, each when it is told to.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hil.agent import Agent, alarms, blocked, role
from hil.lab import Lab
from hil.machine import Machine
from hil.proof import taken_over, undisturbed
from hil.watch import READY_LIMIT_S, TAKEOVER_LIMIT_S, orders, ready, wait_powered

Roles = tuple[Machine, Machine]
GAP_MS_MAX = 500
"""A loaded machine may hold up the client's questions so long; an address that goes is longer."""


@pytest.fixture
def edited(lab: Lab) -> Iterator[Callable[..., None]]:
    """Edits the pair's file; at the end both nodes go by the first one again."""
    original = lab.configuration.read_text()

    def edit(*changes: tuple[str, str]) -> None:
        text = lab.configuration.read_text()
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        lab.configuration.write_text(text)

    yield edit
    lab.configuration.write_text(original)
    for machine in lab.machines.values():
        Agent(machine).wait(lambda _: True, READY_LIMIT_S, "an answer")
        done = Agent(machine).call("reload")
        assert done.returncode == 0, done.stderr


@contextmanager
def nothing_moves(lab: Lab, active: Machine) -> Iterator[None]:
    """The active serves all the time, and nobody is shot."""
    since_ns = time.monotonic_ns()
    yield
    undisturbed(lab, active, since_ns, gap_ms_max=GAP_MS_MAX)


def reload(machine: Machine) -> str:
    """Have it reload; what it says."""
    done = Agent(machine).call("reload")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def dry_run(machine: Machine) -> str:
    """What it would change."""
    done = Agent(machine).call("reload", "--dry-run")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_reload_is_in_force_on_both_without_a_gap(
    lab: Lab, roles: Roles, edited: Callable[..., None]
) -> None:
    """Times and devices hold at once, with the documented alarm in between; no gap and no shot."""
    active, standby = roles
    edited(
        ('check_every = "1s"', 'check_every = "3s"'), ("[timing]", '[timing]\ndead_after = "2s"')
    )
    with nothing_moves(lab, active):
        said = reload(active)
        assert said.startswith("changed: timing.dead_after, fence.alpha-bmc, fence.beta-bmc")
        assert "until both agree" in said
        for machine in roles:
            status = Agent(machine).wait(
                lambda s: "configuration_differs" in alarms(s), READY_LIMIT_S, "the alarm"
            )
            assert not status["takeover"]["possible"]
        assert "until both agree" not in reload(standby)
        ready(lab)
    frozen = active.freeze()
    assert taken_over(lab, active, standby, frozen.at_ns) - frozen.at_ns > 2_000_000_000
    wait_powered(lab, active, frozen.at_ns)


def test_no_takeover_while_the_nodes_differ(
    lab: Lab, roles: Roles, edited: Callable[..., None]
) -> None:
    """A peer that falls silent between the two reloads is not shot; reloaded, it is."""
    active, standby = roles
    edited(("[timing]", '[timing]\nserving_grace = "11s"'))
    reload(standby)
    Agent(active).wait(lambda s: "configuration_differs" in alarms(s), READY_LIMIT_S, "the alarm")
    frozen = active.freeze()
    Agent(standby).wait(
        lambda s: "configuration_differs" in blocked(s), TAKEOVER_LIMIT_S, "the named reason"
    )
    assert orders(lab, frozen.at_ns) == []
    edited(('serving_grace = "11s"\n', ""))
    reload(standby)
    taken_over(lab, active, standby, frozen.at_ns)
    wait_powered(lab, active, frozen.at_ns)


def test_bad_file_is_refused_whole(lab: Lab, roles: Roles, edited: Callable[..., None]) -> None:
    """Every fault is said, exit 78, an alarm stays until the file is good; the old one runs on."""
    active, standby = roles
    edited(("[timing]", '[timing]\ndead_after = "5s"\nsuspect_after = "nonsense"\nnew = 1'))
    with nothing_moves(lab, active):
        done = Agent(active).call("reload")
        assert done.returncode == 78, done.stdout
        assert "timing.suspect_after" in done.stderr
        assert "timing.new" in done.stderr
        status = Agent(active).status()
        assert status is not None
        assert "reload_refused" in alarms(status)
        assert "configuration_differs" not in alarms(status)
        edited(('suspect_after = "nonsense"\nnew = 1', ""))
        assert "changed: timing.dead_after" in reload(active)
        assert "changed: timing.dead_after" in reload(standby)
        for machine in roles:
            Agent(machine).wait(
                lambda s: not {"reload_refused", "configuration_differs"} & alarms(s),
                READY_LIMIT_S,
                "well",
            )


def test_what_needs_a_restart_is_named(lab: Lab, roles: Roles, edited: Callable[..., None]) -> None:
    """One key that needs a restart, and none of the others is taken in either: exit 1."""
    active, _ = roles
    edited(('cluster = "bench"', 'cluster = "other"'), ("[timing]", '[timing]\ndead_after = "4s"'))
    with nothing_moves(lab, active):
        for words in (("reload", "--dry-run"), ("reload",)):
            done = Agent(active).call(*words)
            assert done.returncode == 1, done.stdout
            assert "needs a restart: cluster; nothing was changed" in done.stderr
        edited(('cluster = "other"', 'cluster = "bench"'))
        assert dry_run(active).startswith("would change: timing.dead_after")
        status = Agent(active).status()
        assert status is not None
        assert "configuration_differs" not in alarms(status)


def test_key_is_rotated_without_a_gap(lab: Lab, roles: Roles, edited: Callable[..., None]) -> None:
    """Accept both keys, send the new one, drop the old one: three reloads, and no frame is lost."""
    active, _ = roles
    key = lab.configuration.parent / "key.2"
    key.touch(mode=0o600)
    key.write_text("ab" * 32 + "\n")
    steps = (
        ('files = { 1 = "key.1" }', 'files = { 1 = "key.1", 2 = "key.2" }'),
        ("send = 1", "send = 2"),
        ('files = { 1 = "key.1", 2 = "key.2" }', 'files = { 2 = "key.2" }'),
    )
    with nothing_moves(lab, active):
        for step in steps:
            edited(step)
            for machine in roles:
                assert reload(machine) == "changed: key\n"
        for machine in roles:
            status = Agent(machine).status()
            assert status is not None
            assert "refused_auth" not in str(status["counters"]), status["counters"]
        for old, new in reversed(steps):
            edited((new, old))
            for machine in roles:
                reload(machine)
        ready(lab)


def test_hangup_reloads_too(lab: Lab, roles: Roles, edited: Callable[..., None]) -> None:
    """SIGHUP does the same; what became of it is in the log."""
    active, _ = roles
    edited(("[timing]", '[timing]\nfence_delay = "4s"'))
    with nothing_moves(lab, active):
        (pid,) = agents(active)
        os.kill(pid, signal.SIGHUP)
        Agent(active).wait(
            lambda s: "configuration_differs" in alarms(s), READY_LIMIT_S, "the alarm"
        )
    events = [e for e in active.agent_events() if e.get("event") == "config.reloaded"]
    assert events[-1]["changed"] == ["timing.fence_delay"]
    status = Agent(active).status()
    assert status is not None
    assert role(status) == "active"


def test_what_cannot_be_made_durable_is_not_taken_in(
    lab: Lab, roles: Roles, edited: Callable[..., None]
) -> None:
    """Refused, but no bad file: exit 1. An agent that starts with it runs, and says so."""
    active, standby = roles
    odd = lab.configuration.parent / "odd"
    odd.symlink_to("/proc/version")  # which no fsync(2) takes
    edited(("[timing]", '[timing]\ndead_after = "4s"'))
    try:
        with nothing_moves(lab, active):
            assert "would change: timing.dead_after" in dry_run(active)
            done = Agent(active).call("reload")
            assert done.returncode == 1, done.stdout
            assert "odd: Invalid argument" in done.stderr
            standby.signal_agent(signal.SIGTERM)
            standby.start_agent()
            Agent(active).wait(
                lambda s: "configuration_differs" in alarms(s), READY_LIMIT_S, "the next agent"
            )
        assert [e for e in standby.agent_events() if e.get("event") == "config.not_durable"]
    finally:
        odd.unlink()
    assert "changed: timing.dead_after" in reload(active)
    ready(lab)


def agents(machine: Machine) -> list[int]:
    """Its agent's process, as numbered outside."""
    found = []
    for pid in machine.processes():
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        # The bench's own process has the agent's words among its arguments as well.
        if b"-m" in words and words[words.index(b"-m") + 1] == b"haagent":
            found.append(pid)
    return found
