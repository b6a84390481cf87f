# SPDX-License-Identifier: GPL-2.0-or-later
"""Listens to all links at once for a while: to the peer, to switches, queriers, and to ourselves.

To find two interfaces that are one network, a broadcast of a number that nobody else knows leaves
each of them; no other machine takes it for anything (EtherType 0x88B5, for local experiments:
IEEE 802-2014, 9.2.4).
"""

from __future__ import annotations

import secrets
import selectors
import socket
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

from haagent.config import Configuration
from haagent.core.wire import DecodeError, Refusal, cluster_id, decode
from haagent.doctor.lldp import Switch, switch
from haagent.errors import EdgeError
from haagent.links import Link
from haagent.links.path import open_socket
from haagent.packet_filter import Instruction, attach

ETH_P_IP, ETH_P_IPV6, ETH_P_LLDP, ETH_P_LOCAL = 0x0800, 0x86DD, 0x88CC, 0x88B5
"""Source: IEEE 802 numbers."""
LLDP_GROUPS = tuple(bytes.fromhex(f"0180c20000{last}") for last in ("0e", "03", "00"))
"""Source: IEEE 802.1AB-2016, table 7-1."""
SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_MR_MULTICAST = 263, 1, 0
"""Source: Linux, include/uapi/linux/if_packet.h."""
MEMBERSHIP = struct.Struct("@iHH8s")
FRAME_BYTES_MAX = 2048
SAY_EVERY_S = 0.5
TOKEN_BYTES = 32
"""With the Ethernet header below the least frame, which the card fills up."""
ONLY_IGMP_QUERIES = (
    (0x30, 0, 0, 14 + 9),  # load the IPv4 protocol
    (0x15, 0, 4, 2),  # IGMP, or drop
    (0xB1, 0, 0, 14),  # length of the IPv4 header
    (0x50, 0, 0, 14),  # load the IGMP type behind it
    (0x15, 0, 1, 0x11),  # membership query, or drop
    (0x06, 0, 0, 0xFFFF),
    (0x06, 0, 0, 0),
)
"""On the frame from its first byte. Source: RFC 3376, section 4."""
ONLY_MLD_QUERIES = (
    (0x30, 0, 0, 14 + 40),  # load what follows the hop-by-hop header
    (0x15, 0, 3, 58),  # ICMPv6, or drop
    (0x30, 0, 0, 14 + 40 + 8),  # load the ICMPv6 type
    (0x15, 0, 1, 130),  # listener query, or drop
    (0x06, 0, 0, 0xFFFF),
    (0x06, 0, 0, 0),
)
"""MLD is always behind a hop-by-hop header of 8 bytes. Source: RFC 3810, section 5."""


@dataclass(slots=True)
class Heard:
    """All that came."""

    frames: dict[int, int] = field(default_factory=dict)
    """Authentic heartbeats of the peer by the link's number."""
    refused: frozenset[str] = frozenset()
    """Why heartbeats were not taken, of those that somebody sent."""
    switches: dict[str, Switch] = field(default_factory=dict)
    """Who spoke LLDP, by interface."""
    queriers: dict[tuple[str, int], str] = field(default_factory=dict)
    """Address of who asked for multicast members, by interface and IP version."""
    echoes: set[tuple[str, str]] = field(default_factory=set)
    """Interfaces: where our broadcast left, and where it came back in."""

    def joined(self, one: str, other: str) -> bool:
        """Whether two interfaces were found to be one network."""
        return (one, other) in self.echoes or (other, one) in self.echoes


def listen(configuration: Configuration, listen_s: float, *, frames: bool) -> Heard:
    """Listen that long to all links.

    Args:
        configuration: Whose links.
        listen_s: Seconds, > 0.
        frames: To the peer's heartbeats too; not while an agent has their ports.

    Raises:
        EdgeError: raw sockets are not permitted.
    """
    heard = Heard()
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        ear = _Ear(configuration, heard, stack, selector)
        for interface in dict.fromkeys(link.interface for link in configuration.links):
            ear.attend(interface)
        if frames:
            for number, link in enumerate(configuration.links):
                ear.attend_heartbeats(number, link)
        ear.run(listen_s)
    return heard


class _Ear:
    """The open sockets, and what becomes of what they hear."""

    def __init__(
        self,
        configuration: Configuration,
        heard: Heard,
        stack: ExitStack,
        selector: selectors.BaseSelector,
    ) -> None:
        self._configuration = configuration
        self._heard = heard
        self._stack = stack
        self._selector = selector
        self._voices: dict[str, tuple[socket.socket, bytes]] = {}
        """Of each interface, what speaks there and the number that it says."""

    def attend(self, interface: str) -> None:
        """To what passes on an interface; one that is not there is left out."""
        try:
            index = socket.if_nametoindex(interface)
            lldp = self._raw(interface, ETH_P_LLDP, self._lldp)
            for group in LLDP_GROUPS:
                member = MEMBERSHIP.pack(index, PACKET_MR_MULTICAST, len(group), group)
                lldp.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, member)
            self._raw(interface, ETH_P_IP, self._igmp, ONLY_IGMP_QUERIES)
            self._raw(interface, ETH_P_IPV6, self._mld, ONLY_MLD_QUERIES)
            voice = self._raw(interface, ETH_P_LOCAL, self._echo)
        except PermissionError as error:
            raise EdgeError("listening needs root") from error
        except OSError:
            return
        self._voices[interface] = (voice, secrets.token_bytes(TOKEN_BYTES))

    def attend_heartbeats(self, number: int, link: Link) -> None:
        """To the peer, in the agent's place."""
        with suppress(OSError, EdgeError):  # No such interface or address: told elsewhere.
            opened = open_socket(link, socket.if_nametoindex(link.interface))
            self._keep(opened, lambda data, _: self._heartbeat(number, data))

    def run(self, listen_s: float) -> None:
        """Until the time is over; says its numbers now and then."""
        now_s = time.monotonic()
        end_s, say_s = now_s + listen_s, now_s
        while now_s < end_s:
            if now_s >= say_s:
                self._say()
                say_s = now_s + SAY_EVERY_S
            for key, _ in self._selector.select(min(end_s, say_s) - now_s):
                receiver, take = key.data
                with suppress(OSError):  # An interface went down: nothing more is heard there.
                    data, (interface, *_rest) = receiver.recvfrom(FRAME_BYTES_MAX)
                    take(data, interface)
            now_s = time.monotonic()

    def _raw(
        self,
        interface: str,
        protocol: int,
        take: Callable[[bytes, str], None],
        only: Sequence[Instruction] = (),
    ) -> socket.socket:
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        self._keep(opened, take)
        if only:  # Before it is bound: what came in between would be taken for what is wanted.
            attach(opened, only)
        opened.bind((interface, protocol))
        return opened

    def _keep(self, opened: socket.socket, take: Callable[[bytes, str], None]) -> None:
        self._stack.enter_context(opened)
        self._selector.register(opened, selectors.EVENT_READ, (opened, take))

    def _say(self) -> None:
        for interface, (voice, token) in self._voices.items():
            with suppress(OSError):  # Down: nothing leaves, and nothing comes back.
                source = voice.getsockname()[4]
                frame = b"\xff" * 6 + source + ETH_P_LOCAL.to_bytes(2, "big") + token
                voice.sendto(frame, (interface, ETH_P_LOCAL))

    def _echo(self, data: bytes, interface: str) -> None:
        for said_on, (_, token) in self._voices.items():
            if said_on != interface and token in data:
                self._heard.echoes.add((said_on, interface))

    def _lldp(self, data: bytes, interface: str) -> None:
        found = switch(data[14:])
        if found is not None:
            self._heard.switches[interface] = found

    def _igmp(self, data: bytes, interface: str) -> None:
        self._heard.queriers[interface, 4] = socket.inet_ntop(socket.AF_INET, data[26:30])

    def _mld(self, data: bytes, interface: str) -> None:
        self._heard.queriers[interface, 6] = socket.inet_ntop(socket.AF_INET6, data[22:38])

    def _heartbeat(self, number: int, data: bytes) -> None:
        configuration = self._configuration
        try:
            decode(
                data,
                cluster=cluster_id(configuration.cluster),
                keys=configuration.keys.secrets,
                me=configuration.pair.me,
            )
        except DecodeError as error:
            if error.refusal is not Refusal.OWN_ID:
                self._heard.refused |= {error.refusal.value}
            return
        self._heard.frames[number] = self._heard.frames.get(number, 0) + 1
