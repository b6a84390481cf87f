# SPDX-License-Identifier: GPL-2.0-or-later
"""What [drill] says of other tables."""

from __future__ import annotations

from haagent.config.document import Document
from haagent.config.findings import Findings
from haagent.config.schema import PostgresTable


def check_drill(document: Document, findings: Findings) -> None:
    """Report writes into what is no database that clients reach at an address."""
    if document.drill is None or "group" not in document.whole:
        return
    groups = {group.table.name: group for group in document.groups}
    for name in document.drill.table.writes:
        group = groups.get(name)
        if group is None:
            text = f"no group; one of {', '.join(groups)}"
        elif not any(isinstance(one.table, PostgresTable) for one in group.resources):
            text = "has no resource of kind postgresql to write to"
        elif not group.vips:
            text = "has no virtual address to write through"
        else:
            continue
        findings.error("drill.writes", name, text)
