# SPDX-License-Identifier: GPL-2.0-or-later
"""From the tables of a group to what this node starts, watches and stops of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any, assert_never

from fencing.config import duration
from fencing.drivers import cuts_power
from haagent.config.addresses import vip_interface
from haagent.config.document import Document, Entry, GroupEntry
from haagent.config.schema import (
    CommandTable,
    GroupTable,
    OcfTable,
    PostgresTable,
    ProbeTable,
    ResourceTable,
    SystemdTable,
    TimedTable,
    VipResourceTable,
    VipTable,
    read_table,
)
from haagent.config.settings import (
    VIPS_NAME,
    CommandSettings,
    CommandTarget,
    GroupPlan,
    HttpTarget,
    ProbeSettings,
    ResourceSettings,
    SystemdSettings,
    TcpTarget,
    VipSettings,
)
from haagent.core.settings import GroupSettings
from haagent.postgres.layout import TIMES as POSTGRES_TIMES
from haagent.postgres.layout import Layout, PostgresSettings, debian, pgdg
from haagent.resources import Times
from haagent.resources.command import Commands
from haagent.resources.health import Policy
from haagent.resources.ocf_settings import Limits, OcfSettings
from haagent.resources.process import ENDING_S
from haagent.vip import Vip

POSTGRES_MAX_LAG = 16 << 20
"""One segment of the log. Never none: without a limit, a copy of any age would serve."""
_LIMITS = ("start", "stop", "monitor", "promote", "demote", "notify")
"""Actions of an OCF agent whose limit has a key of its own, less "_timeout"."""


def name_of(table: ResourceTable) -> str:
    """What a resource is called: as the file says, or by what it is."""
    match table:
        case VipResourceTable():
            return table.name or str(table.address.ip)
        case SystemdTable():
            return table.name or table.unit
        case OcfTable():
            return table.name or table.agent.rpartition(":")[2]
        case CommandTable() | PostgresTable():
            return table.name
        case _:
            assert_never(table)


def plan(group: GroupEntry, document: Document, me: int) -> GroupPlan:
    """The group as node `me` (0 or 1) carries it; for a document without errors."""
    table = group.table
    resources = [_resource(entry, group, document, me) for entry in group.resources]
    if table.vip:
        vips = tuple(_vip(vip, document, me) for vip in table.vip)
        resources.append(VipSettings(VIPS_NAME, vips))
    return GroupPlan(
        name=table.name,
        resources=tuple(resources),
        policy=_policy(table, resources),
        probe=_probe(table.probe, resources) if table.probe is not None else None,
        failback=table.failback,
        shared_storage=shares_storage(table, document),
    )


def shares_storage(table: GroupTable, document: Document) -> bool:
    """As the file says; where the nodes have permissions, a group needs them unless it says no."""
    if table.shared_storage is not None:
        return table.shared_storage
    return not all(map(cuts_power, document.fences.tables))


def core_settings(table: GroupTable, preferred: int) -> GroupSettings:
    """The group as the decisions see it."""
    settings = GroupSettings(
        table.name,
        preferred,
        failback_after_ns=table.failback if isinstance(table.failback, int) else None,
        max_lag=_max_lag(table),
        max_moves=table.max_moves,
        move_window_ns=table.move_window,
    )
    sync = _synchronous(table)
    if sync is None:
        return settings
    goes_on = sync.sync_policy == "continue"
    return replace(settings, sync=True, sync_wait_ns=sync.sync_wait, sync_continue=goes_on)


def _synchronous(table: GroupTable) -> PostgresTable | None:
    """The database whose commits wait for the peer, if the group has one."""
    tables = (read_table(PostgresTable, one) for one in table.resource if isinstance(one, dict))
    found = (one for one in tables if isinstance(one, PostgresTable) and one.durability == "sync")
    return next(found, None)


def _max_lag(table: GroupTable) -> int | None:
    """As the file says; a replicated database always has a limit."""
    resources = (one for one in table.resource if isinstance(one, dict))
    replicated = any(one.get("kind") == "postgresql" for one in resources)
    return POSTGRES_MAX_LAG if table.max_lag is None and replicated else table.max_lag


def stop_s(group: GroupEntry) -> float:
    """How long the group's stop may take as far as the file says, seconds.

    Virtual addresses are left out: the kernel removes one within a millisecond.
    """
    probe = group.table.probe
    command = probe is not None and probe.command is not None
    return stop_sum_s((_stop_s(entry.table) for entry in group.resources), programs=command)


def stop_sum_s(stops_s: Iterable[float], *, programs: bool) -> float:
    """How long a group's stop may take, of the limits of its resources.

    Before the first one is stopped, what is just run for the group is ended: a monitor, a start or
    a probe, and that may hang. A stop itself ends well within its limit or not at all.

    Args:
        stops_s: 0 for a resource that runs no program.
        programs: Whether one is run for the group beside its resources.
    """
    total_s = sum(stops_s)
    return total_s + ENDING_S if total_s or programs else 0.0


def _stop_s(table: ResourceTable) -> float:
    match table:
        case VipResourceTable():
            return 0.0
        case OcfTable():
            return Limits(_ocf(table, "", ""), None).times().stop_s
        case SystemdTable() | CommandTable():
            return _times(table).stop_s
        case PostgresTable():
            return _times(table, POSTGRES_TIMES).stop_s
        case _:
            assert_never(table)


def _resource(
    entry: Entry[ResourceTable], group: GroupEntry, document: Document, me: int
) -> ResourceSettings:
    table, name = entry.table, name_of(entry.table)
    match table:
        case VipResourceTable():
            return VipSettings(name, (_vip(table, document, me),))
        case SystemdTable():
            return SystemdSettings(name, table.unit, _times(table))
        case OcfTable():
            return _ocf(table, group.table.name, document.node_names[me])
        case PostgresTable():
            return _postgres(table, document, me)
        case CommandTable():
            commands = Commands(
                table.start, table.stop, table.monitor, table.position, dict(table.environment)
            )
            return CommandSettings(name, commands, _times(table))
        case _:
            assert_never(table)


def _vip(table: VipTable, document: Document, me: int) -> Vip:
    if table.interface is None:
        interface = vip_interface(table, document.links, me)
    else:
        interface = table.interface[document.node_names[me]]
    assert interface is not None, "no error, and yet no interface"
    return Vip(table.address, interface)


def _times(table: TimedTable, default: Times | None = None) -> Times:
    default = default or Times()
    return Times(
        start_s=_seconds(table.start_timeout, default.start_s),
        stop_s=_seconds(table.stop_timeout, default.stop_s),
        monitor_s=_seconds(table.monitor_timeout, default.monitor_s),
        interval_s=_seconds(table.interval, default.interval_s),
    )


def _ocf(table: OcfTable, group: str, node: str) -> OcfSettings:
    given = {action: getattr(table, f"{action}_timeout") for action in _LIMITS}
    limits_s = {action: _s(value) for action, value in given.items() if value is not None}
    return OcfSettings(
        name=name_of(table),
        group=group,
        node=node,
        agent=table.agent,
        parameters=dict(table.parameters),
        promotable=table.promotable,
        limits_s=limits_s,
        interval_s=None if table.interval is None else _s(table.interval),
        check_level=table.check_level,
    )


def _postgres(table: PostgresTable, document: Document, me: int) -> PostgresSettings:
    names = document.node_names
    return PostgresSettings(
        name=table.name,
        node=names[me],
        peer=names[1 - me],
        layout=layout(table),
        address=table.address[names[me]],
        peer_address=table.address[names[1 - me]],
        port=table.port,
        user=table.user,
        replication_user=table.replication_user,
        passfile=None if table.passfile is None else Path(table.passfile),
        conninfo=table.conninfo,
        rebuild=table.rebuild,
        durability=table.durability,
        times=_times(table, POSTGRES_TIMES),
    )


def layout(table: PostgresTable) -> Layout:
    """The packages' own places, as far as the file names no others."""
    sockets = Path(table.sockets)
    if table.packaging == "debian":
        places = debian(table.version, table.cluster, sockets)
    else:
        places = pgdg(table.version, sockets)
    given = {key: getattr(table, key) for key in ("data", "configuration", "programs", "log")}
    paths: dict[str, Any] = {key: Path(text) for key, text in given.items() if text is not None}
    return replace(places, **paths)


def _policy(table: GroupTable, resources: list[ResourceSettings]) -> Policy:
    restarts = table.restarts
    if restarts is None:
        # Of addresses alone there is nothing that a restart could cure.
        started = any(not isinstance(one, VipSettings) for one in resources)
        restarts = Policy().restarts if started else 0
    return Policy(table.failures, restarts, table.restart_window)


def _probe(table: ProbeTable, resources: list[ResourceSettings]) -> ProbeSettings:
    started = [one.name for one in resources if not isinstance(one, VipSettings)]
    about = table.resource or (started[-1] if started else "")
    interval_s = None if table.interval is None else _s(table.interval)
    return ProbeSettings(_target(table), _s(table.timeout), about, interval_s)


def _target(table: ProbeTable) -> TcpTarget | HttpTarget | CommandTarget:
    if table.tcp is not None:
        host, port = table.tcp
        return TcpTarget(ip_address(host), port)
    if table.http is not None:
        return http_target(table)
    assert table.command is not None, "no error, and yet a probe of nothing"
    return CommandTarget(table.command)


def http_target(table: ProbeTable) -> HttpTarget:
    """What a probe with `http` asks for."""
    assert table.http is not None
    return HttpTarget(
        address=ip_address(table.http.host),
        port=table.http.port,
        target=table.http.target,
        tls=table.http.tls,
        host=table.host or "",
        server_name=table.server_name or "",
        ca_file=None if table.ca_file is None else Path(table.ca_file),
        statuses=None if table.status is None else frozenset(table.status),
        body=(table.body or "").encode(),
        pattern=table.pattern or "",
    )


def _seconds(value_ns: int | None, default_s: float) -> float:
    return default_s if value_ns is None else _s(value_ns)


def _s(value_ns: int) -> float:
    return value_ns / duration.UNITS_NS["s"]
