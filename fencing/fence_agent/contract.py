# SPDX-License-Identifier: GPL-2.0-or-later
"""What a fence agent is told and what it says of itself.

Source: fence-agents 4.12.1, doc/FenceAgentAPI.md, lib/fencing.py.py and lib/metadata.rng.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from xml.sax.saxutils import escape, quoteattr

OK = 0
FAILED = 1
OFF = 2
"""Exit statuses. Nothing but `status` may end with OFF: argparse would, for a wrong option."""

CONFIGURATION = Path("/etc/haagent/haagent.toml")
ACTIONS = (
    *("on", "off", "reboot", "status", "list", "list-status"),
    *("monitor", "metadata", "validate-all"),
)
"""In the order of other agents' metadata."""
SECONDS_MAX = 3600
"""Of a delay or a limit: longer than any fence."""
_ALIASES = {"port": "plug", "option": "action"}
"""Old names that callers still use."""
_TRUE = ("1", "yes", "on", "true")
_DESCRIPTION = (
    "fence_haagent cuts the power of a node with the fence devices that are configured for it in "
    "haagent: all devices of a level at once, level after level. It succeeds only when every "
    "device of one level was read off, more than once, after the order. Needs "
    "pcmk_off_timeout and pcmk_reboot_timeout above the sum of the levels' deadlines; "
    "validate-all shows it."
)


class RefusedError(Exception):
    """The request is not carried out; every line says one reason."""

    def __init__(self, *lines: str) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of this agent."""

    name: str
    letter: str
    """Short option; "" if it has none."""
    kind: str
    """boolean, string, second or integer."""
    text: str
    default: str = ""
    required: bool = False
    old_name: str = ""
    """A deprecated name that means the same."""

    @property
    def option(self) -> str:
        """Its long option."""
        return f"--{self.name.replace('_', '-')}"


PARAMETERS = (
    Parameter("action", "o", "string", "Fencing action", default="reboot", required=True),
    Parameter("plug", "n", "string", "Node to fence", required=True, old_name="port"),
    Parameter("config", "c", "string", "File with [[fence]] tables", default=str(CONFIGURATION)),
    Parameter("level", "l", "integer", "Use the devices of this level only"),
    Parameter("power_timeout", "", "second", "Limit of one level, if below the devices' own"),
    Parameter("delay", "", "second", "Wait X seconds before fencing is started", default="0"),
    Parameter("verbose", "v", "boolean", "Show every step on stderr"),
    Parameter("version", "V", "boolean", "Display version information and exit"),
    Parameter("help", "h", "boolean", "Display help and exit"),
)


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be done, to which node, with which devices."""

    action: str
    node: str
    """"" if none was named."""
    configuration: Path
    level: int | None
    power_timeout_s: float | None
    delay_s: float
    verbose: bool


def from_lines(lines: Iterable[str]) -> Request:
    """A request from stdin: `name=value` lines, of which the last one of a name counts.

    Raises:
        RefusedError: A value that cannot be meant so. Unknown names are reported and ignored.
    """
    known = {parameter.name for parameter in PARAMETERS}
    given = dict[str, str]()
    for raw in lines:
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        name, _, value = line.partition("=")
        name = name.replace("-", "_")
        if len(value) > 1 and value[0] == value[-1] == '"':
            value = value[1:-1]
        if name in known or name in _ALIASES or name == "nodename":
            given[name] = value
        else:
            # Its value is not shown: it may be a password meant for another agent.
            sys.stderr.write(f"WARNING: unknown parameter {name[:40]!r} is ignored\n")
    return _request(given)


def from_arguments(arguments: Sequence[str]) -> Request:
    """A request from the command line.

    Raises:
        RefusedError: Options that cannot be meant so.
        SystemExit: With 0, after help or version were shown.
    """
    parser = _Parser(prog="fence_haagent", description=_DESCRIPTION, add_help=False)
    for parameter in PARAMETERS:
        names = [f"-{parameter.letter}", parameter.option]
        if parameter.kind != "boolean":
            names += [f"--{parameter.old_name}"] if parameter.old_name else []
            default = f" (default {parameter.default})" if parameter.default else ""
            parser.add_argument(
                *(name for name in names if name != "-"),
                dest=parameter.name,
                help=parameter.text + default,
            )
        elif parameter.name == "help":
            parser.add_argument(*names, action="help", help=parameter.text)
        elif parameter.name == "version":
            parser.add_argument(*names, action="version", version=_version(), help=parameter.text)
        else:
            parser.add_argument(*names, action="store_const", const="1", help=parameter.text)
    found = vars(parser.parse_args(arguments))
    return _request({name: value for name, value in found.items() if value is not None})


def metadata() -> str:
    """What a cluster reads of this agent."""
    actions = "".join(
        f'\t<action name="{name}"{" automatic=" + quoteattr("0") if name == "on" else ""} />\n'
        for name in ACTIONS
    )
    return (
        '<?xml version="1.0" ?>\n'
        '<resource-agent name="fence_haagent" shortdesc="Fence agent for haagent\'s devices">\n'
        f"<longdesc>{escape(_DESCRIPTION)}</longdesc>\n"
        "<vendor-url></vendor-url>\n"
        f"<parameters>\n{''.join(map(_element, PARAMETERS))}</parameters>\n"
        f"<actions>\n{actions}</actions>\n"
        "</resource-agent>\n"
    )


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints do not end with 2, which would mean *off*."""

    def error(self, message: str) -> NoReturn:
        raise RefusedError(message, "use -h for the options")


def _request(given: Mapping[str, str]) -> Request:
    """The request, with defaults and checked values; names of before stand behind present ones."""
    old = {name: given[alias] for alias, name in _ALIASES.items() if alias in given}
    values = {"plug": given.get("nodename", "")} | old | dict(given)
    action = values.get("action", "reboot").lower().replace("meta-data", "metadata")
    if action not in ACTIONS:
        # Pacemaker knows an unsupported action by these words.
        raise RefusedError(f"Unrecognised action {action!r}; there are: {', '.join(ACTIONS)}")
    return Request(
        action=action,
        node=values["plug"],
        configuration=Path(values.get("config") or CONFIGURATION),
        level=_whole(values, "level"),
        power_timeout_s=_whole(values, "power_timeout"),
        delay_s=_whole(values, "delay") or 0,
        verbose=values.get("verbose", "").lower() in _TRUE,
    )


def _whole(values: Mapping[str, str], name: str) -> int | None:
    """A whole number from 0 to SECONDS_MAX; None if it is not given."""
    text = values.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or int(text[:9]) > SECONDS_MAX:
        raise RefusedError(f"{name} must be a whole number up to {SECONDS_MAX}")
    return int(text)


def _element(parameter: Parameter) -> str:
    """A parameter's metadata, its old name's after it."""
    letter = f"-{parameter.letter}, " if parameter.letter else ""
    value = "" if parameter.kind == "boolean" else f"=[{parameter.name}]"
    default = f" default={quoteattr(parameter.default)}" if parameter.default else ""
    of_names = [(parameter.name, "")]
    if parameter.old_name:
        of_names = [
            (parameter.name, f' obsoletes="{parameter.old_name}"'),
            (parameter.old_name, ' deprecated="1"'),
        ]
    return "".join(
        f'\t<parameter name="{name}" unique="0" required="{int(parameter.required)}"{note}>\n'
        f"\t\t<getopt mixed={quoteattr(letter + parameter.option + value)} />\n"
        f'\t\t<content type="{parameter.kind}"{default} />\n'
        f'\t\t<shortdesc lang="en">{escape(parameter.text)}</shortdesc>\n'
        "\t</parameter>\n"
        for name, note in of_names
    )


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415  # slow, rare

    try:
        return f"fence_haagent {version('haagent')}"
    except PackageNotFoundError:
        return "fence_haagent (not installed)"
