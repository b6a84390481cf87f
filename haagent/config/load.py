# SPDX-License-Identifier: GPL-2.0-or-later
"""From the file to one node's frozen `Configuration`, or to every reason why not."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from fencing import DeviceSettings, Secret
from fencing.config import duration
from fencing.config.problems import join
from fencing.config.secret_files import SecretFileError
from fencing.config.tables import read_secrets, settings, unusable
from haagent.config.checks import check
from haagent.config.document import Document, Entry, GroupEntry, read_document
from haagent.config.drill_table import drill_settings
from haagent.config.findings import Findings
from haagent.config.group_plans import core_settings, plan
from haagent.config.key_files import read_key
from haagent.config.schema import KeyTable, NetworkTable, Table, TimingTable
from haagent.config.settings import Configuration, Keys, LogSettings, ReachSettings
from haagent.config.watching import alerts, metrics
from haagent.config.watching_schema import HooksTable
from haagent.config.witness_plans import plan_witness
from haagent.core.settings import LinkSettings, PairSettings, Timing
from haagent.hooks import Hook, Occasion
from haagent.links import Link
from haagent.reach import ReachTimes, Reference
from haagent.vip import Vip
from haagent.watchdog import WatchdogSettings

HASH_BYTES = 16
"""Bytes of SHA-256 that travel in every frame (haagent.core.settings.PairSettings)."""


def load(path: Path, node: str | None) -> Configuration:
    """The configuration of `path` as the node called `node` uses it.

    Args:
        path: The TOML file, the same on both nodes.
        node: This node's name; None: the host name decides, with or without its domain.

    Raises:
        ConfigurationError: every reason at once, one line each.
    """
    findings = Findings(path)
    document = read_document(path, findings)
    check(document, findings)
    keys = read_keys(document.key, path.parent, findings) if document.key else None
    secrets, unreadable = read_secrets(document.fences.secrets, path.parent)
    for problem in unreadable:
        findings.add(problem)
    receivers = alerts(document, path.parent, findings)
    me = _number(document, node, findings)
    findings.raise_errors()
    assert keys is not None, "no error, and yet no keys"
    assert me is not None, "no error, and yet no node"
    configuration = _configuration(document, me, keys, secrets, tuple(findings.warnings))
    return replace(configuration, alerts=receivers)


@dataclass(frozen=True, slots=True)
class Places:
    """Where what a node holds is found: all that there is to know of it without a secret."""

    vips: Mapping[str, tuple[Vip, ...]]
    """By group."""
    state_dir: Path
    control_socket: Path


def load_places(path: Path, node: str | None) -> Places:
    """As `load`, for who has no use for keys and passwords, and may not be able to read them.

    Raises:
        ConfigurationError: every reason at once, one line each.
    """
    findings = Findings(path)
    document = read_document(path, findings)
    check(document, findings)
    me = _number(document, node, findings)
    findings.raise_errors()
    assert document.agent is not None, "no error, and yet a table is missing"
    assert me is not None, "no error, and yet no node"
    plans = (plan(group, document, me) for group in document.groups)
    return Places(
        vips=MappingProxyType({one.name: one.vips for one in plans}),
        state_dir=Path(document.agent.table.state_dir),
        control_socket=Path(document.agent.table.control_socket),
    )


def read_keys(key: Entry[KeyTable], folder: Path, findings: Findings) -> Keys | None:
    """The secrets of [key]; what is wrong with one goes to `findings`."""
    secrets: dict[int, bytes] = {}
    for name, location in key.table.files.items():
        where = f"{key.where}.files.{join(name)}"
        if not (name.isascii() and name.isdecimal() and len(name) <= 3 and int(name) <= 255):
            findings.error(where, location, "its key id is not a number from 0 to 255; renumber")
            continue
        try:
            secret = read_key(location, folder)
        except SecretFileError as error:
            findings.add(unusable(where, location, folder, error))
            continue
        if int(name) in secrets:
            findings.error(where, location, f"a second file for key id {int(name)}; remove one")
        elif secret in secrets.values():
            findings.error(
                where, location, "holds a key listed already; a rotation needs a new one"
            )
        secrets[int(name)] = secret
    if str(key.table.send) not in key.table.files:
        text = f"no such key id in files; add {key.table.send} there or send another"
        findings.error(f"{key.where}.send", key.table.send, text)
    return Keys(key.table.send, MappingProxyType(secrets))


def _devices(
    document: Document, secrets: Mapping[str, Secret], node: str
) -> tuple[DeviceSettings, ...]:
    """What cuts the power of the node of that name."""
    tables = (table for table in document.fences.tables if table.node == node)
    return tuple(settings(table, secrets) for table in tables)


def _number(document: Document, node: str | None, findings: Findings) -> int | None:
    """Our own number; None with an error, or when the nodes themselves could not be read."""
    names = document.node_names
    if len(names) != 2 or "node" not in document.whole:
        return None
    if node is not None:
        if node in names:
            return names.index(node)
        findings.error("node", node, f"no node of this pair; --node {' or --node '.join(names)}")
        return None
    host = socket.gethostname()
    for candidate in (host, host.partition(".")[0]):
        if candidate in names:
            return names.index(candidate)
    text = f"the name of this host is no node of this pair; use --node {' or --node '.join(names)}"
    findings.error("node", host, text)
    return None


def _configuration(
    document: Document,
    me: int,
    keys: Keys,
    secrets: Mapping[str, Secret],
    warnings: tuple[str, ...],
) -> Configuration:
    assert document.agent is not None, "no error, and yet a table is missing"
    assert document.timing is not None, "no error, and yet a table is missing"
    assert document.network is not None, "no error, and yet a table is missing"
    assert document.cluster is not None, "no error, and yet no cluster"
    agent = document.agent.table
    first, second = document.node_names
    assert document.hooks is not None, "no error, and yet a table is missing"
    assert document.watchdog is not None, "no error, and yet a table is missing"
    assert document.metrics is not None, "no error, and yet a table is missing"
    assert document.drill is not None, "no error, and yet a table is missing"
    watchdog = document.watchdog.table
    groups = tuple(plan(group, document, me) for group in document.groups)
    everything = tuple(vip for group in groups for vip in group.vips)
    return Configuration(
        cluster=document.cluster,
        node_names=(first, second),
        pair=_pair(document, me),
        links=_links(document, me),
        keys=keys,
        vips=MappingProxyType({group.name: group.vips for group in groups}),
        devices=(_devices(document, secrets, first), _devices(document, secrets, second)),
        hedge_after_s=document.timing.table.hedge_after / duration.UNITS_NS["s"],
        groups=groups,
        reach=_reach(document.network.table, everything),
        hooks=MappingProxyType(_hooks(document.hooks.table)),
        watchdog=WatchdogSettings(
            watchdog.mode,
            watchdog.identity or "",
            watchdog.timeout // duration.UNITS_NS["s"],
            watchdog.fence,
            watchdog.unfed_after // duration.UNITS_NS["s"],
        ),
        metrics=metrics(document.metrics.table),
        witnesses=tuple(plan_witness(entry.table) for entry in document.witnesses),
        state_dir=Path(agent.state_dir),
        control_socket=Path(agent.control_socket),
        log=LogSettings(format=agent.log, level=agent.log_level),
        black_box_mib=agent.black_box_mib,
        warnings=warnings,
        drill=drill_settings(document.drill.table),
    )


def _pair(document: Document, me: int) -> PairSettings:
    assert document.timing is not None, "no error, and yet a table is missing"
    names = document.node_names
    return PairSettings(
        me=me,
        groups=tuple(
            core_settings(group.table, names.index(group.table.preferred or names[0]))
            for group in document.groups
        ),
        links=tuple(
            LinkSettings(link.table.name, link.table.kind == "switched") for link in document.links
        ),
        timing=_timing(document.timing.table),
        configuration_hash=_hash(document),
        witnessed=bool(document.witnesses),
    )


def _timing(table: TimingTable) -> Timing:
    return Timing(
        interval_ns=table.interval,
        suspect_after_ns=table.suspect_after,
        dead_after_ns=table.dead_after,
        serving_grace_ns=table.serving_grace,
        fence_delay_ns=table.fence_delay,
        fence_retry_ns=table.fence_retry,
        max_fences=table.max_fences,
        fence_window_ns=table.fence_window,
        lone_start_after_ns=table.lone_start_after,
        power_on_retry_ns=table.power_on_retry,
        stop_budget_ns=table.stop_budget,
    )


def _links(document: Document, me: int) -> tuple[Link, ...]:
    links = []
    for link in document.links:
        mine, theirs = link.ends[me], link.ends[1 - me]
        assert mine is not None, "no error, and yet half a link"
        assert theirs is not None, "no error, and yet half a link"
        links.append(
            Link(
                name=link.table.name,
                interface=mine.table.interface,
                address=mine.table.address,
                peer_address=theirs.table.address,
                group=link.table.group,
                port=link.table.port,
                switched=link.table.kind == "switched",
            )
        )
    return tuple(links)


def _reach(table: NetworkTable, vips: tuple[Vip, ...]) -> ReachSettings:
    """Whom to ask; a neighbour on the interface of the address in whose subnet it lies."""
    echo = [Reference(address) for address in table.references]
    neighbours = [
        Reference(address, next(vip.interface for vip in vips if address in vip.address.network))
        for address in table.neighbours
    ]
    times = ReachTimes(
        reference_interval_s=table.reference_interval / duration.UNITS_NS["s"],
        failures=table.reference_failures,
        successes=table.reference_successes,
        carrier_hold_s=table.carrier_hold / duration.UNITS_NS["s"],
    )
    return ReachSettings((*echo, *neighbours), times)


def _hooks(table: HooksTable) -> dict[Occasion, Hook]:
    given = {occasion: getattr(table, occasion.value) for occasion in Occasion}
    timeout_s = table.timeout / duration.UNITS_NS["s"]
    return {occasion: Hook(argv, timeout_s) for occasion, argv in given.items() if argv is not None}


def _hash(document: Document) -> bytes:
    """Hash of what must be equal on both nodes, blind to how it is written.

    Left out: keys and passwords (a rotation does not reach both nodes at once), everything of
    [agent] and [watchdog], which each node may have its own way, but for the watchdogs' being a
    fence, and [hooks], [metrics], [[alert]] and [drill], which decide nothing. Left out too are
    values that equal the default, so that a release with a new key agrees with the one before.
    """
    assert document.timing is not None, "no error, and yet a table is missing"
    assert document.network is not None, "no error, and yet a table is missing"
    ends = [end.table for link in document.links for end in link.ends if end is not None]
    shared = {
        "cluster": document.cluster,
        "nodes": document.node_names,
        "timing": _plain(document.timing.table),
        "network": _plain(document.network.table),
        "links": [_plain(link.table) for link in document.links],
        "ends": [_plain(end) for end in ends],
        "fences": [fence.shared() for fence in document.fences.tables],
        "groups": [_group(group) for group in document.groups],
    }
    if document.witnesses:
        shared["witnesses"] = [_plain(entry.table) for entry in document.witnesses]
    if document.watchdog is not None and document.watchdog.table.fence:
        shared["watchdog"] = {"unfed_after": document.watchdog.table.unfed_after}
    text = json.dumps(shared, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).digest()[:HASH_BYTES]


def _plain(table: Table) -> dict[str, object]:
    return table.model_dump(exclude_defaults=True)


def _group(group: GroupEntry) -> dict[str, object]:
    shared = _plain(group.table)
    if group.resources:
        # As they were read, since a duration may be written in many ways.
        shared["resource"] = [_plain(entry.table) for entry in group.resources]
    return shared
