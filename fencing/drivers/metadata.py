# SPDX-License-Identifier: GPL-2.0-or-later
"""What a fence agent says of itself, and the parameters that may be written to it.

Source: fence-agents, doc/FenceAgentAPI.md, lib/metadata.rng and lib/fencing.py.py (4.12.1).
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from fencing import Option
from fencing.config.problems import nearest

TRUE = ("1", "yes", "on", "true")
FALSE = ("0", "no", "off", "false")
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")
_QUOTED = re.compile(r'".*"')


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an agent."""

    name: str
    kind: str
    """boolean, string, second, integer or select."""
    required: bool
    choices: tuple[str, ...] = ()
    """What a select may be; agents compare without regard to case."""
    obsoletes: str = ""
    """Its old name, which means the same."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """All that an agent says of itself."""

    parameters: Mapping[str, Parameter]
    actions: frozenset[str]
    fabric: bool
    """Whether its `off` cuts a node from storage or network and leaves it running."""

    def first(self, *names: str) -> str | None:
        """The first of these names that the agent takes, None if it takes none."""
        return next((name for name in names if name in self.parameters), None)


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
    # What is deprecated comes first, so that the present parameter of the same name stays.
    found = sorted(root.iterfind("parameters/parameter"), key=lambda one: not _deprecated(one))
    parameters = {parameter.name: parameter for parameter in map(_parameter, found)}
    actions = {action.get("name", ""): action for action in root.iterfind("actions/action")}
    # Fabric agents are those that a cluster has to call at every start of a node, to let it in.
    fabric = "on" in actions and actions["on"].get("automatic") == "1"
    return Metadata(parameters, frozenset(actions), fabric)


def key(name: str) -> str:
    """A parameter's name as it is compared: agents take "-" and "_" for the same."""
    return name.replace("-", "_")


def _deprecated(element: ET.Element) -> bool:
    return element.get("deprecated") == "1"


def _parameter(element: ET.Element) -> Parameter:
    content = element.find("content")
    kind, default, choices = "string", None, list[str]()
    if content is not None:
        kind, default = content.get("type", "string"), content.get("default")
        choices = [option.get("value", "") for option in content.iterfind("option")]
    return Parameter(
        name=key(element.get("name", "")),
        kind=kind,
        required=element.get("required") == "1" and default is None and not _deprecated(element),
        choices=tuple(choices),
        obsoletes=key(element.get("obsoletes", "")),
    )


def written(metadata: Metadata, options: Mapping[str, Option]) -> tuple[dict[str, str], list[str]]:
    """Options as an agent is given them, and everything that is wrong with them.

    No value is shown in a problem: an option may be a secret that nobody recognised as one.
    """
    texts = dict[str, str]()
    problems = list[str]()
    for name, value in options.items():
        parameter = metadata.parameters.get(key(name))
        if parameter is None:
            problems.append(
                f"{name} is unknown; {nearest(key(name), metadata.parameters, 'drop it')}"
            )
            continue
        text, problem = _written(parameter, value)
        if problem:
            problems.append(f"{name} {problem}")
        texts[parameter.name] = text
    return texts, problems


def missing(metadata: Metadata, given: Collection[str]) -> list[str]:
    """The required parameters that are not given, under neither their name nor their old one."""
    return [
        f"{parameter.name} is required"
        for parameter in metadata.parameters.values()
        if parameter.required
        and parameter.name != "action"
        and parameter.name not in given
        and parameter.obsoletes not in given
    ]


def unwritable(value: str) -> str:
    """Why a value would reach an agent changed or not at all; "" if it reaches it as it is."""
    if not value:
        return "is empty"
    if any(char in value for char in "\n\r\0"):
        return "holds a line end or a NUL, which the agents' input cannot carry"
    if value != value.strip() or _QUOTED.fullmatch(value):
        return "begins and ends with quotes, or has a blank there: agents cut these off"
    return ""


def _written(parameter: Parameter, value: Option) -> tuple[str, str]:
    """One value as text, and what is wrong with it."""
    if isinstance(value, tuple):
        return "", "cannot be a list"
    text = str(int(value)) if isinstance(value, bool) else str(value)
    if isinstance(value, float) and value.is_integer():
        text = str(int(value))
    problem = unwritable(text)
    if parameter.kind == "boolean" and text.lower() not in TRUE + FALSE:
        problem = problem or "must be true or false"
    elif parameter.kind in ("integer", "second") and not _WHOLE_NUMBER.fullmatch(text):
        problem = problem or "must be a whole number"
    elif parameter.kind == "select" and text.lower() not in map(str.lower, parameter.choices):
        problem = problem or f"must be one of: {', '.join(parameter.choices)}"
    return text, problem
