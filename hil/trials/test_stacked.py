# SPDX-License-Identifier: GPL-2.0-or-later
"""Bonds and VLANs under heartbeats and virtual addresses: Debian's own kernel has both.

eth0 and eth3 are bond0, with a heartbeat and the usual address; bond0.8 on it has a heartbeat and
an address of its own; eth1.7 carries the heartbeat of the direct cable.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path

import pytest

from hil.agent import Agent, link_state, role
from hil.network import HEARTBEAT_PORT, Port
from hil.observer import Observer
from hil.pair import NODES, ports
from hil.processes import ROOT
from hil.proof import held_alone, undisturbed
from hil.qemu.configuration import Settings
from hil.qemu.lab import VirtualLab
from hil.qemu.proof import RETURN_LIMIT_S, TAKEOVER_LIMIT_S, ready
from hil.trials.conftest import VirtualRoles
from hil.watch import orders

pytestmark = pytest.mark.virtual("a network that the bench has set up")

WITNESS = (Port("lan", "eth0", "02:00:00:00:0b:02"),)
TAGGED_VIP = "198.51.100.200"
QUIET_S = 8.0
"""For what must not happen: longer than dead_after and a fence together."""
GAP_MS_MAX = 3000
"""Of a client that is served all the time, by emulated servers on a busy machine."""
TEST_LIMIT_S = 300.0
"""pytest and what it tests take half a minute to be loaded under emulation."""
PLACE = "/root/unit"
_PLAIN = "IPv6AcceptRA=no\nLinkLocalAddressing=no\n"
_TAGGED = f"""\
[[link]]
name = "tagged"
kind = "switched"
group = "239.192.72.2"
port = {HEARTBEAT_PORT}
alpha = {{ interface = "bond0.8", address = "198.51.100.139" }}
beta = {{ interface = "bond0.8", address = "198.51.100.140" }}

[[group]]
name = "tagged"
preferred = "{NODES[0]}"
[[group.vip]]
address = "{TAGGED_VIP}/25"
"""
"""The usual pair has a network more, and a group there."""


def networks(name: str) -> dict[str, str]:
    """What systemd-networkd is told, by the names of its files."""
    lan, ring, _ = ports(name)
    number = NODES.index(name) + 11
    vlan = "[NetDev]\nName={}\nKind=vlan\n[VLAN]\nId={}\n"
    return {
        "bond0.netdev": f"[NetDev]\nName=bond0\nKind=bond\nMACAddress={lan.mac}\n"
        "[Bond]\nMode=active-backup\nMIIMonitorSec=100ms\n",
        "bond0.8.netdev": vlan.format("bond0.8", 8),
        "eth1.7.netdev": vlan.format("eth1.7", 7),
        "cards.network": "[Match]\nName=eth0 eth3\n[Network]\nBond=bond0\n",
        "bond0.network": "[Match]\nName=bond0\n[Network]\n"
        f"{_PLAIN}Address={lan.addresses[0]}\nVLAN=bond0.8\n",
        "bond0.8.network": "[Match]\nName=bond0.8\n[Network]\n"
        f"{_PLAIN}Address=198.51.100.{number + 128}/25\n",
        "eth1.network": f"[Match]\nName=eth1\n[Network]\n{_PLAIN}VLAN=eth1.7\n",
        "eth1.7.network": "[Match]\nName=eth1.7\n[Network]\n"
        f"{_PLAIN}Address={ring.addresses[0].partition('/')[0]}/25\n",
    }


@pytest.fixture
def stacked(lab: VirtualLab, roles: VirtualRoles) -> VirtualRoles:
    """The active and the standby of a pair that has a bond and VLANs."""
    for guest in reversed(roles):
        guest.run("systemctl", "stop", "haagent.service")
    for guest in roles:
        for name, content in networks(guest.name).items():
            path = f"/etc/systemd/network/05-{name}"
            guest.ssh.run("install", "-m", "644", "/dev/stdin", path, text=content)
        guest.run("systemctl", "restart", "systemd-networkd.service")
    instead = {"eth0": "bond0", "eth1": "eth1.7"}
    lab.configure(Settings(interfaces=instead, extra=_TAGGED))
    return ready(lab, limit_s=RETURN_LIMIT_S)


def test_cables_below_a_bond_and_a_vlan(lab: VirtualLab, stacked: VirtualRoles) -> None:
    """That of a VLAN lost: link down. One of a bond's: nothing. Both: its groups go, no shot."""
    active, standby = stacked
    fault_ns = time.monotonic_ns()
    tagged = Observer(lab.wiring.attach("tagged", WITNESS), lab.directory, TAGGED_VIP)
    try:
        lab.wiring.cut(standby, "ring")
        all_see(stacked, "ring", "down")
        lab.wiring.heal()
        all_see(stacked, "ring", "up")
        lab.wiring.cut(active, "lan")
        threading.Event().wait(QUIET_S)  # nothing is to happen: no event to wait for
        undisturbed(lab, active, fault_ns, gap_ms_max=GAP_MS_MAX)
        for link in ("lan", "tagged"):
            all_see(stacked, link, "up")
        both_ns = time.monotonic_ns()
        lab.wiring.cut(active, "spare")
        served = lab.client.wait_served(TAKEOVER_LIMIT_S, after_ns=both_ns, by=standby.name)
        held_alone(lab, standby, served["at_ns"])
        # Announced in the VLAN, whose tag the kernel takes off for the observer.
        tagged.wait_holder(standby.mac, TAKEOVER_LIMIT_S, after_ns=both_ns)
        Agent(standby).wait(
            lambda s: role(s, "tagged") == "active", TAKEOVER_LIMIT_S, "the other group too"
        )
        assert orders(lab, fault_ns) == []
    finally:
        tagged.close()


def all_see(pair: VirtualRoles, link: str, state: str) -> None:
    """Wait until both agents say so of a link."""
    for guest in pair:
        Agent(guest).wait(
            lambda s: link_state(s, link) == state, TAKEOVER_LIMIT_S, f"{link} {state}"
        )


def test_watch_over_a_bond_and_a_vlan_passes_where_there_are_such(
    lab: VirtualLab, roles: VirtualRoles
) -> None:
    """The unit test that a machine without such a kernel skips is run in a server, and passes."""
    assert lab.machines
    guest = roles[1]
    modules = {f"site/{name}": place for name, place in installed(RUNNER).items()}
    tests = {name: ROOT / "tests/unit" / name for name in ("reach", "vip")}
    guest.ssh.put({**modules, **tests}, PLACE)
    done = guest.ssh.run(
        *("env", f"PYTHONPATH={PLACE}/site:{PLACE}", "/opt/haagent/bin/python3", "-m", "pytest"),
        *("-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", PLACE),
        *(f"{PLACE}/reach/test_reach_watch.py", "-k", "test_bond_and_vlan", "-ra"),
        check=False,
        limit_s=TEST_LIMIT_S,
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr


RUNNER = ("pytest", "pluggy", "iniconfig", "packaging")
"""What pytest is made of; the rest of it the agent has, too."""


def installed(names: Iterable[str]) -> dict[str, Path]:
    """What those distributions have put beside each other here, by its names."""
    return {
        file.parts[0]: Path(str(distribution(name).locate_file(file.parts[0])))
        for name in names
        for file in distribution(name).files or ()
        if file.parts[0] != ".."  # a program
    }
