# SPDX-License-Identifier: GPL-2.0-or-later
"""What a disk's permission needs beside it: both nodes on each disk, and something that proves."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from fencing.config.device_table import DeviceTable
from fencing.config.problems import HIDDEN
from fencing.drivers import cuts_power
from haagent.config.document import Document
from haagent.config.findings import Findings
from haagent.config.group_plans import name_of, shares_storage
from haagent.config.settings import PERMISSION_NAME

STABLE = ("/dev/disk/", "/dev/mapper/")
"""Where a disk has a name that is the same after each boot, and on both nodes."""


def check_permissions(document: Document, findings: Findings) -> None:
    """Report what is inconsistent, unsafe or unwise about permissions; see docs/adr/0018."""
    if "fence" not in document.whole or "node" not in document.whole:
        return
    permissions = [one for one in document.fences.tables if not cuts_power(one)]
    for permission in permissions:
        _check_disk(permission, permissions, document.node_names, findings)
    _check_levels(document, findings)
    _check_groups(permissions, document, findings)


def _check_disk(
    permission: DeviceTable,
    permissions: Sequence[DeviceTable],
    nodes: Sequence[str],
    findings: Findings,
) -> None:
    disk = str(permission.options["disk"])
    where = f"{permission.where}.options.disk"
    have = {one.node for one in permissions if one.options["disk"] == disk}
    for node in nodes:
        if node not in have:
            text = f"{node} has no key there, so it could not be let in; add its [[fence]]"
            findings.error(where, disk, text)
    if not disk.startswith(STABLE):
        text = "may be another disk after a boot, or on the other node; use /dev/disk/by-id/..."
        findings.warning(where, disk, text)


def _check_levels(document: Document, findings: Findings) -> None:
    """A node without its disk runs on, with its address and whatever it has in memory (S2)."""
    if document.watchdog is not None and document.watchdog.table.fence:
        return  # It is cut off at once, and its own watchdog ends it; only that is the proof.
    by_level = sorted(document.fences.tables, key=_place)
    for _, level in groupby(by_level, key=_place):
        devices = list(level)
        if not any(map(cuts_power, devices)):
            text = (
                "only permissions: a node that lost its disk may run on, so this level proves "
                "nothing; give it the level of a device that cuts the node's power"
            )
            findings.error(f"{devices[0].where}.level", devices[0].level, text)


def _place(table: DeviceTable) -> tuple[str, int]:
    return table.node, table.level


def _check_groups(
    permissions: Sequence[DeviceTable], document: Document, findings: Findings
) -> None:
    for group in document.groups:
        if group.table.shared_storage and not permissions:
            text = 'no [[fence]] has driver = "permission"; add one for each node, or leave it out'
            findings.error(f"{group.where}.shared_storage", "true", text)
        for entry in group.resources:
            taken = name_of(entry.table) == PERMISSION_NAME
            if taken and shares_storage(group.table, document):
                text = "this node's own keys are shown so; give it another name"
                findings.error(f"{entry.where}.name", PERMISSION_NAME, text)
    stands = any(shares_storage(group.table, document) for group in document.groups)
    if permissions and document.groups and not stands:
        text = "no group stands on it: each has shared_storage = false"
        findings.warning(permissions[0].where, HIDDEN, text)
