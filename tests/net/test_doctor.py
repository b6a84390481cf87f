# SPDX-License-Identifier: GPL-2.0-or-later
"""`haagent doctor` on a whole pair: sound it says so, and each thing broken on purpose is named."""

from __future__ import annotations

import json
import signal

import pytest

from hil.lab import Lab
from hil.machine import Machine
from hil.namespaces import ip, nft
from hil.network import VIP
from hil.processes import module
from hil.watch import ready, wait_standby

Roles = tuple[Machine, Machine]
Said = dict[str, tuple[str, str]]


def examine(lab: Lab, machine: Machine) -> tuple[int, Said]:
    """Exit code, and verdict and text by what was looked at; of several the worst."""
    command = ("doctor", "--json", "--config", str(lab.configuration), "--node", machine.name)
    done = machine.run(*module("haagent", *command, "--listen", "1"), check=False)
    order = ["ok", "unknown", "warning", "BAD"]
    said: Said = {}
    for line in json.loads(done.stdout):
        before = said.get(line["what"], ("ok", ""))
        if order.index(line["verdict"]) >= order.index(before[0]):
            said[line["what"]] = (line["verdict"], line["text"])
    return done.returncode, said


def test_a_sound_pair(lab: Lab, roles: Roles) -> None:
    """Nothing is BAD on either node, and what the peer's frames prove is ticked."""
    for machine in roles:
        code, said = examine(lab, machine)
        assert code == 1, said
        proved = (
            "takeover",
            "versions",
            "both nodes",
            "link lan",
            "MTU of lan",
            "firewall on lan",
            "heartbeat on lan",
            "heartbeat on ring",
            f"holder of {VIP}",
            "realtime",
            "memory",
            "disk",
        )
        assert {what: said[what][0] for what in proved} == dict.fromkeys(proved, "ok"), said
        # The bench's BMCs have no policy and take cipher suite 0; its links have no cards.
        assert "cipher suite 0" in said[f"way into {lab.other(machine).name}-bmc"][1]
        assert said["lan and ring"][0] == "unknown"


def test_before_the_agent_is_started(lab: Lab, roles: Roles) -> None:
    """On a second node that is being set up, the first one's multicast is heard all the same."""
    _, standby = roles
    standby.signal_agent(signal.SIGTERM)
    try:
        code, said = examine(lab, standby)
        assert code == 2
        assert said["agent"][0] == "BAD"
        assert said["heartbeat on lan"][0] == said["heartbeat on ring"][0] == "ok", said
        assert said["firewall on lan"] == (
            "ok",
            "no rule of nftables or iptables stops UDP port 7072 on eth0",
        )
        peer = lab.other(standby)
        assert said[f"holder of {VIP}"] == ("ok", f"{peer.name}, by its MAC {peer.mac}")
        # Of several lines the worst: it was reached, logged in to and read.
        assert "restore_policy" in said[f"fence {lab.other(standby).name}-bmc"][1]
        nft(
            standby.pid,
            "table inet f { chain i { type filter hook input priority 0; policy accept; "
            "udp dport 7072 drop; }; }\n",
        )
        code, said = examine(lab, standby)
        assert said["firewall on lan"][0] == "BAD"
        assert "chain inet f i" in said["firewall on lan"][1]
        assert said["heartbeat on lan"][0] == "unknown"
    finally:
        nft(standby.pid, "flush ruleset\n")
        standby.start_agent()
        wait_standby(standby)
        ready(lab)


@pytest.mark.parametrize("wire", ["lan", "ring"])
def test_a_lost_cable(lab: Lab, roles: Roles, wire: str) -> None:
    """The link is named; the pair still works, so nothing else is."""
    _, standby = roles
    lab.network.cut(standby.name, wire)
    code, said = examine(lab, standby)
    assert said[f"link {wire}"][0] == "BAD"
    assert said[f"heartbeat on {wire}"][0] == "warning"
    assert code == 2
    lab.network.heal()


def test_a_duplicate_address(lab: Lab, roles: Roles) -> None:
    """A stranger that answers for the virtual address beside its holder is told by his MAC."""
    active, _ = roles
    client = lab.client_pid
    ip(client, [f"addr add {VIP}/32 dev eth0"])
    try:
        _, said = examine(lab, active)
        assert said[f"holder of {VIP}"][0] == "BAD"
        assert "02:00:00:00:0c:01" in said[f"holder of {VIP}"][1]
    finally:
        ip(client, [f"addr del {VIP}/32 dev eth0"])
