# SPDX-License-Identifier: GPL-2.0-or-later
"""Certificates for BMCs of the bench, made when they are needed: no key is kept in the project."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate and its key, in one PEM file."""

    file: Path
    fingerprint: str
    """SHA-256 of the DER, hexadecimal."""


class Authority:
    """Signs certificates; `file` is what believes in them."""

    def __init__(self, directory: Path, name: str = "bench authority") -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._issued = 0
        begins = datetime.now(UTC) - timedelta(days=1)
        certificate = (
            _builder(self._name, self._name, self._key.public_key(), begins, 3650)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.file = directory / f"{name.replace(' ', '-')}.pem"
        self.file.write_bytes(certificate.public_bytes(Encoding.PEM))

    def issue(
        self, names: Sequence[str] = ("127.0.0.1",), *, days: float = 365, begins_days: float = -1
    ) -> Certificate:
        """Make a certificate for these addresses and names.

        Args:
            names: Its subject alternative names; the first is the common name too.
            days: From now until it ends; negative for one that has ended.
            begins_days: From now until it begins.
        """
        self._issued += 1
        key = ec.generate_private_key(ec.SECP256R1())
        begins = datetime.now(UTC) + timedelta(days=min(begins_days, days - 1))
        ends_days = days - min(begins_days, days - 1)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        certificate = (
            _builder(subject, self._name, key.public_key(), begins, ends_days)
            .add_extension(
                x509.SubjectAlternativeName([_general(name) for name in names]), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        file = self._directory / f"bmc-{id(self)}-{self._issued}.pem"
        file.touch(mode=0o600)
        file.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            + certificate.public_bytes(Encoding.PEM)
        )
        fingerprint = hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
        return Certificate(file, fingerprint)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    begins: datetime,
    days: float,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=days))
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
