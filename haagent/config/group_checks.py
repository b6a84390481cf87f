# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether the groups, their resources and their probes agree with each other and with safety."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import ip_address

from fencing.config import duration
from fencing.config.problems import ABSENT, join
from haagent.config.document import Document, Entry, GroupEntry
from haagent.config.findings import Findings
from haagent.config.group_plans import layout, name_of, stop_s
from haagent.config.schema import (
    CommandTable,
    OcfTable,
    PostgresTable,
    ProbeTable,
    ResourceTable,
    SystemdTable,
    VipResourceTable,
)
from haagent.config.settings import PROBE_NAME, VIPS_NAME
from haagent.errors import EdgeError
from haagent.probes.http import HttpProbe
from haagent.probes.stream import check_server_name
from haagent.resources.process import ENDING_S

HTTP_ONLY = ("status", "body", "pattern", "host", "server_name", "ca_file")
TLS_ONLY = ("server_name", "ca_file")


def check_groups(document: Document, findings: Findings) -> None:
    """Report what is inconsistent, unsafe or unwise about any group."""
    for group in document.groups:
        _check_preferred(group, document, findings)
        _check_content(group, findings)
        _check_names(group, findings)
        _check_positions(group, findings)
        _check_promotable_first(group, findings)
        _check_postgres(group, document, findings)
        for entry in group.resources:
            _check_looks(entry, findings)
        if group.table.probe is not None:
            _check_probe(group, group.table.probe, findings)
    _check_shared(document, _units, "is {other} too; one unit serves one group, once", findings)
    text = "are those of {other} too; each server has its own"
    _check_shared(document, _data, text, findings)
    text = "group and name together read like {other}; rename one of the two"
    _check_shared(document, _instances, text, findings)
    _check_stop_budget(document, findings)


def _check_preferred(group: GroupEntry, document: Document, findings: Findings) -> None:
    preferred, names = group.table.preferred, document.node_names
    if preferred is not None and "node" in document.whole and preferred not in names:
        text = f"no node; one of {', '.join(names)}"
        findings.error(f"{group.where}.preferred", preferred, text)


def _check_content(group: GroupEntry, findings: Findings) -> None:
    if not group.table.vip and not group.table.resource:
        text = "holds nothing; add a [[group.resource]] or a [[group.vip]]"
        findings.error(group.where, group.table.name, text)
    elif group.complete and not group.vips:
        text = "holds no virtual address; clients would not notice a takeover"
        findings.warning(f"{group.where}.vip", ABSENT, text)


def _check_names(group: GroupEntry, findings: Findings) -> None:
    seen = {VIPS_NAME, PROBE_NAME}
    for entry in group.resources:
        name = name_of(entry.table)
        if name.casefold() in seen:
            text = "a second resource of this name in the group; give it a name of its own"
            findings.error(f"{entry.where}.name", name, text)
        seen.add(name.casefold())


def _check_positions(group: GroupEntry, findings: Findings) -> None:
    """At most one resource says how fresh the data is, and one does if anybody asks."""
    reporting = [entry for entry in group.resources if _has_position(entry.table)]
    # The operator's own command is asked before an agent's promotion score.
    reporting = reporting or [entry for entry in group.resources if _is_promotable(entry.table)]
    for entry in reporting[1:]:
        text = f"{reporting[0].where} reports a position already; a group has one"
        findings.error(entry.where, name_of(entry.table), text)
    if group.table.max_lag is not None and group.complete and not reporting:
        text = "without effect: no resource reports a position; see docs/configuration.md"
        findings.error(f"{group.where}.max_lag", group.table.max_lag, text)


def _check_promotable_first(group: GroupEntry, findings: Findings) -> None:
    """A promotable resource goes on running where the group is stopped, so it stands on nothing."""
    below = None
    for entry in group.resources:
        if _is_promotable(entry.table):
            if below is not None:
                text = (
                    "runs on the standby too, on what is stopped there: "
                    f"put it before {name_of(below.table)}"
                )
                findings.error(entry.where, name_of(entry.table), text)
        elif not isinstance(entry.table, VipResourceTable):
            below = below or entry


def _has_position(table: ResourceTable) -> bool:
    if isinstance(table, PostgresTable):
        return True
    return isinstance(table, CommandTable) and table.position is not None


def _is_promotable(table: ResourceTable) -> bool:
    if isinstance(table, PostgresTable):
        return True
    return isinstance(table, OcfTable) and table.promotable


def _check_looks(entry: Entry[ResourceTable], findings: Findings) -> None:
    """Whoever is not looked at is taken for alive as long as nobody complains."""
    table = entry.table
    if isinstance(table, CommandTable) and table.monitor is None:
        text = "none; its failure would be noticed by nobody, and its stop is believed"
        findings.warning(f"{entry.where}.monitor", ABSENT, text)
    elif isinstance(table, CommandTable | OcfTable | PostgresTable) and table.interval == 0:
        text = "never looked at, so its failure would be noticed by nobody"
        findings.warning(f"{entry.where}.interval", duration.render(0), text)


def _check_probe(group: GroupEntry, probe: ProbeTable, findings: Findings) -> None:
    where = f"{group.where}.probe"
    given = [key for key in ("tcp", "http", "command") if getattr(probe, key) is not None]
    if len(given) != 1:
        text = 'one of tcp, http and command is needed; such as { tcp = "192.0.2.10:80" }'
        findings.error(where, ABSENT, text)
        return
    if probe.interval == 0:
        text = "a probe that is never asked; leave the probe out"
        findings.error(f"{where}.interval", duration.render(0), text)
    _check_probed_resource(group, probe, findings)
    http = probe.http
    for key in HTTP_ONLY:
        if getattr(probe, key) is None:
            continue
        if http is None:
            findings.error(f"{where}.{key}", getattr(probe, key), "only for a probe with http")
        elif key in TLS_ONLY and not http.tls:
            findings.error(f"{where}.{key}", getattr(probe, key), "only for a probe of https")
    if http is not None and http.tls and probe.server_name is not None:
        try:
            check_server_name(probe.server_name)
        except EdgeError as error:
            findings.error(f"{where}.server_name", probe.server_name, str(error))
            return
    if http is not None:
        try:
            HttpProbe(
                ip_address(http.host),
                http.port,
                timeout_s=0,
                path=http.target,
                host=probe.host or "",
                server_name=probe.server_name or "",
            )
        except EdgeError as error:
            findings.error(f"{where}.http", http.target, str(error))


def _check_probed_resource(group: GroupEntry, probe: ProbeTable, findings: Findings) -> None:
    """A probe is asked when its resource is looked at, and a failure restarts that."""
    if not group.complete:
        return
    started = {
        name_of(entry.table): entry.table
        for entry in group.resources
        if not isinstance(entry.table, VipResourceTable)
    }
    if probe.resource is not None and probe.resource not in started:
        known = f"one of {', '.join(started)}" if started else "leave it out"
        text = f"no resource of this group that a restart could cure; {known}"
        findings.error(f"{group.where}.probe.resource", probe.resource, text)
    elif started:
        about = probe.resource or list(started)[-1]
        if started[about].interval == 0 and probe.interval is None:
            text = f'is missing; {about} is never looked at by itself, so give one, such as "10s"'
            findings.error(f"{group.where}.probe.interval", ABSENT, text)


def _units(group: GroupEntry) -> Iterator[tuple[str, str]]:
    for entry in group.resources:
        if isinstance(entry.table, SystemdTable):
            yield f"{entry.where}.unit", entry.table.unit


def _data(group: GroupEntry) -> Iterator[tuple[str, str]]:
    """Data directories: as the file says, or by what gives them their place."""
    for entry in group.resources:
        if isinstance(entry.table, PostgresTable):
            yield f"{entry.where}.data", str(layout(entry.table).data)


def _instances(group: GroupEntry) -> Iterator[tuple[str, str]]:
    """What OCF agents keep their notes under: "a.b" and "c", or "a" and "b.c"."""
    for entry in group.resources:
        if isinstance(entry.table, OcfTable):
            yield f"{entry.where}.name", f"{group.table.name}.{name_of(entry.table)}"


def _check_postgres(group: GroupEntry, document: Document, findings: Findings) -> None:
    for entry in group.resources:
        table = entry.table
        if not isinstance(table, PostgresTable) or "node" not in document.whole:
            continue
        where, names = f"{entry.where}.address", document.node_names
        if set(table.address) != set(names):
            form = ", ".join(f'{name} = "198.51.100.{i}"' for i, name in enumerate(names, 11))
            text = f"one address for each node is needed: {{ {form} }}"
            findings.error(where, sorted(table.address), text)
        elif len(set(table.address.values())) == 1:
            text = "both nodes have the same; it is the nodes' own, not the virtual address"
            findings.error(where, sorted(table.address), text)


def _check_shared(
    document: Document,
    claims: Callable[[GroupEntry], Iterator[tuple[str, str]]],
    text: str,
    findings: Findings,
) -> None:
    """Report what two resources claim, of all groups."""
    seen: dict[str, str] = {}
    for group in document.groups:
        for where, value in claims(group):
            if value in seen:
                findings.error(where, value, text.format(other=seen[value]))
            seen.setdefault(value, where)


def _check_stop_budget(document: Document, findings: Findings) -> None:
    """A stop within its own limits must never count as one that failed (S7)."""
    timing = document.timing
    if timing is None:
        return
    for group in document.groups:
        problem = short_budget(group.table.name, stop_s(group), timing.table.stop_budget)
        if problem:
            value = duration.render(timing.table.stop_budget)
            findings.error(f"{timing.where}.stop_budget", value, problem)


def short_budget(group: str, needed_s: float, budget_ns: int) -> str:
    """What is wrong with a budget for this stop; "" if it is long enough."""
    needed_ns = round(needed_s * duration.UNITS_NS["s"])
    if needed_ns <= budget_ns:
        return ""
    return (
        f"below the stop timeouts of {join('group', group)} together and "
        f'{ENDING_S:g} s to end what hangs; make it at least "{duration.render(needed_ns)}", '
        f"or them shorter"
    )
