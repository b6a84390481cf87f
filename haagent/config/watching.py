# SPDX-License-Identifier: GPL-2.0-or-later
"""[metrics] as the agent uses it; none of it decides anything, so it is not in the hash."""

from __future__ import annotations

from pathlib import Path

from fencing.config import duration
from haagent.config.document import Document
from haagent.config.findings import Findings
from haagent.config.schema import MetricsTable
from haagent.metrics import LOCALHOST, MetricsSettings


def metrics(table: MetricsTable) -> MetricsSettings:
    """Where the metrics are to be had."""
    return MetricsSettings(
        port=table.port,
        address=LOCALHOST if table.address is None else table.address,
        textfile=None if table.textfile is None else Path(table.textfile),
        textfile_every_s=table.textfile_every / duration.UNITS_NS["s"],
    )


def check_watching(document: Document, findings: Findings) -> None:
    """Report what is without effect."""
    if document.metrics is None:
        return
    table = document.metrics.table
    if table.address is not None and table.port is None:
        text = "without effect; a port is missing, such as port = 7073"
        findings.error("metrics.address", table.address, text)
