# SPDX-License-Identifier: GPL-2.0-or-later
"""The file, read: every table on its own, so that an error in one does not hide another's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from fencing.config.device_table import FenceTables, read_fences
from fencing.config.options import looks_secret, secret_advice
from fencing.config.problems import ABSENT, HIDDEN, Problem, entry_paths, join, nearest
from fencing.config.toml_file import read_toml
from haagent.config.drill_table import DrillTable
from haagent.config.findings import Findings
from haagent.config.schema import (
    KINDS,
    WITNESSES,
    AgentTable,
    AnyTable,
    GroupTable,
    KeyTable,
    LinkEndTable,
    LinkTable,
    Mismatch,
    NetworkTable,
    NodeTable,
    ResourceTable,
    TimingTable,
    TopTable,
    VipResourceTable,
    VipTable,
    WatchdogTable,
    WitnessTable,
    read_table,
)
from haagent.config.watching_schema import AlertTable, HooksTable, MetricsTable

LINKS_MAX = 8
GROUPS_MAX = 16
WITNESSES_MAX = 9
ALERTS_MAX = 8
_HIDDEN_KEYS = frozenset({"files", "parameters", "environment"})
"""Keys whose values are never shown."""

Some = TypeVar("Some")


@dataclass(frozen=True, slots=True)
class Entry(Generic[Some]):
    """A table that could be read, and its key path."""

    where: str
    table: Some


@dataclass(frozen=True, slots=True)
class LinkEntry:
    """A [[link]] and its two ends, in the order of the nodes."""

    where: str
    table: LinkTable
    ends: tuple[Entry[LinkEndTable] | None, Entry[LinkEndTable] | None]


@dataclass(frozen=True, slots=True)
class GroupEntry:
    """A [[group]] and those of its resources that could be read, in the order of their start."""

    where: str
    table: GroupTable
    resources: tuple[Entry[ResourceTable], ...]

    @property
    def complete(self) -> bool:
        """Whether every resource could be read."""
        return len(self.resources) == len(self.table.resource)

    @property
    def vips(self) -> tuple[Entry[VipTable], ...]:
        """Virtual addresses of both forms, in the order of their start."""
        among: list[Entry[VipTable]] = [
            Entry(entry.where, entry.table)
            for entry in self.resources
            if isinstance(entry.table, VipResourceTable)
        ]
        after = (
            Entry(f"{self.where}.vip.{join(f'#{number}')}", table)
            for number, table in enumerate(self.table.vip, start=1)
        )
        return (*among, *after)


@dataclass(frozen=True, slots=True)
class Document:
    """What could be read of the file: None, or missing in a tuple, what could not."""

    cluster: str | None
    key: Entry[KeyTable] | None
    timing: Entry[TimingTable] | None
    agent: Entry[AgentTable] | None
    network: Entry[NetworkTable] | None
    nodes: tuple[Entry[NodeTable], ...]
    links: tuple[LinkEntry, ...]
    fences: FenceTables
    groups: tuple[GroupEntry, ...]
    hooks: Entry[HooksTable] | None
    watchdog: Entry[WatchdogTable] | None
    metrics: Entry[MetricsTable] | None
    witnesses: tuple[Entry[WitnessTable], ...]
    alerts: tuple[Entry[AlertTable], ...]
    drill: Entry[DrillTable] | None
    whole: frozenset[str]
    """Lists ("node", "link", ...) of which every entry could be read: only of these may a
    check say that something is not there."""

    @property
    def node_names(self) -> tuple[str, ...]:
        """Names of the nodes that could be read; two if all is well."""
        return tuple(node.table.name for node in self.nodes)


def read_document(file: Path, findings: Findings) -> Document:
    """The tables of `file`; what is wrong with their form goes to `findings`."""
    raw = read_toml(file)
    if isinstance(raw, Problem):
        findings.add(raw)
        nothing = (None, None, None, None, None, (), (), read_fences({}), ())
        return Document(*nothing, None, None, None, (), (), None, frozenset())
    reader = _Reader(findings, set())
    reader.read(TopTable, raw, "")
    nodes = reader.entries("node", NodeTable, raw, (2, 2))
    names = tuple(node.table.name for node in nodes)
    cluster = raw.get("cluster")
    return Document(
        cluster=cluster if isinstance(cluster, str) else None,
        key=reader.table("key", KeyTable, raw) if "key" in raw else None,
        timing=reader.table("timing", TimingTable, raw),
        agent=reader.table("agent", AgentTable, raw),
        network=reader.table("network", NetworkTable, raw),
        nodes=nodes,
        links=reader.links(raw, names),
        fences=reader.fences(raw),
        groups=reader.groups(raw),
        hooks=reader.table("hooks", HooksTable, raw),
        watchdog=reader.table("watchdog", WatchdogTable, raw),
        metrics=reader.table("metrics", MetricsTable, raw),
        witnesses=reader.witnesses(raw),
        alerts=reader.entries("alert", AlertTable, raw, (0, ALERTS_MAX)),
        drill=reader.table("drill", DrillTable, raw),
        whole=frozenset(reader.whole),
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    findings: Findings
    whole: set[str]

    def read(
        self, model: type[AnyTable], value: object, where: str, names: tuple[str, ...] = ()
    ) -> AnyTable | None:
        """`value` as a table of that form; None once its problems are reported."""
        table = read_table(model, value)
        if not isinstance(table, list):
            return table
        for mismatch in table:
            self._report(mismatch, model, where, names)
        return None

    def table(
        self, key: str, model: type[AnyTable], raw: Mapping[str, object]
    ) -> Entry[AnyTable] | None:
        """The table at `key`; an absent one is all defaults."""
        table = self.read(model, raw.get(key, {}), key)
        return None if table is None else Entry(key, table)

    def entries(
        self, key: str, model: type[AnyTable], raw: Mapping[str, object], count: tuple[int, int]
    ) -> tuple[Entry[AnyTable], ...]:
        """The array of tables at `key`, of at least and at most `count` entries."""
        values = self._array(key, raw, count)
        paths = entry_paths(key, values)
        tables = [self.read(model, value, path) for value, path in zip(values, paths, strict=True)]
        entries = zip(paths, tables, strict=True)
        read = tuple(Entry(path, table) for path, table in entries if table is not None)
        if values and len(read) == len(values):
            self.whole.add(key)
        return read

    def groups(self, raw: Mapping[str, object]) -> tuple[GroupEntry, ...]:
        """Every [[group]], and each of its resources by the form of its kind."""
        groups = self.entries("group", GroupTable, raw, (1, GROUPS_MAX))
        return tuple(
            GroupEntry(group.where, group.table, self._resources(group)) for group in groups
        )

    def _resources(self, group: Entry[GroupTable]) -> tuple[Entry[ResourceTable], ...]:
        values: list[object] = group.table.resource
        read = []
        for value, path in zip(values, entry_paths("resource", values), strict=True):
            where = f"{group.where}.{path}"
            table = self._of_kind(value, where, KINDS, "resource", "[[group.resource]]")
            if table is not None:
                read.append(Entry(where, table))
        return tuple(read)

    def witnesses(self, raw: Mapping[str, object]) -> tuple[Entry[WitnessTable], ...]:
        """Every [[witness]] by the form of its kind; there may be none."""
        values = self._array("witness", raw, (0, WITNESSES_MAX))
        read = []
        for value, where in zip(values, entry_paths("witness", values), strict=True):
            table = self._of_kind(value, where, WITNESSES, "witness", "[[witness]]")
            if table is not None:
                read.append(Entry(where, table))
        if len(read) == len(values):
            self.whole.add("witness")
        return tuple(read)

    def _of_kind(
        self, value: object, where: str, kinds: Mapping[str, type[AnyTable]], noun: str, head: str
    ) -> AnyTable | None:
        """A table whose form depends on its `kind`."""
        if not isinstance(value, dict):
            self.findings.error(where, HIDDEN, f"not a table; write {head}")
            return None
        kind = value.get("kind")
        if not isinstance(kind, str) or kind not in kinds:
            given = value.get("kind", ABSENT)
            advice = nearest(kind, kinds, f"one of {', '.join(kinds)}")
            self.findings.error(f"{where}.kind", given, f"no kind of {noun}; {advice}")
            return None
        return self.read(kinds[kind], value, where)

    def fences(self, raw: Mapping[str, object]) -> FenceTables:
        """Every [[fence]], which fencing reads; that there is none is said with the top level."""
        fences = read_fences(raw)
        for problem in fences.problems:
            self.findings.add(problem)
        if fences.whole:
            self.whole.add("fence")
        return fences

    def links(self, raw: Mapping[str, object], names: tuple[str, ...]) -> tuple[LinkEntry, ...]:
        """Every [[link]], its ends taken apart from its own keys first."""
        values = self._array("link", raw, (1, LINKS_MAX))
        links: list[LinkEntry] = []
        for value, path in zip(values, entry_paths("link", values), strict=True):
            own = value
            if isinstance(value, dict):
                # While the names are in doubt, any table in a link may be a node's end.
                ends = {
                    key: end
                    for key, end in value.items()
                    if key in names or (len(names) < 2 and isinstance(end, dict))
                }
                own = {key: item for key, item in value.items() if key not in ends}
            table = self.read(LinkTable, own, path, names)
            if table is not None and isinstance(value, dict) and len(names) == 2:
                first, second = (self._end(value, name, path) for name in names)
                links.append(LinkEntry(path, table, (first, second)))
        if values and len(links) == len(values):
            self.whole.add("link")
        return tuple(links)

    def _end(self, link: Mapping[str, object], name: str, path: str) -> Entry[LinkEndTable] | None:
        where = f"{path}.{join(name)}"
        if name not in link:
            form = '{ interface = "eth0", address = "192.0.2.11" }'
            self.findings.error(where, ABSENT, f"is missing; {name} = {form}")
            return None
        table = self.read(LinkEndTable, link[name], where)
        return None if table is None else Entry(where, table)

    def _array(self, key: str, raw: Mapping[str, object], count: tuple[int, int]) -> list[object]:
        least, most = count
        value = raw.get(key)
        if key not in raw:
            return []
        if not isinstance(value, list):
            self.findings.error(key, value, f"not an array of tables; write [[{key}]]")
            return []
        if not least <= len(value) <= most:
            wanted = f"{least}" if least == most else f"{least} to {most}"
            self.findings.error(key, value, f"{len(value)} entries; {wanted} [[{key}]] are needed")
        return value[:most]

    def _report(
        self, mismatch: Mismatch, model: type[AnyTable], where: str, names: tuple[str, ...]
    ) -> None:
        path = join(*(f"#{part + 1}" if isinstance(part, int) else part for part in mismatch.path))
        full = f"{where}.{path}" if where and path else where or path
        if mismatch.kind == "missing":
            self.findings.error(full, ABSENT, "is missing; docs/configuration.md has an example")
        elif mismatch.kind == "extra_forbidden":
            # What stands under an unknown key may be a password in the wrong place.
            known = (*model.model_fields, *names) if len(mismatch.path) == 1 else ()
            self.findings.error(full, HIDDEN, f"unknown key; {_advice(mismatch.path[-1], known)}")
        else:
            # A key may stand where the path of its file belongs, a password in a parameter.
            hidden = not _HIDDEN_KEYS.isdisjoint(mismatch.path)
            self.findings.error(full, HIDDEN if hidden else mismatch.value, mismatch.text)


def _advice(key: int | str, known: tuple[str, ...]) -> str:
    if looks_secret(str(key)):
        return secret_advice(str(key))
    return nearest(key, known, "docs/configuration.md lists every key")
