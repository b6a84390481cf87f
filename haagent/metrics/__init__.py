# SPDX-License-Identifier: GPL-2.0-or-later
"""What a monitoring system is told: numbers, gathered only when somebody asks for them.

histogram, failovers: what is counted as it happens, for a few additions each.
families: the names and meanings of everything, made of the status and of these counts.
server, textfile: two ways out, both bounded; publisher opens those that are configured.
Only `families` and what imports it load prometheus_client, so an agent without [metrics] does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

LOCALHOST = IPv4Address("127.0.0.1")


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """Where the numbers are to be had; nowhere by default."""

    port: int | None = None
    """TCP port to serve them on; None: not served."""
    address: IPv4Address | IPv6Address = LOCALHOST
    """Of this node, or the unspecified one for all of them."""
    textfile: Path | None = None
    """File for node_exporter's textfile collector; None: not written."""
    textfile_every_s: float = 15.0
