# SPDX-License-Identifier: GPL-2.0-or-later
"""The questions about what cuts each node's power."""

from __future__ import annotations

import hashlib
import socket
import ssl
from ipaddress import ip_address

from fencing.drivers import DRIVERS
from fencing.drivers.ipmi import PASSWORD_BYTES_MAX, USER_BYTES_MAX
from haagent.initial.answers import Address, BmcAnswer, PduAnswer
from haagent.initial.discovery import Machine
from haagent.initial.questions import agree, ask, choose, heading, hidden, say

OUTLET_MAX = 64
REDFISH_PORT = 443
CERTIFICATE_LIMIT_S = 5.0


def ask_power(
    machine: Machine, nodes: tuple[str, str]
) -> tuple[tuple[BmcAnswer, ...], tuple[PduAnswer, ...]]:
    """BMC, PDU or both of each node; at least one of each."""
    heading("Power")
    say("The standby switches a silent active off and reads it back, before it takes over.")
    if machine.bmc.present:
        where = ", ".join(map(str, machine.bmc.addresses))
        say(f"This machine has a BMC: {where or f'address not known: {machine.bmc.trouble}'}.")
    bmcs: list[BmcAnswer] = []
    pdus: list[PduAnswer] = []
    for node in nodes:
        while True:
            known = machine.bmc.addresses if node == nodes[0] else ()
            bmc = _bmc(node, known[:1], [str(one.address) for one in bmcs])
            pdu = _pdu(node, machine.serial_lines if node == nodes[1] else (), needed=bmc is None)
            if bmc or pdu:
                break
            say(f"Without either, nothing ever proves that {node} is off.")
        bmcs += [bmc] if bmc else []
        pdus += [pdu] if pdu else []
    return tuple(bmcs), tuple(pdus)


def _bmc(node: str, known: tuple[Address, ...], taken: list[str]) -> BmcAnswer | None:
    driver = choose(f"BMC of {node}: how it is spoken to", ("ipmi", "redfish", "none"), "ipmi")
    if driver == "none":
        return None
    address = ask(
        "  Its address", lambda said: _address(said, taken), str(known[0]) if known else None
    )
    user = ask("  User there, with the right to switch power", _user, "haagent")
    limit = PASSWORD_BYTES_MAX if driver == "ipmi" else 255
    password = hidden("  Password", lambda said: _password(said, limit))
    if driver == "ipmi":
        return BmcAnswer(node, "ipmi", address, user, password)
    return BmcAnswer(node, "redfish", address, user, password, _fingerprint(address))


def _address(said: str, taken: list[str]) -> Address:
    try:
        address = ip_address(said)
    except ValueError:
        raise ValueError("an IP address; name service is not relied on") from None
    if str(address) in taken:
        raise ValueError("that is the other node's BMC")
    return address


def _user(said: str) -> str:
    if not 0 < len(said.encode()) <= USER_BYTES_MAX:
        raise ValueError(f"1 to {USER_BYTES_MAX} bytes")
    return said


def _password(said: str, limit: int) -> str:
    if not said or len(said.encode()) > limit:
        raise ValueError(f"1 to {limit} bytes")
    return said


def _fingerprint(address: Address) -> str:
    """Of the certificate that is there now, if the operator says that it is the right one."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((str(address), REDFISH_PORT), CERTIFICATE_LIMIT_S) as line,
            context.wrap_socket(line) as secure,
        ):
            found = hashlib.sha256(secure.getpeercert(binary_form=True) or b"").hexdigest()
    except OSError as error:
        say(f"{address} shows no certificate now: {error.strerror or error}")
    else:
        say(f"It shows a certificate with the SHA-256 fingerprint {found}")
        if agree("  Is that its own? (Its own pages, or its serial console, say.)", default=False):
            return found
    return ask("  SHA-256 fingerprint of its certificate", _hexadecimal)


def _hexadecimal(said: str) -> str:
    plain = said.replace(":", "").lower()
    if len(plain) != 64 or set(plain) - set("0123456789abcdef"):
        raise ValueError("64 hexadecimal digits: openssl x509 -fingerprint -sha256")
    return plain


def _pdu(node: str, lines: tuple[str, ...], *, needed: bool) -> PduAnswer | None:
    """Outlets of a PDU on a serial line of the other node."""
    if not agree(f"Does a serial PDU feed {node}, switched by the other node?", default=needed):
        return None
    if lines:
        say(f"Serial lines of this machine: {', '.join(lines)}")
    line = ask(
        "  The line, on the node that it is plugged into", _line, lines[0] if lines else None
    )
    dialects = tuple(map(str, DRIVERS["pdu"].options["dialect"].choices))
    dialect = choose("  Make", dialects, dialects[0])
    outlets = ask(f"  Every outlet that feeds {node}, such as 3 4", _outlets)
    return PduAnswer(node, line, dialect, outlets)


def _line(said: str) -> str:
    if not said.startswith("/dev/"):
        raise ValueError("a device, such as /dev/haagent/pdu-beta or /dev/ttyUSB0")
    return said


def _outlets(said: str) -> tuple[int, ...]:
    words = said.replace(",", " ").split()
    if not words or not all(word.isdecimal() and int(word) <= OUTLET_MAX for word in words):
        raise ValueError(f"numbers up to {OUTLET_MAX}, with blanks between")
    return tuple(dict.fromkeys(map(int, words)))
