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
from fencing.config.hedging import hedge_after_s
from fencing.config.tables import TableError, load_fences
from fencing.console.exits import Exit, RefusedError


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
        nodes, patience_s = load_fences(configuration), hedge_after_s(configuration)
    except TableError as error:
        raise RefusedError(Exit.CONFIGURATION, *error.lines) from None
    return Site(nodes, _own_name(nodes, node), patience_s, control_socket)


def _own_name(nodes: Mapping[str, object], node: str | None) -> str | None:
    if node is not None:
        if node not in nodes:
            text = f"--node {node}: no fence device is of that node; there are: {', '.join(nodes)}"
            raise RefusedError(Exit.USAGE, text)
        return node
    host = socket.gethostname()
    return next((name for name in (host, host.partition(".")[0]) if name in nodes), None)
