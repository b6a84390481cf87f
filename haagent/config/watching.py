# SPDX-License-Identifier: GPL-2.0-or-later
"""[metrics] and [[alert]] as the agent uses them; they decide nothing, and are in no hash."""

from __future__ import annotations

from pathlib import Path

from fencing.config import duration
from fencing.config.problems import ABSENT, HIDDEN
from fencing.config.secret_files import SecretFileError, read_password
from fencing.config.tables import unusable
from haagent.alerts import Receiver, Severity, Webhook
from haagent.config import values
from haagent.config.document import Document, Entry
from haagent.config.findings import Findings
from haagent.config.watching_schema import AlertTable, MetricsTable
from haagent.errors import EdgeError
from haagent.metrics import LOCALHOST, MetricsSettings
from haagent.probes.stream import tls_context


def metrics(table: MetricsTable) -> MetricsSettings:
    """Where the metrics are to be had."""
    return MetricsSettings(
        port=table.port,
        address=LOCALHOST if table.address is None else table.address,
        textfile=None if table.textfile is None else Path(table.textfile),
        textfile_every_s=table.textfile_every / duration.UNITS_NS["s"],
    )


def alerts(document: Document, folder: Path, findings: Findings) -> tuple[Receiver, ...]:
    """Whom to tell. That its secrets can be read is looked at now; they are read again later.

    Args:
        document: What could be read of the file.
        folder: Of the file.
        findings: Gets what is wrong with the secrets.
    """
    return tuple(_receiver(entry, folder, findings) for entry in document.alerts)


def _receiver(entry: Entry[AlertTable], folder: Path, findings: Findings) -> Receiver:
    table = entry.table
    for key in ("url_file", "authorization_file"):
        location = getattr(table, key)
        if location is not None:
            _check_secret(f"{entry.where}.{key}", location, folder, findings)
    if table.ca_file is not None:
        try:
            tls_context(Path(table.ca_file))
        except EdgeError as error:
            findings.error(f"{entry.where}.ca_file", table.ca_file, str(error))
    target = table.command or Webhook(
        url=table.url or "",
        url_file=table.url_file or "",
        authorization_file=table.authorization_file or "",
        folder=folder.absolute(),
        ca_file=None if table.ca_file is None else Path(table.ca_file),
    )
    second_ns = duration.UNITS_NS["s"]
    return Receiver(
        table.name,
        target,
        Severity[table.severity.upper()],
        table.after / second_ns,
        table.timeout / second_ns,
    )


def _check_secret(where: str, location: str, folder: Path, findings: Findings) -> None:
    try:
        secret = read_password(location, folder)
    except SecretFileError as error:
        findings.add(unusable(where, location, folder, error))
        return
    try:
        text = secret.decode("ascii")
        if where.endswith("url_file"):
            values.webhook(text)
    except ValueError as error:  # UnicodeDecodeError is one, and has the secret in it.
        reason = "not ASCII" if isinstance(error, UnicodeError) else str(error)
        findings.error(where, HIDDEN, f"what it holds is not of use: {reason}")


def check_watching(document: Document, findings: Findings) -> None:
    """Report what is without effect, or cannot be meant."""
    if document.metrics is not None:
        table = document.metrics.table
        if table.address is not None and table.port is None:
            text = "without effect; a port is missing, such as port = 7073"
            findings.error("metrics.address", table.address, text)
    seen: set[str] = set()
    for entry in document.alerts:
        _check_alert(entry, findings)
        if entry.table.name.casefold() in seen:
            text = "a second alert of this name; rename one"
            findings.error(f"{entry.where}.name", entry.table.name, text)
        seen.add(entry.table.name.casefold())


def _check_alert(entry: Entry[AlertTable], findings: Findings) -> None:
    table, where = entry.table, entry.where
    ways = [key for key in ("command", "url", "url_file") if getattr(table, key) is not None]
    if len(ways) != 1:
        found = " and ".join(ways) or "none"
        findings.error(where, ABSENT, f"one of command, url and url_file is needed; found {found}")
    for key in ("authorization_file", "ca_file"):
        if "command" in ways and getattr(table, key) is not None:
            findings.error(f"{where}.{key}", HIDDEN, "without effect beside a command")
