# SPDX-License-Identifier: GPL-2.0-or-later
"""Refuses a confinement in which the groups' own programs would fail at the takeover.

OCF agents, commands and database servers are children of the agent, and what it may not do they
may not do either: mount for all to see, change their user, load a module. A monitor works in there
all the same, so nothing but this guard would tell before the failover. And under a mount namespace
a stop can unmount what stays mounted for everybody else: it would be seen to succeed (S7).

The unit is confined, and our generator opens it for a configuration that names programs; but it
looks only when systemd loads its units. See docs/install.md, "Hardening", and ADR 16.
"""

from __future__ import annotations

import os
from pathlib import Path

from haagent.asking import output
from haagent.config.settings import CommandTarget, Configuration, SystemdSettings, VipSettings

STATUS = Path("/proc/self/status")
UNIT = "haagent.service"
SYSTEMCTL_S = 30.0
BY_PROGRAM = ("agent", "permission")
"""Drivers of fence devices that run a program for every order."""


def confined_by_it(configuration: Configuration) -> str:
    """Names of the resources that run as children of the agent; "" if there are none."""
    names = [
        f"{resource.name} of {group.name}"
        for group in configuration.groups
        for resource in group.resources
        if not isinstance(resource, (SystemdSettings, VipSettings))
    ]
    return ", ".join(names)


def hampered_by_it(configuration: Configuration) -> str:
    """Names of the other programs that it runs, which a takeover does not hang on; "" for none."""
    names = [occasion.value for occasion in configuration.hooks]
    names += [f"alert {one.name}" for one in configuration.alerts if isinstance(one.target, tuple)]
    names += [
        f"probe of {group.name}"
        for group in configuration.groups
        if group.probe is not None and isinstance(group.probe.target, CommandTarget)
    ]
    devices = [device for both in configuration.devices for device in both]
    names += [f"fence device {device.name}" for device in devices if device.driver in BY_PROGRAM]
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
        f"NoNewPrivileges= is on, in which {names} may not work; lay the drop-in of "
        "docs/install.md, Hardening"
    )


def is_opened_by_a_reload() -> bool:
    """Have systemd look at the configuration again; whether our next process is not confined."""
    if "NOTIFY_SOCKET" not in os.environ or _unit_is_confined() is not True:
        return False  # Not by systemd, or not by what the unit says now.
    done = output("systemctl", "daemon-reload", limit_s=SYSTEMCTL_S)
    return done is not None and _unit_is_confined() is False


def _unit_is_confined() -> bool | None:
    """As systemd has loaded it; None if nobody can tell."""
    asked = ("systemctl", "show", "--property=NoNewPrivileges", "--value", UNIT)
    said = output(*asked, limit_s=SYSTEMCTL_S)
    return {"yes": True, "no": False}.get((said or "").strip())
