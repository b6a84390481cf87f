# SPDX-License-Identifier: GPL-2.0-or-later
"""Pacemaker on Corosync with `fence_ipmilan`, configured as `pcs` would do it."""

from __future__ import annotations

import secrets
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from hil.compare.contender import READY_LIMIT_S, look
from hil.network import VIP
from hil.pair import BMC_USER, NODES, PASSWORD, bmc_address, ports
from hil.qemu.furniture import SERVICE_UNIT

if TYPE_CHECKING:
    from hil.qemu.guest import Guest
    from hil.qemu.lab import VirtualLab

_DIRECTORY = "/etc/corosync"
_KEY_BYTES = 128
"""Of the cluster's key; hexadecimal, so twice as many in the file (corosync wants 128 or more)."""
_WIRES = 2
"""Client LAN and direct cable, as haagent has them."""
_GROUP = ("service", "vip")
_FENCING = "stonith-enabled"
_FENCE_TIMEOUT_S = 60
"""For starts and monitors of a fence device, by default 20 s: the agent is a Python program, which
an emulated processor takes long to load. A fence itself has 60 s anyway."""


def _values(owner: str, kind: str, pairs: dict[str, str]) -> ET.Element:
    """An element that holds named values, as Pacemaker writes them."""
    holder = ET.Element(kind, id=f"{owner}-{kind}")
    for name, value in pairs.items():
        ET.SubElement(holder, "nvpair", id=f"{owner}-{kind}-{name}", name=name, value=value)
    return holder


def _operations(owner: str, every_s: int, timeout_s: int) -> ET.Element:
    operations = ET.Element("operations")
    for name, interval in (("monitor", every_s), ("start", 0), ("stop", 0)):
        ET.SubElement(
            operations,
            "op",
            id=f"{owner}-{name}",
            name=name,
            interval=f"{interval}s",
            timeout=f"{timeout_s}s",
        )
    return operations


@dataclass(frozen=True, slots=True)
class Pacemaker:
    """A two-node cluster: a group of the service and its address, a fence device a node."""

    name: str
    title: str
    settings: str
    totem: dict[str, int] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    fence: dict[str, str] = field(default_factory=dict)

    @property
    def units(self) -> tuple[str, ...]:
        """See Contender."""
        return ("corosync.service", "pacemaker.service")

    @property
    def packages(self) -> tuple[str, ...]:
        """See Contender."""
        return ("pacemaker", "corosync", "fence-agents", "resource-agents")

    def corosync(self) -> str:
        """corosync.conf, the same on both."""
        totem = "".join(f"    {key}: {value}\n" for key, value in self.totem.items())
        nodes = ""
        for number, node in enumerate(NODES, start=1):
            nodes += f"    node {{\n        name: {node}\n        nodeid: {number}\n"
            for ring, port in enumerate(ports(node)[:_WIRES]):
                nodes += f"        ring{ring}_addr: {port.addresses[0].partition('/')[0]}\n"
            nodes += "    }\n"
        return (
            "totem {\n    version: 2\n    cluster_name: bench\n    transport: knet\n"
            f"    crypto_cipher: aes256\n    crypto_hash: sha256\n{totem}}}\n"
            f"nodelist {{\n{nodes}}}\n"
            "quorum {\n    provider: corosync_votequorum\n    two_node: 1\n}\n"
            "logging {\n    to_syslog: yes\n    timestamp: on\n}\n"
        )

    def sections(self) -> dict[str, ET.Element]:
        """The cluster's configuration by its sections."""
        config = ET.Element("crm_config")
        held = ET.SubElement(config, "cluster_property_set", id="cib-bootstrap-options")
        for name, value in {**self.properties, _FENCING: "false"}.items():
            ET.SubElement(held, "nvpair", id=f"option-{name}", name=name, value=value)
        defaults = ET.Element("rsc_defaults")
        defaults.append(_values("defaults", "meta_attributes", {"resource-stickiness": "1"}))
        resources, constraints = ET.Element("resources"), ET.Element("constraints")
        for node in NODES:
            resources.append(self._fence_device(node))
            ET.SubElement(
                constraints,
                "rsc_location",
                id=f"not-on-{node}",
                rsc=f"fence-{node}",
                node=node,
                score="-INFINITY",
            )
        group = ET.SubElement(resources, "group", id="web")
        unit = SERVICE_UNIT.removesuffix(".service")
        service = {"id": "service", "class": "systemd", "type": unit}
        ET.SubElement(group, "primitive", service).append(_operations("service", 60, 100))
        address = {"id": "vip", "class": "ocf", "provider": "heartbeat", "type": "IPaddr2"}
        vip = ET.SubElement(group, "primitive", address)
        vip.append(_values("vip", "instance_attributes", {"ip": VIP, "cidr_netmask": "24"}))
        vip.append(_operations("vip", 10, 20))
        return {
            "crm_config": config,
            "rsc_defaults": defaults,
            "resources": resources,
            "constraints": constraints,
        }

    def _fence_device(self, node: str) -> ET.Element:
        owner = f"fence-{node}"
        device = ET.Element("primitive", {"id": owner, "class": "stonith", "type": "fence_ipmilan"})
        # IPMI 2.0, and the rights of the account: without these it does not work at all. And a
        # cipher suite: ipmi_sim does not answer when asked for its suites, which costs ipmitool
        # 15 s a call; real BMCs seldom are so.
        options = {"lanplus": "1", "privlvl": "operator", "cipher": "3", "pcmk_host_list": node}
        access = {"ip": bmc_address(node), "username": BMC_USER, "password": PASSWORD}
        device.append(_values(owner, "instance_attributes", {**options, **access, **self.fence}))
        device.append(_operations(owner, 60, _FENCE_TIMEOUT_S))
        return device

    def start(self, lab: VirtualLab) -> None:
        """See Contender."""
        secret = secrets.token_hex(_KEY_BYTES)
        for guest in lab.machines.values():
            for name, text in (("corosync.conf", self.corosync()), ("authkey", secret)):
                guest.ssh.write(f"{_DIRECTORY}/{name}", text, "600")
        for guest in lab.machines.values():
            guest.run("systemctl", "start", "--no-block", *self.units)
        first = lab.machines[NODES[0]]
        look(lambda: _both_online(_monitor(first)), READY_LIMIT_S, "both nodes online")
        for section, element in self.sections().items():
            order = ["cibadmin", "--modify", "--allow-create", "--scope", section, "--xml-pipe"]
            first.ssh.run(*order, text=ET.tostring(element, encoding="unicode"))
        # While all of it loads, a token is late now and then, and a server that was shot with "off"
        # would stay off: fencing is on once there is something to fence for.
        look(lambda: _serves(_monitor(first)), READY_LIMIT_S, "a group that runs")
        on = ("--type", "crm_config", "--name", _FENCING, "--update", "true")
        first.run("crm_attribute", *on)

    def could_take_over(self, active: Guest, standby: Guest) -> bool:
        """See Contender."""
        seen = [_monitor(guest) for guest in (active, standby)]
        return all(_both_online(one) and all_started(one, active.name) for one in seen)


def _monitor(guest: Guest) -> ET.Element | None:
    """What a node knows of the cluster; None while it knows nothing."""
    try:
        shown = guest.run("crm_mon", "--one-shot", "--output-as=xml", check=False).stdout
        return ET.fromstring(shown)  # noqa: S314  # the bench's own server
    except (ET.ParseError, subprocess.TimeoutExpired):
        return None


def _both_online(monitor: ET.Element | None) -> bool:
    """Whether both nodes are in the cluster, and neither is to be fenced."""
    if monitor is None:
        return False
    nodes = monitor.findall("nodes/node")
    good = [n for n in nodes if n.get("online") == "true" and n.get("unclean") == "false"]
    return len(good) == len(NODES)


def _serves(monitor: ET.Element | None) -> bool:
    """Whether both nodes are in the cluster and the group runs on one of them."""
    where = _started(monitor)
    return _both_online(monitor) and all(len(where.get(name, [])) == 1 for name in _GROUP)


def all_started(monitor: ET.Element | None, holder: str) -> bool:
    """Whether the group runs on a node and every fence device somewhere, and nothing is to do."""
    where = _started(monitor)
    fences = all(where.get(f"fence-{node}") for node in NODES)
    return fences and all(where.get(name) == [holder] for name in _GROUP)


def _started(monitor: ET.Element | None) -> dict[str, list[str]]:
    """On which nodes each resource runs; nothing of one with which something is still to do."""
    return {
        str(resource.get("id")): [str(node.get("name")) for node in resource.findall("node")]
        for resource in (() if monitor is None else monitor.iter("resource"))
        if resource.get("role") == "Started" and resource.get("pending") is None
    }


DEFAULT = Pacemaker(
    "pacemaker",
    "Pacemaker",
    "what `pcs` writes: token 3 s, two knet links, `two_node`, fence action `reboot`;"
    " `fence_ipmilan` with `lanplus` and a fixed `cipher` (`ipmi_sim` does not answer `ipmitool`'s"
    " question for its suites, which would cost 15 s a call)",
)
TUNED = Pacemaker(
    "pacemaker-tuned",
    "Pacemaker, tuned",
    "`token` 1 s (the former default, which its authors advise where the time counts) and"
    " `consensus` 0.5 s (corosync.conf(5): safe for two nodes); `stonith-action=off`, so that"
    " nothing waits for the power to return (somebody must switch the server on again);"
    " `fence_ipmilan` with `power_wait=0`."
    " No delay against fence races (`pcmk_delay_base`, `priority-fencing-delay`), which would make"
    " it slower",
    totem={"token": 1000, "consensus": 500},
    properties={"stonith-action": "off"},
    fence={"power_wait": "0"},
)
