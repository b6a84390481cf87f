# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration as one node uses it: frozen, checked, nothing of the file's form left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Literal

from fencing import DeviceSettings
from haagent.alerts import Receiver
from haagent.core.settings import PairSettings
from haagent.drill.settings import DrillSettings
from haagent.hooks import Hook, Occasion
from haagent.links import Link
from haagent.metrics import MetricsSettings
from haagent.postgres.layout import PostgresSettings
from haagent.reach import ReachTimes, Reference
from haagent.resources import Times
from haagent.resources.command import Commands
from haagent.resources.health import Policy
from haagent.resources.ocf_settings import OcfSettings
from haagent.vip import Vip
from haagent.watchdog import WatchdogSettings
from haagent.witness.settings import WitnessPlan

VIPS_NAME = "vip"
"""Name of the resource that the [[group.vip]] of a group are together."""
PROBE_NAME = "probe"
"""Name of a probe that stands alone, because haagent starts nothing of the service it asks."""
PERMISSION_NAME = "permission"
"""As what this node's keys on the shared disks are shown among the resources of a group."""

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
class VipSettings:
    """Virtual addresses that are one resource."""

    name: str
    vips: tuple[Vip, ...]


@dataclass(frozen=True, slots=True)
class SystemdSettings:
    """A unit of systemd as a resource."""

    name: str
    unit: str
    times: Times


@dataclass(frozen=True, slots=True)
class CommandSettings:
    """Commands of the operator's as a resource."""

    name: str
    commands: Commands = field(repr=False)
    times: Times


ResourceSettings = VipSettings | SystemdSettings | OcfSettings | PostgresSettings | CommandSettings


@dataclass(frozen=True, slots=True)
class TcpTarget:
    """Where a connection must be accepted."""

    address: IPv4Address | IPv6Address
    port: int


@dataclass(frozen=True, slots=True)
class HttpTarget:
    """What a GET must bring; see haagent.probes.http.HttpProbe."""

    address: IPv4Address | IPv6Address
    port: int
    target: str
    """Path and query."""
    tls: bool
    host: str = ""
    server_name: str = ""
    ca_file: Path | None = None
    """None: the system's authorities."""
    statuses: frozenset[int] | None = None
    """None: every 2xx."""
    body: bytes = b""
    pattern: str = ""


@dataclass(frozen=True, slots=True)
class CommandTarget:
    """The program that must end with 0."""

    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """How a client meets the service of a group."""

    target: TcpTarget | HttpTarget | CommandTarget
    timeout_s: float
    about: str = ""
    """Name of the resource that is restarted when there is no answer; "" if none of ours is."""
    interval_s: float | None = None
    """None: as that resource's own."""


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """One group as this node starts, watches and stops it."""

    name: str
    resources: tuple[ResourceSettings, ...]
    """In the order of their start."""
    policy: Policy
    probe: ProbeSettings | None = None
    failback: str | int = "never"
    """"never", "manual", or nanoseconds of the preferred node's being well."""
    shared_storage: bool = False
    """It starts nowhere but on a node that is let in to the shared disks."""

    @property
    def vips(self) -> tuple[Vip, ...]:
        """Its addresses, in the order of their start."""
        parts = (one for one in self.resources if isinstance(one, VipSettings))
        return tuple(vip for part in parts for vip in part.vips)


@dataclass(frozen=True, slots=True)
class ReachSettings:
    """What tells whether the clients are within reach."""

    references: tuple[Reference, ...] = ()
    times: ReachTimes = field(default_factory=ReachTimes)


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
    state_dir: Path
    control_socket: Path
    log: LogSettings
    warnings: tuple[str, ...] = ()
    """Lines about what is allowed but unwise, for check-config and the log."""
    groups: tuple[GroupPlan, ...] = ()
    """In the order of `pair.groups`."""
    reach: ReachSettings = field(default_factory=ReachSettings)
    hooks: Mapping[Occasion, Hook] = field(default_factory=dict)
    watchdog: WatchdogSettings = field(default_factory=WatchdogSettings)
    black_box_mib: int = 0
    """Limit for all that is recorded; 0: nothing is."""
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    witnesses: tuple[WitnessPlan, ...] = ()
    alerts: tuple[Receiver, ...] = ()
    drill: DrillSettings = field(default_factory=DrillSettings)
