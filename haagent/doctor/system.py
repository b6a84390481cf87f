# SPDX-License-Identifier: GPL-2.0-or-later
"""What else lives on this machine: the watchdog and who has it, our unit, other clusters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from haagent.asking import properties
from haagent.cli.verdict import rows
from haagent.doctor import Line, Subject, bad, ok, unknown, warning
from haagent.watchdog import SYSFS, WatchdogError, candidates, choose

RIVALS = (
    "pacemaker",
    "corosync",
    "keepalived",
    "heartbeat",
    "ucarp",
    "drbd-reactor",
    "vip-manager",
    "sbd",
)
"""Services that move addresses or fence by themselves; two of a kind fight."""


def look(subject: Subject) -> Iterator[Line]:
    """All of it."""
    yield watchdog(subject)
    if not Path("/run/systemd/system").is_dir():
        yield unknown("units", "systemd does not run here")
        return
    yield _own_unit(subject)
    yield from _rivals()


def watchdog(subject: Subject, sysfs: Path = SYSFS) -> Line:
    """Which one guards this machine; none is opened, for that would arm it."""
    settings = subject.configuration.watchdog
    if settings.mode == "off":
        return ok("watchdog", "off by configuration: an agent that hangs is left to the peer")
    for alarm in rows(subject.status, "alarms"):
        if alarm.get("code") == "watchdog":
            return _unguarded(settings.mode, str(alarm.get("text")))
    try:
        chosen = choose(candidates(sysfs), settings.identity)
    except WatchdogError as error:
        return _unguarded(settings.mode, str(error))
    armed = _read(sysfs / chosen.name / "state") == "active"
    name = f"{chosen.name} ({chosen.identity})"
    if not armed:
        if subject.status:
            return _unguarded(settings.mode, f"{name} is not armed although the agent runs")
        return ok("watchdog", f"{name} is there, and free")
    if subject.status:
        return ok("watchdog", f"{name} is armed")
    text = f"{name} is in use by another program"
    remedy = "for systemd: RuntimeWatchdogSec=off in /etc/systemd/system.conf"
    return warning("watchdog", text, remedy)


def _unguarded(mode: str, text: str) -> Line:
    remedy = (
        'load its driver, or name one in [watchdog] identity; docs/configuration.md, "watchdog"'
    )
    return (bad if mode == "required" else warning)("watchdog", text, remedy)


def _own_unit(subject: Subject) -> Line:
    state = properties("haagent.service", "UnitFileState", "LoadState")
    if state.get("LoadState") != "loaded":
        return warning("unit", "haagent.service is not installed", "haagent install")
    if state.get("UnitFileState") not in {"enabled", "enabled-runtime"}:
        text = "haagent.service is not enabled: after a boot this node is no standby"
        return warning("unit", text, "systemctl enable haagent")
    runs = "runs" if subject.status else "does not run"
    return ok("unit", f"haagent.service is enabled, and {runs}")


def _rivals() -> Iterator[Line]:
    found = []
    for name in RIVALS:
        state = properties(f"{name}.service", "UnitFileState", "ActiveState")
        if state.get("ActiveState") == "active" or state.get("UnitFileState") == "enabled":
            found.append(name)
    if found:
        text = f"{', '.join(found)} run here too, or start at boot: two would move one service"
        yield warning("units", text, f"systemctl disable --now {' '.join(found)}")
    else:
        yield ok("units", "no other cluster manager runs or starts here")


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
