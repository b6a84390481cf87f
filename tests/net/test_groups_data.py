# SPDX-License-Identifier: GPL-2.0-or-later
"""How fresh the data is decides who may serve it: `max_lag`, and the word that overrides it."""

from __future__ import annotations

import threading

from hil.agent import Agent, blocked, group
from hil.groups import POSITION_BEHIND_MAX, WEB
from hil.lab import Lab
from hil.machine import Machine
from hil.proof import never_both, taken_over
from hil.watch import TAKEOVER_LIMIT_S, orders, wait_powered, wait_standby

Roles = tuple[Machine, Machine]
OPTIONS = WEB
WATCH_S = 2.0


def freshen(lab: Lab, machine: Machine, position: int) -> None:
    """Give a machine's data a position, and wait until its agent knows."""
    lab.services.set_position(machine, position)
    Agent(machine).wait(
        lambda s: group(s)["position"] == position, TAKEOVER_LIMIT_S, f"position {position}"
    )


def test_slightly_older_data_is_served(lab: Lab, roles: Roles) -> None:
    """A standby that is behind by just max_lag takes over from a lost active."""
    active, standby = roles
    freshen(lab, active, 5000)
    freshen(lab, standby, 5000 - POSITION_BEHIND_MAX)
    lost_ns = lab.power_off(active.name)
    taken_over(lab, active, standby, lost_ns)
    freshen(lab, standby, 5000)
    wait_powered(lab, active, lost_ns)
    wait_standby(active)


def test_too_old_data_is_refused_until_the_operator_accepts_it(lab: Lab, roles: Roles) -> None:
    """One more behind: refused by name, nobody is shot; `failover --accept-data-loss` starts it."""
    active, standby = roles
    freshen(lab, active, 9000)
    freshen(lab, standby, 9000 - POSITION_BEHIND_MAX - 1)
    Agent(active).wait(
        lambda s: "too far behind" in str(s["takeover"]["reasons"]), TAKEOVER_LIMIT_S, "warning"
    )
    for words in (("switchover", "web"), ("failover", "web", "--accept-data-loss")):
        refused = Agent(standby).call(*words)
        assert refused.returncode == 1, f"{words}: {refused.stdout}"
    lost_ns = lab.power_off(active.name)
    Agent(standby).wait(lambda s: "data_too_old" in blocked(s), TAKEOVER_LIMIT_S, "named reason")
    threading.Event().wait(WATCH_S)  # nothing is to happen: no event to wait for
    assert orders(lab, lost_ns) == []
    assert not lab.services.runs(standby)
    unsaid = Agent(standby).call("failover", "web")
    assert unsaid.returncode == 1, unsaid.stdout
    assert orders(lab, lost_ns) == []
    done = Agent(standby).call("failover", "web", "--accept-data-loss")
    assert done.returncode == 0, done.stderr
    taken_over(lab, active, standby, lost_ns)
    # What was lost is lost: the returning node's data is older now, not fresher.
    lab.services.set_position(active, 0)
    freshen(lab, standby, 9000)
    wait_powered(lab, active, lost_ns)
    wait_standby(active)
    freshen(lab, active, 9000)
    never_both(lab)
