# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole bench: two machines with BMCs, switches, a client and an observer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hil import database
from hil.bmc import IpmiSim
from hil.building import Building
from hil.client import Client
from hil.http_client import HttpClient
from hil.machine import Machine
from hil.namespaces import Namespace, inside
from hil.network import VIP, Network, Port
from hil.observer import Observer
from hil.pair import (
    BMC_PORT,
    BMC_USER,
    CLIENT,
    NODES,
    OBSERVER,
    PASSWORD,
    Options,
    bmc_address,
    identity,
    ports,
    write_configuration,
)
from hil.power import PowerSwitch
from hil.processes import DIE_WITH_US, module
from hil.record import Record
from hil.services import Services
from hil.shared_disk import INITIATOR, SharedDisk

DIRECTORY_PREFIX = "haagent-lab-"
RESTARTING = 'while :; do "$@"; sleep 0.2; done'
"""RestartSec=200ms, as in the unit."""


class Lab(Building):
    """A pair on the bench, as a context manager: entering builds it with all power off.

    Everything of it is a process that dies with us, a namespace held by such a process, or a
    file in its one directory, which leaving removes.
    """

    def __init__(
        self, options: Options | None = None, *, agent_command: tuple[str, ...] | None = None
    ) -> None:
        """Prepare.

        Args:
            options: How the pair departs from the usual one.
            agent_command: What every machine starts at boot; the text `NODE` in an argument
                stands for its name. By default `haagent run` with the pair's configuration.
        """
        super().__init__(DIRECTORY_PREFIX)
        self.options = options or Options()
        self._agent_command = agent_command

    def _build(self) -> None:
        self.network = Network()
        self._stack.callback(self.network.close)
        self.services = Services(self.directory)
        self._stack.callback(self.services.close)
        script = self.services.script
        self.disk = SharedDisk(self.directory / "shared") if self.options.shared_disk else None
        """What both machines reach."""
        self.configuration = write_configuration(self.directory, self.options, script, self.disk)
        self.power = Record(self.directory / "power.jsonl")
        """What was ordered of the power, and what it was: see PowerSwitch."""
        self._stack.callback(self.power.close)
        self.machines: dict[str, Machine] = {}
        self.switches: dict[str, PowerSwitch] = {}
        self.bmcs: dict[str, IpmiSim] = {}
        self.client_pid = self.attach("client", CLIENT)
        self.client = Client(self.client_pid, self.directory)
        self._stack.callback(self.client.close)
        self._observers: dict[str, Observer] = {}
        self._observer_pid = self.attach("observer", OBSERVER)
        self.observer = self.observe(VIP)
        for name in NODES:
            self._build_machine(name)
        if self.options.databases:
            machines = list(self.machines.values())
            disks = database.furnished(
                self.directory, machines, disk_mib=self.options.database_disk_mib
            )
            self._stack.enter_context(disks)

    @property
    def group(self) -> str:
        """Name of the group that serves the client."""
        return self.options.group

    def observe(self, address: str) -> Observer:
        """Have somebody watch who answers for an address of the LAN, from the first call on."""
        if address not in self._observers:
            observer = Observer(self._observer_pid, self.directory, address)
            self._stack.callback(observer.close)
            self._observers[address] = observer
        return self._observers[address]

    @contextmanager
    def browsing(self, path: str = "/") -> Iterator[HttpClient]:
        """Have a browser ask for a page at the VIP all the time; at the end it asks no more.

        What it asked before, it still waits for: then all of it is in its record.
        """
        browser = HttpClient(self.client_pid, self.directory, path)
        try:
            yield browser
            browser.finish()
        finally:
            browser.close()

    def attach(self, name: str, cables: tuple[Port, ...]) -> int:
        """Add somebody else to the networks; return a process in its namespace."""
        namespace = Namespace()
        self._stack.callback(namespace.close)
        self.network.plug(name, namespace.pid, cables)
        # Unplugged before it goes: a machine may be booting meanwhile.
        self._stack.callback(self.network.unplug, name)
        return namespace.pid

    def _build_machine(self, name: str) -> None:
        directory = self.directory / name
        machine = Machine(
            name,
            ports=ports(name),
            identity=identity(name),
            network=self.network,
            directory=directory,
            agent_command=self._command(name),
        )
        self.services.furnish(machine)
        (machine.disk / INITIATOR.name).write_text(f"{name}\n")
        self.machines[name] = machine
        self._stack.callback(machine.power_off)
        switch = PowerSwitch(machine, self.power, directory / "power")
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
            prefix=[*DIE_WITH_US, *inside(self.network.namespace.pid)],
        )
        bmc.start()
        self.bmcs[name] = bmc
        self._stack.callback(bmc.kill)

    def _command(self, name: str) -> tuple[str, ...]:
        if self._agent_command is not None:
            return tuple(part.replace("NODE", name) for part in self._agent_command)
        run = ("run", "--config", str(self.configuration), "--node", name)
        command = [*self.options.under, *module(self.options.program, *run)]
        if self.options.restarts:
            command = ["sh", "-c", RESTARTING, "sh", *command]
        return tuple(command)

    def power_on(self, *names: str) -> None:
        """Switch machines on, both when none is named."""
        for name in names or NODES:
            self.switches[name].switch(on=True)

    def power_off(self, name: str) -> int:
        """Pull a machine's plug (its BMC lives on); return when, monotonic ns."""
        return self.switches[name].switch(on=False)

    def other(self, machine: Machine) -> Machine:
        """The peer of a machine."""
        return next(m for m in self.machines.values() if m is not machine)
