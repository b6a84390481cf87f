# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole bench: two virtual servers with BMCs, switches, a client and an observer."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from hil.agent import GROUP, Agent, fences_ready
from hil.bmc import IpmiSim
from hil.building import Building
from hil.client import Client
from hil.labs import Machine
from hil.namespaces import inside
from hil.network import VIP, Port
from hil.observer import Observer
from hil.pair import (
    BMC_PORT,
    BMC_USER,
    CLIENT,
    NODES,
    OBSERVER,
    PASSWORD,
    bmc_address,
    identity,
    ports,
    spare,
)
from hil.power import PowerSwitch
from hil.processes import DIE_WITH_US
from hil.qemu.accelerator import accelerator
from hil.qemu.configuration import AUTHORITY, Settings, files
from hil.qemu.furniture import CONFIGURATION
from hil.qemu.guest import Guest
from hil.qemu.hardware import Server
from hil.qemu.image import Image
from hil.qemu.redfish import Redfish
from hil.qemu.supplies import APC, Supplies
from hil.qemu.wiring import Wiring
from hil.record import Entry, Record
from hil.redfish.certificates import Authority
from hil.ssh import STRANGER, Ssh

DIRECTORY_PREFIX = "haagent-hil-"
OPERATOR = (
    Port("mgmt", "eth0", "02:00:00:00:0d:01", ("203.0.113.100/24",)),
    Port("lan", "eth1", "02:00:00:00:0d:02", ("192.0.2.101/24",)),
)
"""From where the servers are logged in to; stands in the clients' LAN as well."""
_KCS_PORT = 9001
_FENCES_LIMIT_S = 120.0
"""For another fence worker to be loaded, and others if that takes too long."""


class VirtualLab(Building):
    """A pair of virtual servers, as a context manager: entering builds it with all power off.

    Everything of it is a process that dies with us, a namespace held by such a process, or a
    file in its one directory, which leaving removes.
    """

    def __init__(
        self, image: Image, *, furnish: Callable[[Guest], None] | None = None, make: str = APC
    ) -> None:
        """Prepare.

        Args:
            image: What the servers boot from.
            furnish: Gives a server its disk; by default what the image holds.
            make: Of the PDUs.
        """
        super().__init__(DIRECTORY_PREFIX)
        self.image = image
        self.group = GROUP
        self.address = VIP
        self.began_ns = 0
        """Everything that was seen belongs to the one scenario that such a pair has."""
        self._furnish = furnish or (lambda guest: guest.make_disk(image.disk, "raw"))
        self._make = make
        self._retired = False

    def _build(self) -> None:
        self.wiring = Wiring()
        self._stack.callback(self.wiring.close)
        self.power = Record(self.directory / "power.jsonl")
        """What was ordered of the power, and what it was: see PowerSwitch and Guest. Beside that
        `pdu`: a command that the outlets of a server were given."""
        self._stack.callback(self.power.close)
        self.machines: dict[str, Guest] = {}
        self.switches: dict[str, PowerSwitch] = {}
        self.bmcs: dict[str, IpmiSim] = {}
        self.authority = Authority(self.directory)
        self.redfish: dict[str, Redfish] = {}
        """The same BMCs' web sides, closed until offered."""
        self.supplies: dict[str, Supplies] = {}
        self.mains: dict[str, Supplies] = {}
        """A second PDU behind each, which is nobody's but the operator's."""
        for name in NODES:
            for kind, before in (("pdu", self.supplies), ("mains", self.mains)):
                before[name] = Supplies(
                    self.directory / f"{name}.{kind}",
                    pull=partial(self.pull_cord, name),
                    plug=partial(self._plug_if_fed, name),
                    told=partial(self._note_command, name) if kind == "pdu" else None,
                    make=self._make,
                )
                self._stack.enter_context(before[name])
        self.client_pid = self.wiring.attach("client", CLIENT)
        self.client = Client(self.client_pid, self.directory)
        self._stack.callback(self.client.close)
        self.observer = Observer(self.wiring.attach("observer", OBSERVER), self.directory, VIP)
        self._stack.callback(self.observer.close)
        self.operator_pid = self.wiring.attach("operator", OPERATOR)
        processor = accelerator(self.image.kernel, self.image.initrd)
        for number, name in enumerate(NODES):
            self._build_server(name, _KCS_PORT + number, processor)
        # First of all the servers go: no agent is to order anything of what is taken down.
        self._stack.callback(self._retire)

    def _retire(self) -> None:
        self._retired = True
        for guest in self.machines.values():
            guest.retire()

    def _build_server(self, name: str, kcs_port: int, processor: tuple[str, ...]) -> None:
        directory = self.directory / name
        directory.mkdir()
        cables = (*ports(name), spare(name))
        self.wiring.lay(name, cables)
        (peer,) = (node for node in NODES if node != name)
        server = Server(
            name,
            cables,
            identity(name),
            self.image,
            processor,
            kcs_port,
            directory,
            serial_line=self.supplies[peer].pdu.path,
        )
        address = ports(name)[2].addresses[0].partition("/")[0]
        ssh = Ssh(
            f"root@{address}",
            directory,
            options=(*STRANGER, "-i", str(self.image.login_key)),
            operator_pid=self.operator_pid,
        )
        guest = Guest(server, ssh, self.power, self.wiring.pid)
        self._furnish(guest)
        self.machines[name] = guest
        self.wiring.connect(guest)
        self._stack.callback(guest.close)
        switch = PowerSwitch(guest, self.power, directory / "power")
        self.switches[name] = switch
        self._stack.callback(switch.close)
        bmc = IpmiSim(
            directory / "bmc",
            BMC_PORT,
            address=bmc_address(name),
            user=BMC_USER,
            password=PASSWORD,
            guid=identity(name),
            chassis_control=str(switch.script),
            kcs_port=kcs_port,
            prefix=[*DIE_WITH_US, *inside(self.wiring.pid)],
        )
        bmc.start()
        self.bmcs[name] = bmc
        self._stack.callback(bmc.kill)
        self.redfish[name] = Redfish(
            bmc.address, bmc.guid, self.authority, network_pid=self.wiring.pid
        )
        self._stack.callback(self.redfish[name].stop)

    def logs(self) -> dict[str, str]:
        """What QEMU, the BMCs, the observer and the client said of themselves."""
        consoles = [guest.server.console for guest in self.machines.values()]
        return {
            str(path.relative_to(self.directory)): path.read_text(errors="replace")
            for path in sorted(self.directory.rglob("*.log"))
            if path not in consoles
        }

    def power_on(self, *names: str) -> int:
        """Switch servers on, both when none is named; return when, monotonic ns."""
        at_ns = time.monotonic_ns()
        resumed = [self.machines[name] for name in names or NODES if self.machines[name].resume]
        for name in names or NODES:
            self.switches[name].switch(on=True)
        for guest in resumed:  # both at once, or the one misses the other
            guest.thaw()
        return at_ns

    def power_off(self, name: str) -> int:
        """Cut a server's power (its BMC lives on); return when, monotonic ns."""
        return self.switches[name].switch(on=False)

    def pull_cord(self, name: str) -> int:
        """Cut the power of a server and of its BMC; return when, monotonic ns."""
        self.bmcs[name].kill()
        self.redfish[name].stop()
        return self.power_off(name)

    def plug_cord(self, name: str) -> int:
        """The opposite: the BMC comes up, and by its restore policy the server boots."""
        if not self._retired:
            self.bmcs[name].start()
            self.redfish[name].start()
        return self.power_on(name)

    def _plug_if_fed(self, name: str) -> None:
        if self.supplies[name].fed and self.mains[name].fed:
            self.plug_cord(name)

    def outlet_commands(self, name: str) -> list[Entry]:
        """What the outlets of a server were told by its peer."""
        told = self.power.since(self.began_ns)
        return [entry for entry in told if (entry["what"], entry["node"]) == ("pdu", name)]

    def _note_command(self, name: str, command: str) -> None:
        self.power.add({"what": "pdu", "node": name, "command": command})

    def change_to_redfish(self, face: str) -> None:
        """Have both agents speak to the web side of the BMCs, as a maker has it; return when ready.

        Raises:
            NotSeenError: They do not get on with it.
        """
        for name, redfish in self.redfish.items():
            guest = self.machines[name]
            guest.ssh.write(AUTHORITY, self.authority.file.read_text())
            redfish.offer(face, self.switches[name], guest)
        self.reload(Settings(redfish=True))

    def configure(self, settings: Settings) -> None:
        """Write the pair's configuration to both disks, and have the agents started anew.

        Raises:
            RuntimeError: A server refused.
        """
        written = files(settings)
        for name in reversed(NODES):  # the standby first, so that nothing moves
            self.machines[name].run("systemctl", "stop", "haagent.service")
        for guest in self.machines.values():
            for path, content in written.items():
                guest.ssh.write(path, content, "600")
        for guest in self.machines.values():
            # Both are loaded at once; whether they work, `ready` sees.
            guest.run("systemctl", "start", "--no-block", "haagent.service")

    def reload(self, settings: Settings) -> None:
        """The same while both agents run on; return when they could fence by it.

        Raises:
            RuntimeError: An agent refused, for instance because it needs a restart for that.
            NotSeenError: A fence device does not answer.
        """
        text = files(settings)[CONFIGURATION]
        for guest in self.machines.values():
            guest.ssh.write(CONFIGURATION, text, "600")
        for name, guest in self.machines.items():
            reply = Agent(guest).ask("reload")
            if not reply["ok"]:
                raise RuntimeError(f"{name}: {reply['message']}")
        for guest in self.machines.values():
            Agent(guest).wait(fences_ready, _FENCES_LIMIT_S, "fence devices ready")

    def other(self, guest: Machine) -> Guest:
        """The peer of a server."""
        return next(g for g in self.machines.values() if g is not guest)
