# SPDX-License-Identifier: GPL-2.0-or-later
"""The switch ports of a lab: taken down and up by the operator's own commands."""

from __future__ import annotations

from hil.labs import LabLacksError, Machine
from hil.metal.inventory import Inventory, PortCommands
from hil.processes import run


class Ports:
    """The ports of both servers; remembers which are down."""

    def __init__(self, inventory: Inventory) -> None:
        self._known = {
            (server.name, wire): port
            for server in inventory.servers
            for wire, port in server.ports.items()
        }
        self._down: list[PortCommands] = []

    def cut(self, machine: Machine, wire: str) -> None:
        """Take a port down.

        Raises:
            LabLacksError: The inventory names none.
            RuntimeError: The command failed.
        """
        port = self._known.get((machine.name, wire))
        if port is None:
            raise LabLacksError(f"a switch port for {machine.name}'s {wire}")
        self._down.append(port)  # first: a command that fails half way is undone as well
        run(port.down)

    def mend(self) -> None:
        """Bring up all that is down.

        Raises:
            RuntimeError: A command failed.
        """
        while self._down:
            run(self._down[-1].up)
            self._down.pop()
