# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration as one node uses it: frozen, checked, nothing of the file's form left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Literal

from fencing import DeviceSettings
from haagent.core.settings import PairSettings
from haagent.links import Link
from haagent.vip import Vip

LogFormat = Literal["json", "console"]
LogLevel = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How the agent logs to stderr."""

    format: LogFormat = "json"
    level: LogLevel = "info"


@dataclass(frozen=True, slots=True)
class Keys:
    """Shared secrets of the heartbeat, by key id (0 to 255)."""

    send: int
    """Id of the key that our own frames carry; every key in `secrets` is accepted."""
    secrets: Mapping[int, bytes] = field(repr=False)
    """At least 32 bytes each."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything one node's agent is told."""

    cluster: str
    node_names: tuple[str, str]
    pair: PairSettings
    links: tuple[Link, ...]
    """This node's view; same order on both nodes."""
    keys: Keys
    vips: Mapping[str, tuple[Vip, ...]]
    """By group name, with the interface of this node."""
    devices: tuple[tuple[DeviceSettings, ...], tuple[DeviceSettings, ...]]
    """Fence devices by the number of the node whose power they cut."""
    hedge_after_s: float
    """A level of devices that has proved nothing for so long gets the next one beside it."""
    references: tuple[IPv4Address | IPv6Address, ...]
    probes: Mapping[str, tuple[str, int]]
    """Group name to (host, port): where a client would meet the service. Host is an address."""
    state_dir: Path
    control_socket: Path
    log: LogSettings
    warnings: tuple[str, ...] = ()
    """Lines about what is allowed but unwise, for check-config and the log."""
