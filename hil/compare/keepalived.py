# SPDX-License-Identifier: GPL-2.0-or-later
"""keepalived: VRRP between two servers, no fence, no quorum; the service runs on both all day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hil.network import VIP
from hil.pair import NODES
from hil.qemu.furniture import SERVICE_UNIT

if TYPE_CHECKING:
    from hil.qemu.guest import Guest
    from hil.qemu.lab import VirtualLab

_FILE = "/etc/keepalived/keepalived.conf"
_PRIORITIES = dict(zip(NODES, (100, 90), strict=True))


@dataclass(frozen=True, slots=True)
class Keepalived:
    """One VRRP instance with one address."""

    name: str
    title: str
    settings: str
    global_lines: tuple[str, ...] = ()
    instance_lines: tuple[str, ...] = ()
    states: tuple[str, str] = ("MASTER", "BACKUP")

    @property
    def units(self) -> tuple[str, ...]:
        """See Contender."""
        return ("keepalived.service",)

    @property
    def packages(self) -> tuple[str, ...]:
        """See Contender."""
        return ("keepalived",)

    def configuration(self, node: str) -> str:
        """Its file on a server."""
        state = dict(zip(NODES, self.states, strict=True))[node]
        lines = ["global_defs {", f"router_id {node}", *self.global_lines, "}"]
        lines += ["vrrp_instance web {", f"state {state}", "interface eth0"]
        lines += ["virtual_router_id 51", f"priority {_PRIORITIES[node]}", *self.instance_lines]
        lines += ["virtual_ipaddress {", f"{VIP}/24", "}", "}"]
        return "\n".join(lines) + "\n"

    def start(self, lab: VirtualLab) -> None:
        """See Contender."""
        for name, guest in lab.machines.items():
            guest.ssh.write(_FILE, self.configuration(name))
            guest.run("systemctl", "start", SERVICE_UNIT, *self.units)

    def could_take_over(self, active: Guest, standby: Guest) -> bool:
        """See Contender: it shows nothing of its peer, so it runs and does not hold the address."""
        held = [
            VIP in guest.run("ip", "-brief", "address", "show", "dev", "eth0").stdout
            for guest in (active, standby)
        ]
        runs = standby.run("systemctl", "is-active", *self.units, check=False)
        return held == [True, False] and runs.returncode == 0


DEFAULT = Keepalived(
    "keepalived",
    "keepalived",
    "its defaults: VRRP 2, an advertisement a second, three of them missed, MASTER and BACKUP",
)
TUNED = Keepalived(
    "keepalived-tuned",
    "keepalived, tuned",
    "VRRP 3 with `advert_int 0.25` (0.1 is used on metal; emulated servers stall longer than that),"
    " both BACKUP with `nopreempt`, real-time priority and locked memory, `higher_prio_send_advert`"
    " and `garp_master_refresh` against stale neighbours: as its manual page and its issue tracker"
    " advise",
    global_lines=(
        "vrrp_version 3",
        "vrrp_rt_priority 50",
        "vrrp_no_swap",
        "vrrp_higher_prio_send_advert true",
        "vrrp_garp_master_refresh 60",
    ),
    instance_lines=("advert_int 0.25", "nopreempt"),
    states=("BACKUP", "BACKUP"),
)
