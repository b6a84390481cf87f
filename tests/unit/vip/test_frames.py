# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames are built by a child that is soon gone."""

from __future__ import annotations

import subprocess
import sys
from ipaddress import ip_interface
from pathlib import Path

import pytest

from haagent.netlink import Netlink
from haagent.vip import Vip, VipError, frames
from haagent.vip.frames import FrameShelf
from vip.netns import Lan

VIP4 = Vip(ip_interface("192.0.2.10/24"), "eth0")
VIP6 = Vip(ip_interface("2001:db8::ab:10/64"), "eth0")
ROUTER_AT = 58
"""The flags of a neighbour advertisement: behind 14 + 40 + 4 bytes."""


def test_the_daemon_never_loads_scapy() -> None:
    """Everything a takeover uses is imported without scapy, which would cost 32 MiB."""
    edges = "haagent.links.linkset, haagent.vip.holder, haagent.vip.prober, haagent.reach.icmp"
    code = f"import sys, {edges}; sys.exit('scapy' in sys.modules)"
    root = Path(frames.__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


@pytest.mark.parametrize("forwarding", [0, 1])
def test_builds_probe_and_router_flag(lan: Lan, forwarding: int) -> None:
    """Probes claim nothing, and an advertisement says *router* exactly if the host is one."""
    lan.a.sysctl(f"net.ipv6.conf.eth0.forwarding={forwarding}")

    async def main() -> None:
        netlink = Netlink()
        await netlink.open()
        shelf = FrameShelf(netlink, (VIP4, VIP6))
        await shelf.open()
        mac = lan.a.mac("eth0")
        four, six = shelf.get(VIP4), shelf.get(VIP6)
        assert four is not None
        assert six is not None
        # RFC 5227, 2.1.1: sender hardware address ours, sender address zero.
        assert four.probe[:14] == b"\xff" * 6 + mac + b"\x08\x06"
        assert four.probe[20:42] == b"\0\1" + mac + bytes(10) + VIP4.address.ip.packed
        # RFC 4862, 5.4.2: from the unspecified address to the solicited-node group.
        assert six.probe[:14] == bytes.fromhex("3333ffab0010") + mac + b"\x86\xdd"
        assert six.probe[22:38] == bytes(16)
        assert six.probe[38:54] == bytes.fromhex("ff0200000000000000000001ffab0010")
        assert six.probe[54] == 135
        assert six.probe[62:78] == VIP6.address.ip.packed
        assert len(six.probe) == 78, "no source link-layer option from the unspecified address"
        assert six.announce[0][ROUTER_AT] == (0xA0 if forwarding else 0x20)
        shelf.close()
        netlink.close()

    lan.a.run(main)


def test_a_broken_builder_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """When scapy cannot be imported, the start fails with the reason."""
    broken = tmp_path / "builder.py"
    broken.write_text("import scapy_is_missing")
    monkeypatch.setattr(frames, "BUILDER", broken)
    with pytest.raises(VipError, match="No module named 'scapy_is_missing'"):
        frames._run_builder([])
