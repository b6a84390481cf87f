# SPDX-License-Identifier: GPL-2.0-or-later
"""Addresses put on and taken off interfaces. Everything here blocks: for Netlink.call only."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from pathlib import Path
from typing import Any

import structlog
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from haagent.vip import Vip, VipError

IFA_F_SECONDARY = 0x01
"""Source: Linux, include/uapi/linux/if_addr.h, as the next three."""
IFA_F_NODAD = 0x02
IFA_F_DADFAILED = 0x08
IFA_F_TENTATIVE = 0x40
LOOPBACK_INDEX = 1
"""Always, in every network namespace. Source: Linux, include/net/flow.h, LOOPBACK_IFINDEX."""
IPV4_SETTINGS = Path("/proc/sys/net/ipv4/conf")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Entry:
    """One address as the kernel has it."""

    index: int
    """Of its interface."""
    address: IPv4Interface | IPv6Interface
    flags: int
    label: str | None
    broadcast: str | None
    scope: int


def entries(route: IPRoute) -> list[Entry]:
    """Every address on this host, in whatever state."""
    return [_entry(message) for message in route.get_addr()]


def configured(route: IPRoute, vips: Iterable[Vip]) -> frozenset[Vip]:
    """Which of these are on this host: same interface, same address, same prefix length."""
    there = {(entry.index, entry.address) for entry in entries(route)}
    return frozenset(vip for vip in vips if (_index(vip.interface), vip.address) in there)


def add_all(route: IPRoute, vips: Sequence[Vip]) -> None:
    """Add every address, or none: what was added before a failure is taken away again.

    Raises:
        VipError: the first refusal; it names the address.
    """
    for number, vip in enumerate(vips):
        try:
            add(route, vip)
        except VipError:
            for added in vips[:number]:
                with suppress(VipError):
                    remove(route, added)
            raise


def add(route: IPRoute, vip: Vip) -> None:
    """Add one address; having it already is success.

    IPv6 goes without duplicate detection (which would take a second or more): the caller holds
    the proof that nobody else has the address.
    """
    if _try_add(route, vip) == errno.EEXIST and vip.address.version == 6:
        # IPv6 knows an address once per interface, whatever the prefix length, and keeps one
        # that failed its duplicate detection: usable only if it is ours in every respect.
        bad = IFA_F_DADFAILED | IFA_F_TENTATIVE
        for entry in entries(route):
            if entry.index != _index(vip.interface) or entry.address.ip != vip.address.ip:
                continue
            if entry.address != vip.address or entry.flags & bad:
                _delete(route, entry.index, entry.address)
                _try_add(route, vip)


def remove(route: IPRoute, vip: Vip) -> None:
    """Remove one address; not having it is success. Other addresses stay.

    Raises:
        VipError: the kernel refused.
    """
    index = _index(vip.interface)
    before = [entry for entry in entries(route) if entry.index == index]
    victim = next((entry for entry in before if entry.address == vip.address), None)
    if victim is None:
        return
    followers = [entry for entry in before if _falls_with(entry, victim)]
    if followers:
        _promote_secondaries(vip.interface)
    _delete(route, index, vip.address)
    if followers:
        left = {entry.address for entry in entries(route) if entry.index == index}
        for entry in followers:
            if entry.address not in left:
                _restore(route, entry)


def remove_all(route: IPRoute, vips: Sequence[Vip]) -> None:
    """Remove these, and read back that they are gone.

    Raises:
        VipError: names what is still there.
    """
    for vip in vips:
        with suppress(VipError):  # One refusal must not keep the others; the reading tells all.
            remove(route, vip)
    verify_gone(route, vips)


def verify_gone(route: IPRoute, vips: Iterable[Vip]) -> None:
    """Read back that this host answers for none of these any more (S2).

    Stricter than `configured`: the same address with another prefix length, or on another
    interface than loopback, would be answered for as well.

    Raises:
        VipError: names what is still there.
    """
    wanted = {vip.address.ip for vip in vips}
    left = [
        f"{entry.address} on {_name(entry.index)}"
        for entry in entries(route)
        if entry.address.ip in wanted and entry.index != LOOPBACK_INDEX
    ]
    if left:
        raise VipError(f"still configured: {', '.join(left)}")


def _falls_with(entry: Entry, victim: Entry) -> bool:
    """Whether the kernel removes `entry` with `victim`: a secondary goes with its primary."""
    return (
        entry.address.version == 4
        and not victim.flags & IFA_F_SECONDARY
        and bool(entry.flags & IFA_F_SECONDARY)
        and entry.address.network == victim.address.network
    )


def _promote_secondaries(interface: str) -> None:
    """Ask the kernel to keep the secondaries, as systemd's own sysctl defaults do."""
    settings = (IPV4_SETTINGS / name / "promote_secondaries" for name in ("all", interface))
    try:
        if all(setting.read_text().strip() == "0" for setting in settings):
            (IPV4_SETTINGS / interface / "promote_secondaries").write_text("1")
            log.info("vip.promote_secondaries_set", interface=interface)
    except OSError as error:
        # A sandboxed unit sees /proc/sys read-only; then what falls is put back afterwards.
        log.warning("vip.promote_secondaries_refused", interface=interface, error=error.strerror)


def _restore(route: IPRoute, entry: Entry) -> None:
    extra: dict[str, Any] = {"scope": entry.scope}
    if entry.label:
        extra["label"] = entry.label
    if entry.broadcast:
        extra["broadcast"] = entry.broadcast
    log.warning("vip.neighbour_restored", address=str(entry.address))
    with suppress(NetlinkError):  # EEXIST: somebody was quicker.
        route.addr(
            "add",
            index=entry.index,
            address=str(entry.address.ip),
            prefixlen=entry.address.network.prefixlen,
            **extra,
        )


def _try_add(route: IPRoute, vip: Vip) -> int:
    """Returns 0 or EEXIST.

    Raises:
        VipError: any other refusal.
    """
    index = _index(vip.interface)
    if index == 0:
        raise VipError(f"cannot add {vip.address}: no interface {vip.interface}")
    extra = {"flags": IFA_F_NODAD} if vip.address.version == 6 else {}
    try:
        route.addr(
            "add",
            index=index,
            address=str(vip.address.ip),
            prefixlen=vip.address.network.prefixlen,
            **extra,
        )
    except NetlinkError as error:
        if error.code == errno.EEXIST:
            return errno.EEXIST
        raise VipError(f"cannot add {vip.address} to {vip.interface}: {error.args[-1]}") from error
    return 0


def _delete(route: IPRoute, index: int, address: IPv4Interface | IPv6Interface) -> None:
    gone = (errno.EADDRNOTAVAIL, errno.ENODEV)
    try:
        route.addr("del", index=index, address=str(address.ip), prefixlen=address.network.prefixlen)
    except NetlinkError as error:
        if error.code not in gone:
            raise VipError(f"cannot remove {address}: {error.args[-1]}") from error


def _index(interface: str) -> int:
    """The interface's index now, 0 if there is none."""
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        return 0


def _name(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return f"interface {index}"


def _entry(message: Any) -> Entry:
    text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
    return Entry(
        index=message["index"],
        address=ip_interface(f"{text}/{message['prefixlen']}"),
        flags=message["flags"],
        label=message.get_attr("IFA_LABEL"),
        broadcast=message.get_attr("IFA_BROADCAST"),
        scope=message["scope"],
    )
