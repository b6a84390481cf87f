# SPDX-License-Identifier: GPL-2.0-or-later
"""The frames of the wire, built with scapy. Run as a program of its own, never imported.

scapy costs 32 MiB of memory and 0.4 s, and is needed for a moment at start and when a hardware
address changes. So frames.py runs this file in a short-lived child: the daemon stays small, and
a takeover finds its frames ready. It imports nothing of haagent: it is run by its path.

Input, one JSON list on stdin: [{"mac": "02:00:00:00:00:01", "address": "192.0.2.10",
"router": false}, ...]. Output, one JSON list of the same length on stdout:
[{"announce": [hex, hex], "probe": hex}, ...].

| frame            | destination        | content                                             |
|------------------|--------------------|-----------------------------------------------------|
| ARP announcement | broadcast          | request, sender = target = address (RFC 5227, 2.3)  |
| ARP reply form   | broadcast          | reply, sender = target = address: some take only it |
| ARP probe        | broadcast          | request, sender 0.0.0.0 (RFC 5227, 2.1.1)           |
| unsolicited NA   | ff02::1            | override set, solicited clear (RFC 4861, 7.2.6)     |
| DAD solicitation | solicited-node     | from :: (RFC 4862, 5.4.2)                           |
"""

from __future__ import annotations

import json
import os
import sys
from ipaddress import IPv6Address, ip_address
from typing import Any

from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether

BROADCAST = "ff:ff:ff:ff:ff:ff"
NOBODY = "00:00:00:00:00:00"
ALL_NODES_MAC = "33:33:00:00:00:01"
SOLICITED_NODE = int(IPv6Address("ff02::1:ff00:0"))
"""Joined with the low 24 bits of an address. Source: RFC 4291, section 2.7.1."""
HOPS = 255
"""Neighbour discovery is dropped by receivers with any other. Source: RFC 4861, section 7.1."""


def arp_frames(mac: str, address: str) -> dict[str, Any]:
    """Announcements and probe of an IPv4 address."""
    wire = Ether(dst=BROADCAST, src=mac)
    request = wire / ARP(op=1, hwsrc=mac, psrc=address, hwdst=NOBODY, pdst=address)
    reply = wire / ARP(op=2, hwsrc=mac, psrc=address, hwdst=BROADCAST, pdst=address)
    probe = wire / ARP(op=1, hwsrc=mac, psrc="0.0.0.0", hwdst=NOBODY, pdst=address)  # noqa: S104 (RFC 5227: the sender of a probe)
    return {"announce": [bytes(request).hex(), bytes(reply).hex()], "probe": bytes(probe).hex()}


def neighbour_frames(mac: str, address: str, *, router: bool) -> dict[str, Any]:
    """Announcement and probe of an IPv6 address."""
    low = int(IPv6Address(address)) & 0xFFFFFF
    group = str(IPv6Address(SOLICITED_NODE | low))
    group_mac = "33:33:ff:" + ":".join(f"{byte:02x}" for byte in low.to_bytes(3, "big"))
    advertisement = (
        Ether(dst=ALL_NODES_MAC, src=mac)
        / IPv6(src=address, dst="ff02::1", hlim=HOPS)
        / ICMPv6ND_NA(R=int(router), S=0, O=1, tgt=address)
        / ICMPv6NDOptDstLLAddr(lladdr=mac)
    )
    probe = (
        Ether(dst=group_mac, src=mac)
        / IPv6(src="::", dst=group, hlim=HOPS)
        / ICMPv6ND_NS(tgt=address)
    )
    return {"announce": [bytes(advertisement).hex()], "probe": bytes(probe).hex()}


def main() -> None:
    """Answer one list of wishes."""
    # The daemon may run in real time; this child must not compete with it.
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    answers = [
        arp_frames(wish["mac"], wish["address"])
        if ip_address(wish["address"]).version == 4
        else neighbour_frames(wish["mac"], wish["address"], router=wish["router"])
        for wish in json.load(sys.stdin)
    ]
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
