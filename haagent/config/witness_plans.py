# SPDX-License-Identifier: GPL-2.0-or-later
"""[[witness]]: what the tables mean, and what of them does not fit."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import assert_never

from fencing.config import duration
from fencing.config.problems import ABSENT
from haagent.config.document import Document
from haagent.config.findings import Findings
from haagent.config.schema import (
    EtcdTable,
    ObserverTable,
    ReferenceWitnessTable,
    WitnessTable,
)
from haagent.config.values import Url
from haagent.witness.majority import exclusive
from haagent.witness.settings import (
    EtcdSettings,
    ObserverSettings,
    ReferenceSettings,
    WitnessPlan,
)

TLS_ONLY = ("server_name", "ca_file", "cert_file", "key_file")
CHOOSING = (EtcdTable, ObserverTable)
"""Kinds that agree to one node at a time."""


def plan_witness(table: WitnessTable) -> WitnessPlan:
    """What a checked [[witness]] says."""
    target: EtcdSettings | ObserverSettings | ReferenceSettings
    match table:
        case EtcdTable():
            target = _etcd(table)
        case ObserverTable():
            target = ObserverSettings(table.address, table.port, table.lease)
        case ReferenceWitnessTable():
            target = ReferenceSettings(table.address)
        case _:
            assert_never(table)
    ignored = table.unreachable == "ignore"
    return WitnessPlan(table.name, target, table.timeout / duration.UNITS_NS["s"], ignored)


def _etcd(table: EtcdTable) -> EtcdSettings:
    return EtcdSettings(
        endpoints=tuple((ip_address(url.host), url.port) for url in table.endpoints),
        tls=table.endpoints[0].tls,
        prefix=table.prefix,
        lease_s=table.lease // duration.UNITS_NS["s"],
        server_name=table.server_name or "",
        ca_file=_path(table.ca_file),
        cert_file=_path(table.cert_file),
        key_file=_path(table.key_file),
    )


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def check_witnesses(document: Document, findings: Findings) -> None:
    """Report what of the witnesses is inconsistent or unwise."""
    for entry in document.witnesses:
        if isinstance(entry.table, EtcdTable):
            _check_etcd(entry.where, entry.table, findings)
        if isinstance(entry.table, CHOOSING):
            _check_lease(entry.where, entry.table.lease, document, findings)
    choosing = [isinstance(entry.table, CHOOSING) for entry in document.witnesses]
    if any(choosing) and not exclusive(choosing) and "witness" in document.whole:
        text = (
            "those that choose one node can be outvoted by references: both nodes may get their "
            "consent, and fence_delay alone keeps them apart; add one that chooses"
        )
        findings.warning("witness", len(choosing), text)


def _check_etcd(where: str, table: EtcdTable, findings: Findings) -> None:
    tls = {url.tls for url in table.endpoints}
    if len(tls) > 1:
        text = "some with https and some without; use one for all"
        findings.error(f"{where}.endpoints", _shown(table.endpoints), text)
    for key in TLS_ONLY:
        value = getattr(table, key)
        if value is not None and tls == {False}:
            findings.error(f"{where}.{key}", value, "is for https only; leave it out")
    if (table.cert_file is None) != (table.key_file is None):
        missing = "key_file" if table.key_file is None else "cert_file"
        text = "is missing; a client's certificate and its key belong together"
        findings.error(f"{where}.{missing}", ABSENT, text)
    if tls == {False}:
        text = "without TLS anybody on the way can forge a consent; use https and certificates"
        findings.warning(f"{where}.endpoints", _shown(table.endpoints), text)
    if table.lease % duration.UNITS_NS["s"]:
        text = 'a lease has whole seconds; such as "30s"'
        findings.error(f"{where}.lease", duration.render(table.lease), text)


def _check_lease(where: str, lease_ns: int, document: Document, findings: Findings) -> None:
    deadline_ns = max((fence.deadline_ns for fence in document.fences.tables), default=0)
    if lease_ns <= deadline_ns:
        text = "not above the longest deadline of a [[fence]]; the consent must outlast a fence"
        findings.error(f"{where}.lease", duration.render(lease_ns), text)


def _shown(urls: tuple[Url, ...]) -> str:
    return ", ".join(f"{'https' if url.tls else 'http'}://{url.host}:{url.port}" for url in urls)
