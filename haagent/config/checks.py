# SPDX-License-Identifier: GPL-2.0-or-later
"""What no single table can tell: whether the tables agree with each other and with safety."""

from __future__ import annotations

from fencing.config import duration
from fencing.config.problems import ABSENT, HIDDEN
from fencing.config.shared_devices import check_devices
from fencing.drivers import cuts_power
from haagent.config.addresses import check_addresses
from haagent.config.document import Document, Entry
from haagent.config.drill_checks import check_drill
from haagent.config.findings import Findings
from haagent.config.group_checks import check_groups
from haagent.config.permission_checks import check_permissions
from haagent.config.schema import LinkTable, TimingTable
from haagent.config.watchdog_checks import check_watchdog
from haagent.config.watching import check_watching
from haagent.config.witness_plans import check_witnesses

DEAD_INTERVALS_MIN = 3
"""Fewer, and two lost frames in a row would be a death. Source: design, section 6 (S6) and 7."""
SUSPECT_INTERVALS_MIN = 2


def check(document: Document, findings: Findings) -> None:
    """Report everything in `document` that is inconsistent, unsafe or unwise."""
    _check_names(document, findings)
    if document.timing is not None:
        _check_timing(document.timing, findings)
    _check_links(document, findings)
    _check_judgement(document, findings)
    _check_fences(document, findings)
    check_permissions(document, findings)
    check_groups(document, findings)
    check_watchdog(document, findings)
    check_witnesses(document, findings)
    check_addresses(document, findings)
    check_watching(document, findings)
    check_drill(document, findings)


def _check_names(document: Document, findings: Findings) -> None:
    lists = {
        "node": [(entry.where, entry.table.name) for entry in document.nodes],
        "link": [(entry.where, entry.table.name) for entry in document.links],
        "group": [(entry.where, entry.table.name) for entry in document.groups],
        "witness": [(entry.where, entry.table.name) for entry in document.witnesses],
    }
    for kind, names in lists.items():
        seen: set[str] = set()
        for where, name in names:
            if name.casefold() in seen:
                findings.error(f"{where}.name", name, f"a second {kind} of this name; rename one")
            seen.add(name.casefold())
    for node in document.nodes:
        if node.table.name in LinkTable.model_fields:
            text = "is also a key of [[link]], where nodes stand by name; rename the node"
            findings.error(f"{node.where}.name", node.table.name, text)


def _check_timing(timing: Entry[TimingTable], findings: Findings) -> None:
    table = timing.table

    def refuse(key: str, value_ns: int, text: str) -> None:
        findings.error(f"{timing.where}.{key}", duration.render(value_ns), text)

    least_ns = SUSPECT_INTERVALS_MIN * table.interval
    if table.suspect_after < least_ns:
        text = f"less than {SUSPECT_INTERVALS_MIN} intervals; at least {duration.render(least_ns)}"
        refuse("suspect_after", table.suspect_after, text)
    least_ns = DEAD_INTERVALS_MIN * table.interval
    if table.dead_after < least_ns:
        text = f"less than {DEAD_INTERVALS_MIN} intervals; at least {duration.render(least_ns)}"
        refuse("dead_after", table.dead_after, text)
    if table.suspect_after >= table.dead_after:
        text = "not before dead_after; evidence is gathered between the two, leave time for it"
        refuse("suspect_after", table.suspect_after, text)
    if table.fence_delay <= SUSPECT_INTERVALS_MIN * table.interval:
        text = "not above 2 intervals; both nodes could shoot at once, leave the first a start"
        refuse("fence_delay", table.fence_delay, text)
    if table.fence_window <= table.fence_retry:
        text = "not above fence_retry; max_fences would never be reached"
        refuse("fence_window", table.fence_window, text)
    _check_lone_start(timing, findings)


def _check_lone_start(timing: Entry[TimingTable], findings: Findings) -> None:
    table, where = timing.table, f"{timing.where}.lone_start_after"
    if table.lone_start == "fence" and table.lone_start_after is None:
        findings.error(where, ABSENT, 'is missing; lone_start = "fence" needs it, such as "5m"')
    if table.lone_start_after is None:
        return
    text = duration.render(table.lone_start_after)
    if table.lone_start == "wait":
        findings.error(where, text, 'without effect; write lone_start = "fence" or leave it out')
    if table.lone_start_after <= table.dead_after:
        findings.error(where, text, "not above dead_after; a booting peer must have its chance")


def _check_links(document: Document, findings: Findings) -> None:
    for link in document.links:
        table, where = link.table, f"{link.where}.group"
        if table.transport == "unicast" and table.group is not None:
            findings.error(where, table.group, "unicast has no group; leave one of the two out")
        if table.transport == "multicast" and table.group is None:
            text = 'is missing; group = "239.192.72.1", or transport = "unicast"'
            findings.error(where, ABSENT, text)
    for number, name in enumerate(document.node_names[:2]):
        seen: dict[str, str] = {}
        for link in document.links:
            end = link.ends[number]
            if end is None:
                continue
            nic = end.table.interface
            if nic in seen:
                text = f"carries link {seen[nic]} of {name} already; a second link needs its own"
                findings.error(f"{end.where}.interface", nic, text)
            seen.setdefault(nic, link.table.name)
    if "link" in document.whole and len(document.links) == 1:
        text = "the only link: one cable is all that stands between slow and dead; add a second"
        findings.warning(document.links[0].where, HIDDEN, text)


def _check_judgement(document: Document, findings: Findings) -> None:
    """Own connectivity is judged by references and switched links only (design, section 3)."""
    if document.network is None or "link" not in document.whole:
        return
    if document.network.table.references or document.network.table.neighbours:
        return
    if all(link.table.kind == "direct" for link in document.links):
        text = (
            "every link is direct: own connectivity must be judged by references or a switched "
            'link; add references = ["192.0.2.1"], such as the gateway'
        )
        findings.error("network.references", ABSENT, text)
    else:
        text = "none; an isolated node is known more surely by addresses that always answer"
        findings.warning("network.references", ABSENT, text)


def _check_fences(document: Document, findings: Findings) -> None:
    names = document.node_names
    for problem in check_devices(document.fences.tables):
        findings.add(problem)
    if "node" not in document.whole:
        return
    for fence in document.fences.tables:
        if fence.node not in names:
            text = f"no node; one of {', '.join(names)}"
            findings.error(f"{fence.where}.node", fence.node, text)
    if "fence" not in document.whole:
        return
    powers = list(filter(cuts_power, document.fences.tables))
    for node in document.nodes:
        if all(fence.node != node.table.name for fence in powers):
            text = "no fence device cuts its power; a takeover from it could never be proved safe"
            findings.error(node.where, node.table.name, f"{text}, add a [[fence]]")
