# SPDX-License-Identifier: GPL-2.0-or-later
"""What an OCF agent says of itself, and what a configuration of it must be by that.

Of a parameter only its name is checked here, and that it is there. Its type is not: agents take
more than they declare (Filesystem's `force_unmount`, a "boolean", may be "safe"). Values are judged
by the agent itself (`validate-all`).

Source: OCF resource agent API 1.1, section "Metadata", ra-api.rng; resource-agents 4.12.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from fencing.config.problems import nearest

TRACING = frozenset({"trace_ra", "trace_dir"})
"""Taken by every agent, listed by none. Source: resource-agents, ocf-shellfuncs.in."""

_DURATION = re.compile(r"([0-9]{1,9}) *([a-z]*)")
_UNITS_S = dict.fromkeys(("", "s", "sec"), 1.0)
_UNITS_S |= dict.fromkeys(("m", "min"), 60.0) | dict.fromkeys(("h", "hr"), 3600.0)
_UNITS_S |= dict.fromkeys(("ms", "msec"), 1e-3) | dict.fromkeys(("us", "usec"), 1e-6)
"""A bare number means seconds. Source: Pacemaker, crm_get_msec()."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an agent."""

    name: str
    required: bool
    unique: str = ""
    """Parameters of one such group, taken together, must differ between resources; "": need not."""


@dataclass(frozen=True, slots=True)
class Action:
    """One action, with what its agent advises for it. Seconds; None where it advises nothing."""

    name: str
    timeout_s: float | None = None
    interval_s: float | None = None
    depth: int = 0
    """For a monitor: of which OCF_CHECK_LEVEL this is said."""
    promoted: bool = False
    """For a monitor: whether this is said of the promoted role."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """All that an agent says of itself."""

    parameters: Mapping[str, Parameter]
    actions: tuple[Action, ...]

    def has(self, *names: str) -> bool:
        """Whether the agent has all of these actions."""
        return set(names) <= {action.name for action in self.actions}

    def advised(self, name: str, *, depth: int = 0, promoted: bool = False) -> Action:
        """The entry of an action that fits best; one that advises nothing if there is none.

        An agent that does not know a check level does what it knows of the next lower one.
        """
        found = [action for action in self.actions if action.name == name]
        found.sort(key=lambda one: (one.depth <= depth, one.depth, one.promoted == promoted))
        return found[-1] if found else Action(name)


def read(text: str) -> Metadata:
    """Metadata from the XML that an agent writes.

    Raises:
        ValueError: It is not that; the text says in what.
    """
    try:
        root = ET.fromstring(text)  # noqa: S314  # of a program that runs with our own rights
    except ET.ParseError as error:
        raise ValueError(f"no XML: {error}") from None
    if root.tag != "resource-agent":
        raise ValueError(f"<resource-agent> expected, not <{root.tag}>")
    parameters = map(_parameter, root.iterfind("parameters/parameter"))
    actions = map(_action, root.iterfind("actions/action"))
    return Metadata({parameter.name: parameter for parameter in parameters}, tuple(actions))


def duration_s(text: str | None) -> float | None:
    """Seconds meant by "20s", "20", "500ms" or "1min"; None for anything else."""
    match = _DURATION.fullmatch((text or "").strip().lower())
    if match is None or match.group(2) not in _UNITS_S:
        return None
    return int(match.group(1)) * _UNITS_S[match.group(2)]


def problems(metadata: Metadata, given: Collection[str]) -> list[str]:
    """What is wrong with the names of the parameters that are given, a line each."""
    known = metadata.parameters
    unknown = [name for name in given if name not in known and name not in TRACING]
    found = [f"{name} is unknown; {nearest(name, known, 'drop it')}" for name in unknown]
    required = (parameter.name for parameter in known.values() if parameter.required)
    return found + [f"{name} is required" for name in required if name not in given]


def unique_groups(metadata: Metadata) -> dict[str, list[str]]:
    """Every group of parameters whose values must differ between resources, with their names."""
    groups = dict[str, list[str]]()
    for parameter in metadata.parameters.values():
        if parameter.unique:
            groups.setdefault(parameter.unique, []).append(parameter.name)
    return groups


def _parameter(element: ET.Element) -> Parameter:
    name = element.get("name", "")
    content = element.find("content")
    default = None if content is None else content.get("default")
    # OCF 1.0 has only unique="1", which every agent means of that parameter alone.
    unique = element.get("unique-group") or (name if element.get("unique") == "1" else "")
    deprecated = element.find("deprecated") is not None
    required = element.get("required") == "1" and not default and not deprecated
    return Parameter(name, required, unique)


def _action(element: ET.Element) -> Action:
    depth = element.get("depth", "0")
    return Action(
        name=element.get("name", ""),
        timeout_s=duration_s(element.get("timeout")),
        interval_s=duration_s(element.get("interval")),
        depth=int(depth) if depth.isdecimal() else 0,
        promoted=element.get("role", "") in ("Promoted", "Master"),
    )
