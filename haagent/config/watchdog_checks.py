# SPDX-License-Identifier: GPL-2.0-or-later
"""[watchdog]: what of it does not fit, and what it takes to be a fence (S2 e)."""

from __future__ import annotations

from fencing.config import duration
from haagent.config.document import Document
from haagent.config.findings import Findings
from haagent.config.schema import WatchdogTable
from haagent.config.witness_plans import CHOOSING
from haagent.watchdog import SOFTWARE
from haagent.witness.majority import exclusive
from haagent.witness.panel import LOOK_OFTEN_S

INTERVALS_MIN = 3
"""Fewer, and one heartbeat that is late by as much as the next would reset the machine."""
LOOKS_MIN = 3
"""Fewer, and one lost answer of a witness could reset an active whose peer is down."""
S = duration.UNITS_NS["s"]


def check_watchdog(document: Document, findings: Findings) -> None:
    """Report what is inconsistent; the kernel counts in seconds, and the heartbeats feed it."""
    if document.watchdog is None or document.timing is None:
        return
    table, interval = document.watchdog.table, document.timing.table.interval
    for key in ("timeout", "unfed_after"):
        value = getattr(table, key)
        if value % S:
            text = 'a watchdog has whole seconds; such as "10s"'
            findings.error(f"watchdog.{key}", duration.render(value), text)
    if not table.timeout % S and table.timeout < INTERVALS_MIN * interval:
        least = duration.render(INTERVALS_MIN * interval)
        text = f"less than {INTERVALS_MIN} heartbeats, which feed it; at least {least}"
        findings.error("watchdog.timeout", duration.render(table.timeout), text)
    if table.fence:
        _check_fence(document, table, findings)


def _check_fence(document: Document, table: WatchdogTable, findings: Findings) -> None:
    """A proof of the peer's end: only hardware will do, and witnesses that stand by one node."""
    if table.mode != "required":
        text = 'only a watchdog that is always there proves anything; set mode = "required"'
        findings.error("watchdog.fence", "true", text)
    if table.identity == SOFTWARE:
        text = f'"{SOFTWARE}" dies with the kernel that it watches; name one that is hardware'
        findings.error("watchdog.fence", "true", text)
    if "witness" not in document.whole:
        return
    choosing = [isinstance(entry.table, CHOOSING) for entry in document.witnesses]
    if not exclusive(choosing):
        text = (
            "needs witnesses of which a majority can never agree to both nodes; "
            "add a [[witness]] that chooses (etcd or observer)"
        )
        findings.error("watchdog.fence", "true", text)
    slowest = max((entry.table.timeout for entry in document.witnesses), default=0)
    least = LOOKS_MIN * (round(LOOK_OFTEN_S * S) + slowest)
    if table.unfed_after < least:
        text = (
            f"less than {LOOKS_MIN} questions to the witnesses; at least {duration.render(least)}"
        )
        findings.error("watchdog.unfed_after", duration.render(table.unfed_after), text)
