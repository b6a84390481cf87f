# SPDX-License-Identifier: GPL-2.0-or-later
"""What the configuration says of the witnesses."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path


@dataclass(frozen=True, slots=True)
class EtcdSettings:
    """A cluster of etcd v3."""

    endpoints: tuple[tuple[IPv4Address | IPv6Address, int], ...]
    tls: bool
    prefix: str
    lease_s: int
    server_name: str = ""
    ca_file: Path | None = None
    """None: the system's authorities."""
    cert_file: Path | None = None
    key_file: Path | None = None


@dataclass(frozen=True, slots=True)
class ReferenceSettings:
    """An address that must answer."""

    address: IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class ObserverSettings:
    """A machine on which `haagent observe` runs."""

    address: IPv4Address | IPv6Address
    port: int
    lease_ns: int


@dataclass(frozen=True, slots=True)
class WitnessPlan:
    """One [[witness]]."""

    name: str
    target: EtcdSettings | ObserverSettings | ReferenceSettings
    timeout_s: float
    """For one question of ours, however many questions it takes to answer it."""
    ignored: bool
    """While it does not answer, the majority is counted without it."""

    @property
    def kind(self) -> str:
        """As in the configuration."""
        match self.target:
            case EtcdSettings():
                return "etcd"
            case ObserverSettings():
                return "observer"
            case ReferenceSettings():
                return "reference"
