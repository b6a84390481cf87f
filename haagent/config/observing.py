# SPDX-License-Identifier: GPL-2.0-or-later
"""The pair's configuration as one of its observers uses it: without passwords, of neither node."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from haagent.config.checks import check
from haagent.config.document import Document, read_document
from haagent.config.findings import Findings
from haagent.config.group_plans import plan
from haagent.config.load import read_keys
from haagent.config.schema import ObserverTable
from haagent.config.settings import CommandTarget, Keys, LogSettings, ProbeSettings


@dataclass(frozen=True, slots=True)
class ObserverConfiguration:
    """Everything one observer is told."""

    cluster: str
    node_names: tuple[str, str]
    keys: Keys
    name: str
    address: IPv4Address | IPv6Address
    port: int
    lease_ns: int
    dead_after_ns: int
    serving_grace_ns: int
    groups: tuple[str, ...]
    probes: tuple[tuple[str, ProbeSettings], ...]
    """By group, of those that can be asked from elsewhere: no programs."""
    log: LogSettings


def load_observer(path: Path, name: str | None) -> ObserverConfiguration:
    """The configuration of `path` as the observer called `name` uses it.

    Args:
        path: The pair's TOML file.
        name: Of its [[witness]]; None: the host name decides, with or without its domain.

    Raises:
        ConfigurationError: every reason at once, one line each.
    """
    findings = Findings(path)
    document = read_document(path, findings)
    check(document, findings)
    keys = read_keys(document.key, path.parent, findings) if document.key else None
    table = _table(document, name, findings)
    findings.raise_errors()
    assert keys is not None, "no error, and yet no keys"
    assert table is not None, "no error, and yet no observer"
    assert document.cluster is not None, "no error, and yet no cluster"
    assert document.timing is not None, "no error, and yet a table is missing"
    assert document.agent is not None, "no error, and yet a table is missing"
    first, second = document.node_names
    timing, agent = document.timing.table, document.agent.table
    plans = [plan(group, document, 0) for group in document.groups]
    return ObserverConfiguration(
        cluster=document.cluster,
        node_names=(first, second),
        keys=keys,
        name=table.name,
        address=table.address,
        port=table.port,
        lease_ns=table.lease,
        dead_after_ns=timing.dead_after,
        serving_grace_ns=timing.serving_grace,
        groups=tuple(group.name for group in plans),
        probes=tuple(
            (group.name, group.probe)
            for group in plans
            if group.probe is not None and not isinstance(group.probe.target, CommandTarget)
        ),
        log=LogSettings(format=agent.log, level=agent.log_level),
    )


def _table(document: Document, name: str | None, findings: Findings) -> ObserverTable | None:
    """The observer's own table; None with an error."""
    found = {
        entry.table.name: entry.table
        for entry in document.witnesses
        if isinstance(entry.table, ObserverTable)
    }
    host = socket.gethostname()
    for candidate in (name,) if name is not None else (host, host.partition(".")[0]):
        if candidate in found:
            return found[candidate]
    if "witness" in document.whole:
        known = ", ".join(found) or "none"
        text = f'no [[witness]] of kind "observer" is called so (there are: {known}); use --name'
        findings.error("witness", name or host, text)
    return None
