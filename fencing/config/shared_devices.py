# SPDX-License-Identifier: GPL-2.0-or-later
"""What no single [[fence]] can tell: whether two of them are one device, or one machine.

One device must not stand for two. If a wrong address made one node's device that of the other,
the wrong machine would be proved off; if two levels were one device, they would fail together.
What the devices say of themselves is compared later, when they are checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from fencing.config.device_table import DeviceTable
from fencing.config.problems import HIDDEN, Problem
from fencing.drivers import DRIVERS, Address, cuts_power


def check_devices(tables: Sequence[DeviceTable]) -> tuple[Problem, ...]:
    """Everything that is wrong or unwise about these tables beside each other."""
    pairs = combinations(tables, 2)
    return tuple(problem for earlier, table in pairs for problem in _together(earlier, table))


def _together(earlier: DeviceTable, table: DeviceTable) -> Iterator[Problem]:
    if table.name.casefold() == earlier.name.casefold():
        yield Problem(f"{table.where}.name", table.name, "a second fence of this name; rename one")
    shared_identity = table.identity is not None and table.identity == earlier.identity
    if shared_identity and table.node != earlier.node:
        text = f"the identity of {earlier.node} already; no two machines share one"
        yield Problem(f"{table.where}.identity", table.identity, text)
    if _one_key(earlier, table):
        text = f"the key of {earlier.name} already; each node has its own"
        yield Problem(f"{table.where}.options.key", table.options["key"], text)
    if table.driver != earlier.driver:
        yield from _other_driver(earlier, table)
    elif DRIVERS[table.driver].address is Address.LINE:
        yield from _one_line(earlier, table)
    elif _one_device(earlier, table):
        place, value = ("address", table.address) if table.address else ("options", HIDDEN)
        text = f"the same device as {earlier.name}; correct the {place}, or remove one"
        yield Problem(f"{table.where}.{place}", value, text)


def _one_key(earlier: DeviceTable, table: DeviceTable) -> bool:
    """Whether a disk could not tell two nodes apart: whoever cuts one off cuts off both."""
    return (
        not cuts_power(table)
        and not cuts_power(earlier)
        and table.node != earlier.node
        and table.options["key"] == earlier.options["key"]
    )


def _one_device(earlier: DeviceTable, table: DeviceTable) -> bool:
    """Whether two entries of one driver, which is not that of a serial line, are one device.

    A BMC is told by its address and port alone, but one Redfish service may have several systems.
    A node has one key on a disk.
    """
    if not cuts_power(table):
        disks = (earlier.options["disk"], table.options["disk"])
        return table.node == earlier.node and disks[0] == disks[1]
    if DRIVERS[table.driver].address is Address.NONE:
        return (table.user, table.options) == (earlier.user, earlier.options)
    if (table.address.casefold(), _port(table)) != (earlier.address.casefold(), _port(earlier)):
        return False
    systems = {one.options.get("system") for one in (earlier, table)}
    return len(systems) == 1 or None in systems


def _port(table: DeviceTable) -> object:
    return table.options.get("port", DRIVERS[table.driver].default_port)


def _other_driver(earlier: DeviceTable, table: DeviceTable) -> Iterator[Problem]:
    """Two protocols at one address are one BMC, as long as the ports are the usual ones."""
    both = (earlier, table)
    if table.address.casefold() != earlier.address.casefold() or not all(map(_usual_port, both)):
        return
    where = f"{table.where}.address"
    if table.node == earlier.node:
        text = f"the BMC of {earlier.name} too: they fail together; add an independent device"
        yield Problem(where, table.address, text, refuses=False)
    elif all("system" not in one.options for one in both):
        text = f"the same device as {earlier.name}; correct the address, or remove one"
        yield Problem(where, table.address, text)


def _usual_port(table: DeviceTable) -> bool:
    driver = DRIVERS[table.driver]
    return driver.default_port is not None and _port(table) == driver.default_port


def _one_line(earlier: DeviceTable, table: DeviceTable) -> Iterator[Problem]:
    """Two entries on one serial line.

    Those of two nodes may be two PDUs: each node switches the other's by a line of its own.
    """
    if table.address != earlier.address:
        return
    same_plugs = _outlets(table) & _outlets(earlier)
    if table.node == earlier.node and same_plugs:
        text = f"the same device as {earlier.name}; correct the address, or remove one"
        yield Problem(f"{table.where}.address", table.address, text)
    elif table.node == earlier.node:
        text = f"shares its line with {earlier.name}: they wait for each other; list all in one"
        yield Problem(f"{table.where}.address", table.address, text, refuses=False)
    elif same_plugs:
        text = (
            f"line and outlets of {earlier.name} too, of another node; right only if each host "
            "has its own line: give the lines two names"
        )
        yield Problem(f"{table.where}.address", table.address, text, refuses=False)


def _outlets(table: DeviceTable) -> frozenset[tuple[object, int]]:
    outlets = table.options.get("outlets", ())
    assert isinstance(outlets, tuple), "outlets are read as integers"
    return frozenset((table.options.get("tower"), outlet) for outlet in outlets)
