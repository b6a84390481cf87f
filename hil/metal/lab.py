# SPDX-License-Identifier: GPL-2.0-or-later
"""A real pair as a lab, by what its inventory names: ssh, BMCs, the bench's PDU, switch ports."""

from __future__ import annotations

import time
from contextlib import ExitStack
from uuid import UUID

from fencing import Power
from fencing.identity import same
from hil.agent import Agent
from hil.building import Building
from hil.client import Client
from hil.labs import LabLacksError, Machine
from hil.metal.inventory import Inventory
from hil.metal.ports import Ports
from hil.metal.server import Server
from hil.observer import Observer
from hil.processes import run
from hil.qemu.furniture import SERVICE_UNIT, service_files
from hil.record import Entry, NotSeenError, Record
from hil.watch import ready

DIRECTORY_PREFIX = "haagent-rack-"
ANSWER_LIMIT_S = 120.0
"""A BMC that has got its power needs a minute until it answers."""
SEEN_LIMIT_S = 20.0
"""Whoever holds the address answers within milliseconds."""
READY_LIMIT_S = 300.0
"""From a login on; an emulated server takes half a minute to load its agent."""


class NotThisLabError(Exception):
    """What answers is not what the inventory says, or does not work: nothing was done to it."""


class MetalLab(Building):
    """The pair, as a context manager; entering looks at everything and changes nothing.

    What it adds to the servers is the bench's own service, when that is missing. Whatever a
    scenario did is undone before the next one, by a boot where nothing less is certain.
    """

    def __init__(self, inventory: Inventory) -> None:
        super().__init__(DIRECTORY_PREFIX)
        self.inventory = inventory
        self.group = inventory.group
        self.address = inventory.address
        self.machines: dict[str, Server] = {}
        self.began_ns = 0
        """Since when what was seen belongs to the present scenario."""

    def _build(self) -> None:
        self.power = Record(self.directory / "power.jsonl")
        """What the BMCs said of the power: see hil.metal.reading."""
        self._stack.callback(self.power.close)
        self.wiring = Ports(self.inventory)
        for entry in self.inventory.servers:
            directory = self.directory / entry.name
            directory.mkdir()
            server = Server(entry, directory, self.power, self.inventory.boot_limit_s)
            self._stack.callback(server.close)
            self.machines[entry.name] = server
        for server in self.machines.values():
            self._examine(server)
        self._watchers = self._stack.enter_context(ExitStack())
        self._watch()

    def _watch(self) -> None:
        """Begin a new client and a new observer, who keep what one scenario is about."""
        self._watchers.close()
        interface, address = self.inventory.interface, self.inventory.address
        own = own_address(interface)
        self.client = Client(None, self.directory, address)
        self._watchers.callback(self.client.close)
        self.observer = Observer(None, self.directory, address, interface=interface, asker=own)
        self._watchers.callback(self.observer.close)

    def _examine(self, server: Server) -> None:
        """Look whether this is the server that the inventory means, before anything is done.

        Raises:
            NotThisLabError: It is not, or it does not answer.
        """
        try:
            server.meet()
            known = server.ask("cat", "/sys/class/dmi/id/product_uuid")
            told = server.bmc.identity()
            status = Agent(server).ask("status")["data"]
        except (NotSeenError, RuntimeError, OSError) as error:
            raise NotThisLabError(f"{server.name}: {error}") from error
        if told is not None and not same(told, UUID(known)):
            raise NotThisLabError(f"{server.name} is {known}, and its BMC is that of {told}")
        if (status["cluster"], status["node"]) != (self.inventory.cluster, server.name):
            found = f"node {status['node']} of cluster {status['cluster']}"
            raise NotThisLabError(f"{server.name}: an agent answers there that is {found}")

    def furnish(self) -> None:
        """Put the bench's service on a server that has none, and have the agents look again."""
        lacking = [
            server
            for server in self.machines.values()
            if not server.ask("sh", "-c", f"systemctl cat {SERVICE_UNIT} 2>/dev/null || true")
        ]
        for server in lacking:
            for path, content in service_files().items():
                server.way.write(path, content)
            server.way.run("sh", "-c", "systemctl daemon-reload && sync")
        # Not a restart: an agent that takes longer to load than it has announced would be shot.
        for words in (("stop",), ("start", "--no-block")) if lacking else ():
            for server in self.machines.values():
                server.way.run("systemctl", *words, "haagent.service")

    def settle(self) -> None:
        """Undo whatever was done, until the pair is ready and everybody who watches sees it.

        Raises:
            DeviceError: A server does not get its power.
            NotSeenError: It does not come back, or an observer sees nothing.
        """
        self.wiring.mend()
        for server in self.machines.values():
            self._give_power(server)
        for server in self.machines.values():
            if server.touched and server.is_in_its_old_boot():
                server.leave("reboot")
        for server in self.machines.values():
            if server.touched or not server.boot_id():
                server.wait_up()
            server.meet()
        self._watch()
        active, _ = ready(self, limit_s=READY_LIMIT_S)
        self.observer.wait_holder(active.mac, SEEN_LIMIT_S, after_ns=time.monotonic_ns())
        self.began_ns = time.monotonic_ns()
        for server in self.machines.values():
            server.power.tell()

    def _give_power(self, server: Server) -> None:
        if server.mains is not None and server.mains.status() is not Power.ON:
            server.mains.on()
            server.power.fed()
        power = server.power.wait_answer(ANSWER_LIMIT_S)
        if power is Power.ON and server.stands_still() and not server.boot_id():
            server.power.expect_off()
            server.bmc.off()
            power = Power.OFF
        if power is not Power.ON:
            server.bmc.on()
            server.power.wait(Power.ON, ANSWER_LIMIT_S)

    def check_observers(self) -> None:
        """Check that those who had to see everything of a scenario have seen anything.

        Raises:
            AssertionError: One was blind: what it did not see proves nothing.
        """
        for server in self.machines.values():
            server.power.check_seen(self.began_ns)
        assert self.observer.record.since(self.began_ns), "the observer saw no frame of the pair"
        assert self.client.record.since(self.began_ns), "the client had no answer"

    def logs(self) -> dict[str, str]:
        """The agents' journals, of the servers that let us in."""
        journal = ("journalctl", "--boot", "--lines=500", "--output=short-precise")
        return {
            f"{name}'s agent": server.run(*journal, "--unit=haagent", check=False).stdout
            for name, server in self.machines.items()
        }

    def power_on(self, *names: str) -> int:
        """Switch servers on by their BMCs, both when none is named; return when, ns."""
        at_ns = time.monotonic_ns()
        for name in names or self.machines:
            self.machines[name].bmc.on()
        return at_ns

    def power_off(self, name: str) -> int:
        """Cut a server's power by its BMC; return when that was ordered, ns."""
        server = self.machines[name]
        server.power.expect_off()
        server.touched = True
        at_ns = time.monotonic_ns()
        server.bmc.off()
        server.power.wait(Power.OFF, ANSWER_LIMIT_S)
        return at_ns

    def pull_cord(self, name: str) -> int:
        """Cut the power of a server and of its BMC by the bench's PDU; return when, ns.

        Raises:
            LabLacksError: The inventory names none.
        """
        server = self.machines[name]
        if server.mains is None:
            raise LabLacksError(f"a PDU of the bench's own for {name}")
        server.power.expect_off()
        server.touched = True
        at_ns = time.monotonic_ns()
        server.mains.off()
        server.power.cut()
        return at_ns

    def outlet_commands(self, name: str) -> list[Entry]:
        """Nobody but the peer has that line."""
        raise LabLacksError(f"a second ear on the line of {name}'s PDU")

    def other(self, machine: Machine) -> Server:
        """The peer of a server."""
        return next(s for s in self.machines.values() if s.name != machine.name)


def own_address(interface: str) -> str:
    """The IPv4 address of an interface of this machine.

    Raises:
        NotThisLabError: It has none.
    """
    shown = run(["ip", "-4", "-oneline", "addr", "show", "dev", interface], check=False).stdout
    words = shown.split()
    if "inet" not in words:
        raise NotThisLabError(f"{interface} of this machine has no IPv4 address, or is not there")
    return words[words.index("inet") + 1].partition("/")[0]
