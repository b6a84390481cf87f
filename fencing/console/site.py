# SPDX-License-Identifier: GPL-2.0-or-later
"""What a command has to work with: the devices of each node, and who we are.

Only the [[fence]] tables and [timing] `hedge_after` are read: on a bad day a fault elsewhere in
the file, or a lost heartbeat key, must not keep anybody from fencing.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fencing import DeviceSettings
from fencing.config import duration, forms
from fencing.config.problems import Problem
from fencing.config.tables import TableError, load_fences
from fencing.config.toml_file import read_toml
from fencing.console.exits import Exit, RefusedError

HEDGE_AFTER = "2s"
"""The default of [timing] hedge_after (docs/configuration.md)."""
_HEDGE_AFTER = forms.span("0s", "5m")


@dataclass(frozen=True, slots=True)
class Site:
    """What one command works with."""

    nodes: Mapping[str, tuple[DeviceSettings, ...]]
    """All devices that cut a node's power, by the node."""
    me: str | None
    """The node that we run on; None if this host is none of them, as far as is known."""
    hedge_after_s: float
    """A level that has not read off by then gets the next one beside it."""
    control_socket: Path | None
    """The daemon's; who fences takes turns beside it. None if no daemon can be on this host."""


def read_site(configuration: Path, node: str | None, control_socket: Path | None) -> Site:
    """What the [[fence]] tables of a file say.

    Args:
        configuration: A full haagent.toml or a file of [[fence]] tables.
        node: Who we are; None: the host name decides, with or without its domain.
        control_socket: Goes into the Site.

    Raises:
        RefusedError: The tables cannot be used, with every reason; or there is no such node.
    """
    try:
        nodes = load_fences(configuration)
    except TableError as error:
        raise RefusedError(Exit.CONFIGURATION, *error.lines) from None
    hedge_after_s = _hedge_after_s(configuration)
    return Site(nodes, _own_name(nodes, node), hedge_after_s, control_socket)


def _own_name(nodes: Mapping[str, object], node: str | None) -> str | None:
    if node is not None:
        if node not in nodes:
            text = f"--node {node}: no fence device is of that node; there are: {', '.join(nodes)}"
            raise RefusedError(Exit.USAGE, text)
        return node
    host = socket.gethostname()
    return next((name for name in (host, host.partition(".")[0]) if name in nodes), None)


def _hedge_after_s(configuration: Path) -> float:
    raw = read_toml(configuration)
    timing = {} if isinstance(raw, Problem) else raw.get("timing", {})
    value = timing.get("hedge_after", HEDGE_AFTER) if isinstance(timing, dict) else HEDGE_AFTER
    try:
        return _HEDGE_AFTER(value) / duration.UNITS_NS["s"]
    except ValueError as error:
        problem = Problem("timing.hedge_after", value, str(error))
        raise RefusedError(Exit.CONFIGURATION, problem.line(configuration)) from None
