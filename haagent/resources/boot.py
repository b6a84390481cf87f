# SPDX-License-Identifier: GPL-2.0-or-later
"""What speaks against a unit as a resource: for check-config and doctor.

The agent alone starts what the holder of a group may have (S1, S2). A unit that systemd starts at
boot runs on both nodes before the agent is even asked.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from haagent.resources import Times
from haagent.resources.systemd import UNUSABLE
from haagent.resources.units import Way

PULLS = ("WantedBy", "RequiredBy", "BoundBy", "UpheldBy")
"""Properties that name what starts a unit along with itself. Source: systemd.unit(5)."""
USEC_PER_S = 1_000_000
USEC_INFINITY = (1 << 64) - 1
"""Source: systemd, basic/time-util.h."""


@dataclass(frozen=True, slots=True)
class Objection:
    """One thing that speaks against a unit."""

    text: str
    remedy: str
    refuses: bool = True
    """Whether the configuration is to be refused; else it is a warning."""


async def enabled_state(systemd: Way, unit: str) -> str:
    """Whether systemd starts it by itself, e.g. "enabled", "static"; "" for one without a file.

    Raises:
        AwayError, RefusedError: Nobody could tell.

    Source: systemctl(1), is-enabled.
    """
    return (await systemd.show(unit, "UnitFileState")).get("UnitFileState", "")


async def objections(
    systemd: Way, unit: str, times: Times, companions: Collection[str] = ()
) -> list[Objection]:
    """All that speaks against this unit as a resource on this node.

    Args:
        systemd: How to ask it.
        unit: The resource.
        times: Its limits.
        companions: The other units of its group: they are not started by systemd either.

    Raises:
        AwayError, RefusedError: Nobody could tell.
    """
    state = await systemd.state(unit)
    if state.load in UNUSABLE:
        return [Objection(UNUSABLE[state.load], f"systemctl status {unit}")]
    found: list[Objection] = []
    if (await enabled_state(systemd, unit)).startswith("enabled"):
        text = "systemd starts it at boot, on both nodes and before the agent decides"
        found.append(Objection(text, f"systemctl disable {unit}"))
    found += await _pulled(systemd, unit, companions)
    found += await _triggered(systemd, unit, companions)
    shown = await systemd.show(
        unit, "Type", "RemainAfterExit", "KillMode", "Restart", "TimeoutStopUSec"
    )
    return found + _own_settings(shown, times)


async def _pulled(systemd: Way, unit: str, companions: Collection[str]) -> list[Objection]:
    """Objections to units that start it along with themselves."""
    shown = await systemd.show(unit, *PULLS)
    pullers = {name for pull in PULLS for name in shown.get(pull, "").split()}
    found = []
    for puller in sorted(pullers.difference(companions)):
        state = await enabled_state(systemd, puller)
        at_boot = puller.endswith(".target") or state.startswith("enabled")
        if at_boot and (await enabled_state(systemd, unit)).startswith("enabled"):
            continue  # Said already: disabling it removes that link too.
        text = f"{puller} starts it along with itself"
        remedy = f"take it out of Wants=, Requires= and the like of {puller}"
        found.append(Objection(text, remedy, refuses=at_boot))
    return found


async def _triggered(systemd: Way, unit: str, companions: Collection[str]) -> list[Objection]:
    """Objections to sockets, timers and paths that start it."""
    shown = await systemd.show(unit, "TriggeredBy")
    found = []
    for trigger in shown.get("TriggeredBy", "").split():
        enabled = (await enabled_state(systemd, trigger)).startswith("enabled")
        if enabled or not (await systemd.state(trigger)).is_down:
            text = f"{trigger} starts it whenever it is needed, at boot and after a stop"
            found.append(Objection(text, f"systemctl disable --now {trigger}"))
        elif trigger in companions:
            text = f"{trigger} is in the group as well: stopping {unit} stops it, too"
            found.append(Objection(text, f"leave {trigger} out of the group", refuses=False))
    return found


def _own_settings(shown: dict[str, str], times: Times) -> list[Objection]:
    found = []
    if shown.get("Type") == "oneshot" and shown.get("RemainAfterExit") == "no":
        text = "it ends by itself, so it is never active"
        found.append(Objection(text, "set RemainAfterExit=yes"))
    if shown.get("KillMode") in {"process", "none"}:
        text = f"KillMode={shown['KillMode']} spares processes; what a stop leaves is killed"
        found.append(Objection(text, "set KillMode=mixed or control-group", refuses=False))
    if shown.get("Restart", "no") != "no":
        text = f"Restart={shown['Restart']}: systemd restarts it beside the agent"
        found.append(Objection(text, "set Restart=no", refuses=False))
    text = shown.get("TimeoutStopUSec", "")
    if text.isdecimal() and int(text) / USEC_PER_S > times.stop_s:
        length = "for ever" if int(text) == USEC_INFINITY else f"{int(text) / USEC_PER_S:g} s"
        text = f"TimeoutStopSec= lets it stop {length}, the agent only {times.stop_s:g} s"
        found.append(Objection(text, "make stop longer, or TimeoutStopSec= shorter", refuses=False))
    return found
