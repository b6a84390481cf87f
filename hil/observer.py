# SPDX-License-Identifier: GPL-2.0-or-later
"""The independent witness in the LAN: which hardware address answers for the VIP, and when.

A process of its own with a raw socket, in a namespace without any address: nobody's tables are
changed by what it asks. It knows nothing of the agents and believes nobody.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import sys
import time
from ipaddress import IPv4Address
from pathlib import Path

from hil.namespaces import inside
from hil.network import HEARTBEAT_PORT, VIP
from hil.processes import module
from hil.record import Entry, ReportingProcess

ASK_EVERY_S = 0.01
ASKER = "192.0.2.254"
"""Sender of the questions. A real one: a probe without any counts as a rival claim (RFC 5227)."""
_ETHERTYPE_ARP = 0x0806
_ETHERTYPE_ALL = 0x0003
_ETHERTYPE_IPV4 = 0x0800
_PROTOCOL_UDP = 17
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_REQUEST, _REPLY = 1, 2
_BROADCAST = b"\xff" * 6
_ETHERNET_BYTES = 14
_FRAME_BYTES_MAX = 2048
_SNIFF_ALL = socket.ntohs(_ETHERTYPE_ALL)


class Observer:
    """The witness, running, and the questions it can answer."""

    def __init__(
        self,
        pid: int | None,
        directory: Path,
        address: str = VIP,
        *,
        interface: str = "eth0",
        asker: str = ASKER,
    ) -> None:
        """Start it; it watches over one address.

        Args:
            pid: A process in the network namespace where it stands; None: this one.
            directory: Of what it writes.
            address: Over which it watches.
            interface: Through which it looks.
            asker: Sender of its questions.
        """
        self._address = address
        command = module("hil.observer", interface, address, str(ASK_EVERY_S), asker)
        if pid is not None:
            command = [*inside(pid), *command]
        name = f"observer-{address}"
        self._process = ReportingProcess(
            command, directory / f"{name}.jsonl", directory / f"{name}.log"
        )
        self.record = self._process.record
        self.record.wait(lambda e: e["what"] == "ready", 5.0, what="observer's start")

    def sightings(self, after_ns: int = 0, until_ns: int | None = None) -> list[Entry]:
        """Every ARP frame in which somebody called the VIP its own, within the times."""
        return [
            entry
            for entry in self.record.since(after_ns)
            if entry["what"] == "arp" and (until_ns is None or entry["at_ns"] <= until_ns)
        ]

    def holders(self, after_ns: int = 0, until_ns: int | None = None) -> list[str]:
        """Hardware addresses that held the VIP, one for each change of hands, in order."""
        changes: list[str] = []
        for entry in self.sightings(after_ns, until_ns):
            if not changes or changes[-1] != entry["mac"]:
                changes.append(entry["mac"])
        return changes

    def wait_holder(self, mac: str, limit_s: float, *, after_ns: int = 0) -> Entry:
        """Return the first sighting of the VIP at a hardware address, after a time."""
        return self.record.wait(
            lambda e: e["what"] == "arp" and e["mac"] == mac,
            limit_s,
            after_ns=after_ns,
            what=f"{self._address} at {mac}",
        )

    def first_announcement(self, mac: str, after_ns: int) -> Entry | None:
        """The first unasked claim of the VIP by a hardware address after a time."""
        for entry in self.sightings(after_ns):
            if entry["mac"] == mac and entry["kind"] == "announcement":
                return entry
        return None

    def last_beat_ns(self, mac: str, until_ns: int) -> int | None:
        """When the last heartbeat of a machine passed on the LAN before a time."""
        beats = [
            entry["at_ns"]
            for entry in self.record.since()
            if entry["what"] == "beat" and entry["mac"] == mac and entry["at_ns"] <= until_ns
        ]
        return max(beats, default=None)

    def close(self) -> None:
        """Stop watching; what was seen stays."""
        self._process.close()


def question(mac: bytes, vip: bytes, asker: bytes) -> bytes:
    """An ARP request: who has the VIP? (RFC 826)."""
    header = _BROADCAST + mac + struct.pack("!H", _ETHERTYPE_ARP)
    arp = _ARP.pack(1, _ETHERTYPE_IPV4, 6, 4, _REQUEST, mac, asker, bytes(6), vip)
    return header + arp


def judge(frame: bytes, vip: bytes) -> Entry | None:
    """What a frame says about the VIP or about an agent, None if nothing."""
    ethertype = int.from_bytes(frame[12:14], "big")
    if ethertype == _ETHERTYPE_ARP and len(frame) >= _ETHERNET_BYTES + _ARP.size:
        _, _, _, _, operation, sender, address, _, target = _ARP.unpack_from(frame, _ETHERNET_BYTES)
        if address != vip:
            return None
        asked = "answer" if operation == _REPLY else "request"
        kind = "announcement" if target == vip else asked
        return {"what": "arp", "mac": sender.hex(":"), "kind": kind}
    if ethertype == _ETHERTYPE_IPV4 and frame[23] == _PROTOCOL_UDP:
        udp = _ETHERNET_BYTES + (frame[14] & 0x0F) * 4
        if int.from_bytes(frame[udp + 2 : udp + 4], "big") == HEARTBEAT_PORT:
            return {"what": "beat", "mac": frame[6:12].hex(":")}
    return None


def main() -> None:
    """Arguments: interface, VIP, seconds between two questions, their sender."""
    interface, vip_text, every_text, asker = sys.argv[1:]
    vip, every_s = IPv4Address(vip_text).packed, float(every_text)
    sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, _SNIFF_ALL)
    sniffer.bind((interface, _ETHERTYPE_ALL))
    ask = question(sniffer.getsockname()[4], vip, IPv4Address(asker).packed)
    sys.stdout.write(json.dumps({"what": "ready", "at_ns": time.monotonic_ns()}) + "\n")
    sys.stdout.flush()
    next_s = time.monotonic()
    while True:
        if select.select([sniffer], [], [], max(0.0, next_s - time.monotonic()))[0]:
            frame, (_, _, kind, _, _) = sniffer.recvfrom(_FRAME_BYTES_MAX)
            at_ns = time.monotonic_ns()
            entry = None if kind == socket.PACKET_OUTGOING else judge(frame, vip)
            if entry is not None:
                sys.stdout.write(json.dumps({"at_ns": at_ns, **entry}) + "\n")
                sys.stdout.flush()
        if time.monotonic() >= next_s:
            sniffer.send(ask)
            next_s = max(next_s + every_s, time.monotonic())


if __name__ == "__main__":
    main()
