# SPDX-License-Identifier: GPL-2.0-or-later
"""Form of the configuration file, table by table; of what decides nothing: watching_schema.py.

Only these two modules import pydantic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError
from pydantic_core import ErrorDetails

from fencing.config import duration, forms
from fencing.config.forms import Address
from haagent.config import values
from haagent.config.settings import LogFormat, LogLevel
from haagent.config.values import Interface, Url
from haagent.core.settings import Timing
from haagent.drill import due
from haagent.drill.kinds import Kind
from haagent.postgres.layout import SYNC_WAIT_S, Durability, Packaging, Rebuild, SyncPolicy
from haagent.postgres.layout import VERSIONS as POSTGRES_VERSIONS
from haagent.reach import ReachTimes
from haagent.resources.command import POSITION_MAX
from haagent.resources.health import Policy
from haagent.watchdog import Mode, WatchdogSettings

HEDGE_AFTER_NS = 2 * duration.UNITS_NS["s"]
"""Source: design, section 7."""
PROBE_TIMEOUT_NS = duration.UNITS_NS["s"]
"""A client that waits longer than this calls the service slow."""
BLACK_BOX_MIB = 256
"""Two to four days of heartbeats. Source: docs/black-box.md."""
WITNESS_TIMEOUT_NS = duration.UNITS_NS["s"] // 2
"""What there is between suspect_after and dead_after, with a margin."""
OBSERVER_PORT = 7073
LEASE_NS = 30 * duration.UNITS_NS["s"]
"""Longer than a fence takes; of a holder that died it keeps the other node so long."""
MOVE_WINDOW_NS = 10 * duration.UNITS_NS["m"]
RESOURCES_MAX = 32
STATUS = (100, 599)
"""Source: RFC 9110, 15."""


_DEFAULT = Timing()
_GROUP = Policy()
_REACH = ReachTimes()
_WATCHDOG = WatchdogSettings()


def _ns(seconds: float) -> int:
    return round(seconds * duration.UNITS_NS["s"])


Name = Annotated[str, PlainValidator(forms.name)]
InterfaceName = Annotated[str, PlainValidator(values.interface)]
Host = Annotated[Address, PlainValidator(forms.address_of_one)]
Location = Annotated[str, PlainValidator(forms.location)]
Port = Annotated[int, Field(ge=1, le=65535)]
Argv = Annotated[tuple[str, ...], PlainValidator(values.argv)]
Texts = Annotated[dict[str, str], PlainValidator(values.texts)]
Limit = Annotated[int | None, PlainValidator(forms.span("100ms", "1h"))]
Status = Annotated[int, Field(ge=STATUS[0], le=STATUS[1])]
Interval = Annotated[int | None, PlainValidator(values.interval)]
DrillKind = Annotated[Kind | None, PlainValidator(values.drill)]
Hours = Annotated[tuple[due.Hours, ...], PlainValidator(values.hours)]
Blackouts = Annotated[tuple[due.Blackout, ...], PlainValidator(values.blackouts)]
Logins = Annotated[Mapping[str, str], PlainValidator(values.writes)]
DayOrMore = Annotated[int, PlainValidator(forms.span("1d", "400d"))]
UpToQuarter = Annotated[int, PlainValidator(forms.span("0s", "90d"))]
DrillBudget = Annotated[int, PlainValidator(forms.span("100ms", "1d"))]


class Table(BaseModel):
    """A table of the file: unknown keys are refused, nothing is coerced."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TopTable(Table):
    """The file itself; its tables are read one by one, so that one error does not hide others."""

    cluster: Name
    key: Any
    timing: Any = None
    agent: Any = None
    network: Any = None
    node: Any
    link: Any
    fence: Any
    group: Any
    hooks: Any = None
    watchdog: Any = None
    metrics: Any = None
    witness: Any = None
    alert: Any = None
    drill: Any = None


class KeyTable(Table):
    """Form of [key]."""

    send: Annotated[int, Field(ge=0, le=255)]
    files: Annotated[dict[str, Location], Field(min_length=1, max_length=8)]


class TimingTable(Table):
    """Form of [timing]; nanoseconds once read."""

    interval: Annotated[int, PlainValidator(forms.span("10ms", "2s"))] = _DEFAULT.interval_ns
    suspect_after: Annotated[int, PlainValidator(forms.span("20ms", "5m"))] = (
        _DEFAULT.suspect_after_ns
    )
    dead_after: Annotated[int, PlainValidator(forms.span("30ms", "10m"))] = _DEFAULT.dead_after_ns
    serving_grace: Annotated[int, PlainValidator(forms.span("0s", "1h"))] = (
        _DEFAULT.serving_grace_ns
    )
    fence_delay: Annotated[int, PlainValidator(forms.span("0s", "5m"))] = _DEFAULT.fence_delay_ns
    fence_retry: Annotated[int, PlainValidator(forms.span("100ms", "1h"))] = _DEFAULT.fence_retry_ns
    max_fences: Annotated[int, Field(ge=1, le=100)] = _DEFAULT.max_fences
    fence_window: Annotated[int, PlainValidator(forms.span("1s", "7d"))] = _DEFAULT.fence_window_ns
    lone_start: Literal["wait", "fence"] = "wait"
    lone_start_after: Annotated[int | None, PlainValidator(forms.span("1s", "1d"))] = None
    power_on_retry: Annotated[int, PlainValidator(forms.span("100ms", "1h"))] = (
        _DEFAULT.power_on_retry_ns
    )
    hedge_after: Annotated[int, PlainValidator(forms.span("0s", "5m"))] = HEDGE_AFTER_NS
    stop_budget: Annotated[int, PlainValidator(forms.span("100ms", "1h"))] = _DEFAULT.stop_budget_ns


class AgentTable(Table):
    """Form of [agent]."""

    state_dir: Annotated[str, PlainValidator(forms.absolute_path)] = "/var/lib/haagent"
    control_socket: Annotated[str, PlainValidator(values.socket_path)] = "/run/haagent/control.sock"
    log: LogFormat = "json"
    log_level: LogLevel = "info"
    black_box_mib: Annotated[int, Field(ge=0, le=65536)] = BLACK_BOX_MIB


class NetworkTable(Table):
    """Form of [network]."""

    references: Annotated[list[Host], Field(max_length=8)] = []
    neighbours: Annotated[list[Host], Field(max_length=8)] = []
    reference_interval: Annotated[int, PlainValidator(forms.span("200ms", "1m"))] = _ns(
        _REACH.reference_interval_s
    )
    reference_failures: Annotated[int, Field(ge=2, le=100)] = _REACH.failures
    reference_successes: Annotated[int, Field(ge=2, le=100)] = _REACH.successes
    carrier_hold: Annotated[int, PlainValidator(forms.span("0s", "1m"))] = _ns(
        _REACH.carrier_hold_s
    )


class WatchdogTable(Table):
    """Form of [watchdog]."""

    mode: Mode = _WATCHDOG.mode
    identity: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    timeout: Annotated[int, PlainValidator(forms.span("5s", "60s"))] = _ns(_WATCHDOG.timeout_s)
    fence: bool = _WATCHDOG.fence
    unfed_after: Annotated[int, PlainValidator(forms.span("5s", "60s"))] = _ns(
        _WATCHDOG.unfed_after_s
    )


class NodeTable(Table):
    """Form of [[node]]."""

    name: Name


class LinkTable(Table):
    """Form of [[link]], without the two tables that carry the nodes' names."""

    name: Name
    kind: Literal["switched", "direct"]
    transport: Literal["multicast", "unicast"] = "multicast"
    group: Annotated[Address | None, PlainValidator(values.group_address)] = None
    port: Port = 7072


class LinkEndTable(Table):
    """One node's end of a link, e.g. { interface = "eth0", address = "192.0.2.11" }."""

    interface: InterfaceName
    address: Host


class VipTable(Table):
    """Form of [[group.vip]]."""

    address: Annotated[Interface, PlainValidator(values.vip_address)]
    interface: dict[str, InterfaceName] | None = None


class ProbeTable(Table):
    """Form of a probe, e.g. { tcp = "192.0.2.10:80" }: one of tcp, http and command."""

    tcp: Annotated[tuple[str, int] | None, PlainValidator(values.tcp)] = None
    http: Annotated[Url | None, PlainValidator(values.url)] = None
    command: Annotated[tuple[str, ...] | None, PlainValidator(values.argv)] = None
    resource: str | None = None
    interval: Interval = None
    timeout: Annotated[int, PlainValidator(forms.span("50ms", "5s"))] = PROBE_TIMEOUT_NS
    status: Annotated[list[Status] | None, Field(min_length=1, max_length=32)] = None
    body: Annotated[str | None, PlainValidator(values.short_text(1024))] = None
    pattern: Annotated[str | None, PlainValidator(values.short_text(1024))] = None
    host: Annotated[str | None, PlainValidator(values.short_text(255))] = None
    server_name: Annotated[str | None, PlainValidator(values.short_text(255))] = None
    ca_file: Annotated[str | None, PlainValidator(forms.absolute_path)] = None


class GroupTable(Table):
    """Form of [[group]]; its resources are read one by one, each by the form of its kind."""

    name: Name
    preferred: Name | None = None
    failback: Annotated[str | int, PlainValidator(values.failback)] = "never"
    max_lag: Annotated[int | None, Field(ge=0, le=POSITION_MAX)] = None
    max_moves: Annotated[int, Field(ge=1, le=100)] = 6
    move_window: Annotated[int, PlainValidator(forms.span("1s", "7d"))] = MOVE_WINDOW_NS
    failures: Annotated[int, Field(ge=1, le=100)] = _GROUP.failures
    restarts: Annotated[int | None, Field(ge=0, le=100)] = None
    restart_window: Annotated[int, PlainValidator(forms.span("1s", "7d"))] = (
        _GROUP.restart_window_ns
    )
    shared_storage: bool | None = None
    probe: ProbeTable | None = None
    resource: Annotated[list[Any], Field(max_length=RESOURCES_MAX)] = []
    vip: Annotated[list[VipTable], Field(max_length=32)] = []


class VipResourceTable(VipTable):
    """Form of a [[group.resource]] of kind "vip"."""

    kind: Literal["vip"]
    name: Name | None = None


class TimedTable(Table):
    """What every resource takes that is started and stopped by a program or by systemd."""

    name: Name | None = None
    start_timeout: Limit = None
    stop_timeout: Limit = None
    monitor_timeout: Limit = None
    interval: Interval = None


class SystemdTable(TimedTable):
    """Form of a [[group.resource]] of kind "systemd"."""

    kind: Literal["systemd"]
    unit: Annotated[str, PlainValidator(values.unit)]


class OcfTable(TimedTable):
    """Form of a [[group.resource]] of kind "ocf"; what is None is as the agent advises."""

    kind: Literal["ocf"]
    agent: Annotated[str, PlainValidator(values.agent)]
    parameters: Texts = {}
    promotable: bool = False
    check_level: Annotated[int, Field(ge=0, le=100)] = 0
    promote_timeout: Limit = None
    demote_timeout: Limit = None
    notify_timeout: Limit = None


class PostgresTable(TimedTable):
    """Form of a [[group.resource]] of kind "postgresql"."""

    kind: Literal["postgresql"]
    name: Name
    version: Annotated[int, Field(ge=POSTGRES_VERSIONS[0], le=POSTGRES_VERSIONS[1])]
    packaging: Packaging = "debian"
    cluster: Name = "main"
    data: Annotated[str | None, PlainValidator(forms.absolute_path)] = None
    configuration: Annotated[str | None, PlainValidator(forms.absolute_path)] = None
    programs: Annotated[str | None, PlainValidator(forms.absolute_path)] = None
    log: Annotated[str | None, PlainValidator(forms.absolute_path)] = None
    sockets: Annotated[str, PlainValidator(forms.absolute_path)] = "/var/run/postgresql"
    port: Port = 5432
    address: dict[str, Host]
    user: Name = "postgres"
    replication_user: Name = "replicator"
    passfile: Annotated[str | None, PlainValidator(forms.absolute_path)] = None
    conninfo: Annotated[str, PlainValidator(values.conninfo)] = ""
    rebuild: Rebuild = "never"
    durability: Durability = "async"
    sync_wait: Annotated[int, PlainValidator(forms.span("1s", "10m"))] = _ns(SYNC_WAIT_S)
    sync_policy: SyncPolicy = "block"


class CommandTable(TimedTable):
    """Form of a [[group.resource]] of kind "command"."""

    kind: Literal["command"]
    name: Name
    start: Argv
    stop: Argv
    monitor: Argv | None = None
    position: Argv | None = None
    environment: Texts = {}


ResourceTable = VipResourceTable | SystemdTable | OcfTable | PostgresTable | CommandTable
KINDS: Mapping[str, type[ResourceTable]] = MappingProxyType(
    {
        "vip": VipResourceTable,
        "systemd": SystemdTable,
        "ocf": OcfTable,
        "postgresql": PostgresTable,
        "command": CommandTable,
    }
)
"""Form of a [[group.resource]] by what stands under its `kind`."""


class CountedTable(Table):
    """What every [[witness]] takes."""

    name: Name
    timeout: Annotated[int, PlainValidator(forms.span("100ms", "1500ms"))] = WITNESS_TIMEOUT_NS
    unreachable: Literal["block", "ignore"] = "block"


class EtcdTable(CountedTable):
    """Form of a [[witness]] of kind "etcd"."""

    kind: Literal["etcd"]
    endpoints: Annotated[tuple[Url, ...], PlainValidator(values.endpoints)]
    server_name: Annotated[str | None, PlainValidator(values.short_text(255))] = None
    ca_file: Annotated[str | None, PlainValidator(forms.absolute_path)] = None
    cert_file: Annotated[str | None, PlainValidator(forms.absolute_path)] = None
    key_file: Annotated[str | None, PlainValidator(forms.absolute_path)] = None
    prefix: Annotated[str, PlainValidator(values.key_prefix)] = "/haagent"
    lease: Annotated[int, PlainValidator(forms.span("5s", "10m"))] = LEASE_NS


class ObserverTable(CountedTable):
    """Form of a [[witness]] of kind "observer"."""

    kind: Literal["observer"]
    address: Host
    port: Port = OBSERVER_PORT
    lease: Annotated[int, PlainValidator(forms.span("5s", "10m"))] = LEASE_NS


class ReferenceWitnessTable(CountedTable):
    """Form of a [[witness]] of kind "reference"."""

    kind: Literal["reference"]
    address: Host


WitnessTable = EtcdTable | ObserverTable | ReferenceWitnessTable
WITNESSES: Mapping[str, type[WitnessTable]] = MappingProxyType(
    {"etcd": EtcdTable, "observer": ObserverTable, "reference": ReferenceWitnessTable}
)
"""Form of a [[witness]] by what stands under its `kind`."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One value that is not of its form: its path in the table, itself, and what is wanted."""

    path: tuple[int | str, ...]
    value: object
    text: str
    kind: str
    """"missing", "extra_forbidden", or another of pydantic's error types."""


AnyTable = TypeVar("AnyTable", bound=Table)


def read_table(model: type[AnyTable], value: object) -> AnyTable | list[Mismatch]:
    """`value` as a table of this form, or everything that is wrong with it."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        return [_mismatch(detail) for detail in error.errors(include_url=False)]


def _mismatch(detail: ErrorDetails) -> Mismatch:
    own = detail.get("ctx", {}).get("error")
    text = str(own) if own is not None else detail["msg"].replace("Input should be", "must be")
    return Mismatch(detail["loc"], detail["input"], text, detail["type"])
