# SPDX-License-Identifier: GPL-2.0-or-later
"""The operator's word, before anything of a lab is touched."""

from __future__ import annotations

from hil.metal.inventory import Inventory

_TERMINAL = "/dev/tty"


class NoConsentError(Exception):
    """Nobody said it, or not this."""


def ask(inventory: Inventory, scenarios: int) -> None:
    """Say what will be done, and return when a person has typed the cluster's name.

    Asked at the terminal itself: what a pipe says is no person's word.

    Raises:
        NoConsentError: Something else came, or there is no terminal.
    """
    lines = [f"These two servers will crash, be cut off and power-cycled (scenarios: {scenarios}):"]
    lines += [
        f"  {server.name}: ssh {server.ssh}, {server.bmc.driver} at {server.bmc.address}"
        for server in inventory.servers
    ]
    lines.append(f"What runs on them dies with them. The cluster's name ({inventory.cluster}): ")
    try:
        with open(_TERMINAL, "r+b", buffering=0) as terminal:  # noqa: PTH123  # no file
            terminal.write("\n".join(["", *lines]).encode())
            said = terminal.readline().decode(errors="replace").strip()
    except OSError as error:
        raise NoConsentError("there is no terminal at which to type the cluster's name") from error
    if said != inventory.cluster:
        raise NoConsentError(f'that is not "{inventory.cluster}"')
