# SPDX-License-Identifier: GPL-2.0-or-later
"""Single values of a configuration file: each reader gives the value, or says what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import PurePosixPath
from uuid import UUID

from fencing.config import duration

NAME_BYTES_MAX = 32
"""Names travel in frames of at most 1,200 bytes (design, section 4)."""
USER_CHARACTERS_MAX = 64
"""More than any device's; IPMI 2.0 allows 16 (22.28 "Set User Name"), Redfish sets no limit."""

Address = IPv4Address | IPv6Address

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_RESERVATION_KEY = re.compile(r"[1-9a-f][0-9a-f]{0,15}")
_DIGITS_AND_DOTS = re.compile(r"[0-9.]+")


class FormError(ValueError):
    """The value is not of the form wanted; the text says which one is, and shows no value."""


def text(value: object) -> str:
    """Any text."""
    if not isinstance(value, str):
        raise FormError("not a text; write it in quotes")
    return value


def integer(lowest: int, highest: int) -> Callable[[object], int]:
    """Reads a whole number between two others, both inclusive."""

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise FormError("not an integer; write it without quotes")
        if not lowest <= value <= highest:
            raise FormError(f"out of range; {lowest} to {highest}")
        return value

    return read


def span(lowest: str, highest: str) -> Callable[[object], int]:
    """Reads a duration between two others, both inclusive; nanoseconds."""
    lowest_ns, highest_ns = duration.parse(lowest), duration.parse(highest)

    def read(value: object) -> int:
        if not isinstance(value, str):
            raise FormError('a duration carries its unit; such as "100ms", "1s" or "30m"')
        value_ns = duration.parse(value)
        if not lowest_ns <= value_ns <= highest_ns:
            raise FormError(f'out of range; "{lowest}" to "{highest}"')
        return value_ns

    return read


def name(value: object) -> str:
    """The name of a node, a link, a device or a group."""
    found = text(value)
    if len(found) > NAME_BYTES_MAX or _NAME.fullmatch(found) is None:
        raise FormError(
            f"not a name; at most {NAME_BYTES_MAX} ASCII letters, digits, '.', '_', '-'"
        )
    return found


def any_address(value: object) -> Address:
    """An IP address, whatever it stands for."""
    try:
        address = ip_address(text(value))
    except ValueError:
        raise FormError('not an IP address; such as "192.0.2.11" or "2001:db8::11"') from None
    if address.is_unspecified:
        raise FormError("the unspecified address; write the real one")
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise FormError("an address with a zone; leave out '%', the interface has its own key")
    return address


def address_of_one(value: object) -> Address:
    """The IP address of one host."""
    address = any_address(value)
    if address.is_multicast or address == IPv4Address("255.255.255.255"):
        raise FormError("a multicast or broadcast address; write the address of one host")
    return address


def host(value: object) -> str:
    """An address in its usual spelling, or a host name."""
    found = text(value)
    try:
        return str(address_of_one(found))
    except FormError:
        if _HOST.fullmatch(found) is None or _DIGITS_AND_DOTS.fullmatch(found):
            raise FormError('not an address; such as "203.0.113.11"') from None
    return found


def is_address(found: str) -> bool:
    """Whether what `host` returned is an address, and no name."""
    try:
        ip_address(found)
    except ValueError:
        return False
    return True


def absolute_path(value: object) -> str:
    """An absolute path of printable characters."""
    found = text(value)
    if not PurePosixPath(found).is_absolute() or not found.isprintable():
        raise FormError('not an absolute path; such as "/var/lib/haagent"')
    return found


def reservation_key(value: object) -> str:
    """A key of SCSI-3, in the one spelling in which disks tell it: agents compare texts.

    Source: fence_scsi 4.12.1, get_status(); SPC-4, 6.15.2: eight bytes, and 0 is no key.
    """
    found = text(value)
    if _RESERVATION_KEY.fullmatch(found) is None:
        raise FormError("not 1 to 16 digits 0-9 and a-f in small letters, the first of them no 0")
    return found


def serial_line(value: object) -> str:
    """The path of a serial line, in its usual spelling."""
    try:
        return str(PurePosixPath("/" + absolute_path(value).lstrip("/")))
    except FormError:
        raise FormError('not the path of a serial line; such as "/dev/ttyUSB0"') from None


def location(value: object) -> str:
    """Where a secret is: a path or "credential:NAME"."""
    found = text(value)
    if not found or not found.isprintable():
        raise FormError('not a path; such as "alpha-bmc.password" or "credential:alpha-bmc"')
    return found


def user(value: object) -> str:
    """The name of an account at a device."""
    found = text(value)
    if not 1 <= len(found) <= USER_CHARACTERS_MAX or not found.isascii() or not found.isprintable():
        raise FormError(f"not a user name; 1 to {USER_CHARACTERS_MAX} printable ASCII characters")
    return found


def uuid(value: object) -> UUID:
    """A UUID in any spelling that Python takes."""
    try:
        return UUID(text(value))
    except ValueError:
        raise FormError('not a UUID; such as "b1234567-89ab-cdef-a123-456789abcdef"') from None
