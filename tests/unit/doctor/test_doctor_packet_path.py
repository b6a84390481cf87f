# SPDX-License-Identifier: GPL-2.0-or-later
"""What is said of nftables' rules is what the kernel does with them."""

from __future__ import annotations

import re
import select
import socket
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from vip.netns import Lan, Node, run

from haagent.doctor import Verdict, iptables
from haagent.doctor.links import _firewall
from haagent.doctor.packet_path import Json, Packet, Passage, incoming, outgoing, rules, stops
from haagent.links import Link

LINK = Link(
    name="ring",
    interface="eth1",
    address=IPv4Address("198.51.100.11"),
    peer_address=IPv4Address("198.51.100.12"),
    group=None,
    port=7072,
    switched=False,
)
DROPPED_S = 0.05
"""Once the neighbour is known, to be sure that nothing comes."""
HEAD = (
    "table inet filter { set friends "
    "{ type ipv4_addr; flags interval; elements = {198.51.100.0/28}; } "
)
INPUT = HEAD + "chain input { type filter hook input priority 0; policy drop; "
OPEN = HEAD + "chain input { type filter hook input priority 0; policy accept; "
PASSES = {
    "no-rules": "",
    "accept-port": INPUT + "udp dport 7072 accept; } }",
    "accept-ports": INPUT + "udp dport { 22, 7000-7100 } accept; } }",
    "accept-th-port": INPUT + "meta l4proto udp th dport 7072 accept; } }",
    "accept-interface": INPUT + 'iifname "eth1" accept; } }',
    "accept-interfaces": INPUT + 'iifname { "eth0", "eth*" } counter accept; } }',
    "accept-net": INPUT + "ip saddr 198.51.100.0/24 udp dport 7072 accept; } }",
    "accept-set": INPUT + "ip saddr @friends udp dport 7072 accept; } }",
    "accept-new": INPUT + "ct state { new, established } accept; } }",
    "other-interface-dropped": OPEN + 'iifname "eth0" drop; } }',
    "other-port-dropped": OPEN + "udp dport != 7072 drop; tcp dport 7072 drop; } }",
    "other-family": "table ip6 six { chain c { type filter hook input priority 0; policy drop; } }",
    "jump-returns": (
        "table inet filter { chain more { udp dport 7073 drop; return; } "
        "chain input { type filter hook input priority 0; policy accept; jump more; } }"
    ),
    "vmap-accepts": INPUT + "udp dport vmap { 22 : drop, 7072 : accept }; } }",
    "other-hook": "table ip f { chain f { type filter hook forward priority 0; policy drop; } }",
}
DROPS = {
    "policy": INPUT + "} }",
    "only-tcp": INPUT + "tcp dport 7072 accept; ct state established accept; } }",
    "wrong-port": INPUT + "udp dport { 22, 80 } accept; } }",
    "wrong-net": INPUT + "ip saddr 192.0.2.0/24 accept; } }",
    "rule": OPEN + "udp dport 7072 drop; } }",
    "reject": OPEN + 'iifname "eth1" reject; } }',
    "jump-drops": (
        "table inet filter { chain more { ip protocol udp drop; } "
        "chain input { type filter hook input priority 0; policy accept; jump more; } }"
    ),
    "goto-policy": (
        "table inet filter { chain more { tcp dport 1 accept; } "
        "chain input { type filter hook input priority 0; policy drop; goto more; accept; } }"
    ),
    "second-table": (
        "table ip one { chain a { type filter hook input priority 0; policy accept; accept; } } "
        "table ip two { chain b { type filter hook input priority 9; policy drop; } }"
    ),
    "prerouting": (
        "table ip raw { chain p { type filter hook prerouting priority raw; "
        "udp dport 7072 drop; } }"
    ),
    "ingress": (
        "table netdev edge { chain i { type filter hook ingress device eth1 priority 0; "
        "ip protocol udp drop; } }"
    ),
    "vmap-drops": OPEN + "udp dport vmap { 22 : accept, 7072 : drop }; } }",
}


def load(node: Node, text: str) -> Sequence[Json]:
    """Load the rules in a namespace; what nft lists then."""
    inside = ("ip", "netns", "exec", node.netns, "nft")
    lines = re.sub(r"\} (?=chain|table|\})", "}\n", text)
    run(*inside, "-f", "-", stdin=f"flush ruleset\n{lines}\n")
    return rules(run(*inside, "--json", "list", "ruleset"))


def arrives(lan: Lan, within_s: float = 10.0) -> bool:
    """Whether a datagram of b's really comes in at a."""
    with (
        lan.a.open_socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        lan.b.open_socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind(("198.51.100.11", 7072))
        sender.bind(("198.51.100.12", 7072))
        sender.sendto(b"beat", ("198.51.100.11", 7072))
        # Between two namespaces of one kernel it is there when sendto returns, or never; the
        # rest is for a neighbour that must be found first.
        return bool(select.select([receiver], [], [], within_s)[0])


def verdict(listed: Sequence[Json], packet: Packet) -> Passage | None:
    """The worst that is said."""
    found = {stop.passage for stop in stops(listed, packet)}
    return Passage.NO if Passage.NO in found else Passage.PERHAPS if found else None


def test_agrees_with_the_kernel(lan: Lan) -> None:
    """Of every ruleset that lets a heartbeat in, and of every one that drops it, that is said."""
    assert arrives(lan)
    for name, text in PASSES.items():
        listed = load(lan.a, text)
        assert arrives(lan), name
        assert verdict(listed, incoming(LINK)) is None, name
    for name, text in DROPS.items():
        listed = load(lan.a, text)
        assert not arrives(lan, DROPPED_S), name
        assert verdict(listed, incoming(LINK)) is Passage.NO, name


def test_doubt_is_no_verdict(lan: Lan) -> None:
    """A condition that is not understood may hold or not: perhaps, never yes or no."""
    listed = load(lan.a, OPEN + "meta mark 7 drop; } }")
    assert verdict(listed, incoming(LINK)) is Passage.PERHAPS
    listed = load(lan.a, INPUT + "meta mark 7 accept; } }")
    assert verdict(listed, incoming(LINK)) is Passage.PERHAPS
    listed = load(lan.a, INPUT + "limit rate 5/second accept; } }")
    assert verdict(listed, incoming(LINK)) is Passage.PERHAPS


def test_on_the_way_out(lan: Lan) -> None:
    """What may not leave is found too, and the place is named."""
    text = (
        "table inet filter { chain out { type filter hook output priority 0; policy accept; "
        'oifname "eth1" udp dport 7072 drop; } }'
    )
    listed = load(lan.a, text)
    (stop,) = stops(listed, outgoing(LINK))
    assert "inet filter out" in str(stop)
    assert verdict(listed, incoming(LINK)) is None


@pytest.mark.parametrize("group", ["239.192.72.1", "239.192.72.2"])
def test_multicast(lan: Lan, group: str) -> None:
    """A rule about a group is about that group alone."""
    listed = load(lan.a, OPEN + "ip daddr 239.192.72.1 drop; } }")
    multicast = replace(LINK, group=IPv4Address(group))
    expected = Passage.NO if group == "239.192.72.1" else None
    assert verdict(listed, incoming(multicast)) is expected


LEGACY_OPEN = "*filter\n:INPUT ACCEPT\n"
LEGACY_CLOSED = "*filter\n:INPUT DROP\n"
LEGACY_PASSES = {
    "port": LEGACY_CLOSED + "-A INPUT -p udp -m udp --dport 7000:7100 -j ACCEPT\n",
    "ports": LEGACY_CLOSED + "-A INPUT -p udp -m multiport --dports 22,7072 -j ACCEPT\n",
    "net-on-card": LEGACY_CLOSED + "-A INPUT -s 198.51.100.0/24 -i eth+ -j ACCEPT\n",
    "state": LEGACY_CLOSED + "-A INPUT -m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT\n",
    "not-others": LEGACY_OPEN + "-A INPUT ! -i eth1 -j DROP\n-A INPUT ! -p udp -j REJECT\n",
    "chain-returns": LEGACY_OPEN + ":MORE -\n-A INPUT -j MORE\n"
    '-A MORE -m comment --comment "- j DROP" -j RETURN\n-A MORE -j DROP\n',
    "logged": LEGACY_OPEN + "-A INPUT -j LOG --log-prefix -j\n-A INPUT -p tcp -j DROP\n",
    "other-table": "*nat\n:PREROUTING ACCEPT\n-A PREROUTING -p tcp -j REDIRECT\n",
}
LEGACY_DROPS = {
    "policy": LEGACY_CLOSED + "-A INPUT -p tcp -m tcp --dport 7072 -j ACCEPT\n",
    "rule": LEGACY_OPEN + "-A INPUT -i eth1 -p udp -m udp ! --dport 22 -j DROP\n",
    "reject": LEGACY_OPEN + "-A INPUT -p udp -j REJECT --reject-with icmp-port-unreachable\n",
    "chain": LEGACY_OPEN + ":MORE -\n-A INPUT -j MORE\n-A MORE -d 198.51.100.11/32 -j DROP\n",
    "goto": LEGACY_CLOSED + ":MORE -\n-A INPUT -g MORE\n-A INPUT -j ACCEPT\n",
    "raw": "*raw\n:PREROUTING ACCEPT\n-A PREROUTING -p udp --sport 7072 -j DROP\n",
}


def load_legacy(node: Node, text: str) -> Sequence[Json]:
    """Load rules of legacy iptables in a namespace, as all that there is; how they are read."""
    inside = ("ip", "netns", "exec", node.netns)
    empty = "".join(f"*{table}\nCOMMIT\n" for table in ("filter", "raw", "nat"))
    run(*inside, "iptables-legacy-restore", stdin=f"{empty}{text}COMMIT\n")
    found = node.inside(lambda: iptables.rules(4))
    assert found is not None
    return found


def test_legacy_rules_agree_with_the_kernel(lan: Lan) -> None:
    """Of rules of legacy iptables the same is said that the kernel does with a heartbeat."""
    assert not lan.a.inside(lambda: iptables.loaded(4))
    for name, text in LEGACY_PASSES.items():
        found = load_legacy(lan.a, text)
        assert lan.a.inside(lambda: iptables.loaded(4))
        assert arrives(lan), name
        assert verdict(found, incoming(LINK)) is None, name
    for name, text in LEGACY_DROPS.items():
        found = load_legacy(lan.a, text)
        assert not arrives(lan, DROPPED_S), name
        assert verdict(found, incoming(LINK)) is Passage.NO, name
    doubtful = LEGACY_OPEN + "-A INPUT -m mark --mark 0x7 -j DROP\n"
    assert verdict(load_legacy(lan.a, doubtful), incoming(LINK)) is Passage.PERHAPS
    unheard_of = LEGACY_OPEN + "-A INPUT -p udp -j NFQUEUE --queue-num 1\n"
    assert verdict(load_legacy(lan.a, unheard_of), incoming(LINK)) is None


def test_the_firewall_line_counts_both_kinds(lan: Lan) -> None:
    """BAD for a legacy rule that drops, with its chain; ok without; nftables' counts as before."""
    load_legacy(lan.a, LEGACY_DROPS["rule"])
    line = lan.a.inside(lambda: _firewall(LINK, heard=False))
    assert (line.verdict, "ip filter INPUT" in line.text) == (Verdict.BAD, True)
    load_legacy(lan.a, LEGACY_PASSES["port"])
    assert lan.a.inside(lambda: _firewall(LINK, heard=False)).verdict is Verdict.OK
    load(lan.a, DROPS["rule"])
    line = lan.a.inside(lambda: _firewall(LINK, heard=False))
    assert (line.verdict, "inet filter input" in line.text) == (Verdict.BAD, True)
