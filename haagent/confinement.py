# SPDX-License-Identifier: GPL-2.0-or-later
"""Refuses a confinement in which the groups' own programs would fail at the takeover.

OCF agents, commands and database servers are children of the agent, and what it may not do they
may not do either: mount for all to see, change their user, load a module. A monitor works in there
all the same, so nothing but this guard would tell before the failover. See docs/install.md,
"Hardening".
"""

from __future__ import annotations

from pathlib import Path

from haagent.config.settings import Configuration, SystemdSettings, VipSettings

STATUS = Path("/proc/self/status")


def confined_by_it(configuration: Configuration) -> str:
    """Names of the resources that run as children of the agent; "" if there are none."""
    names = [
        f"{resource.name} of {group.name}"
        for group in configuration.groups
        for resource in group.resources
        if not isinstance(resource, (SystemdSettings, VipSettings))
    ]
    return ", ".join(names)


def no_new_privileges(status: Path = STATUS) -> bool:
    """Whether that process, and all that it starts, is confined for life. Source: prctl(2)."""
    return "\nNoNewPrivs:\t1\n" in status.read_text()


def refusal(configuration: Configuration) -> str:
    """Why the agent must not start so; "" if it may."""
    names = confined_by_it(configuration)
    if not names or not no_new_privileges():
        return ""
    return (
        f"NoNewPrivileges= is on, in which {names} may not work; remove haagent-strict.conf, "
        "which is for pairs of systemd units and addresses only"
    )
