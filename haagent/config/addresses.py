# SPDX-License-Identifier: GPL-2.0-or-later
"""Addresses of links, references, probes and virtual addresses: each where it can work."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

from fencing.config.forms import Address
from fencing.config.problems import ABSENT, join
from haagent.config.document import Document, Entry, LinkEntry
from haagent.config.findings import Findings
from haagent.config.schema import ProbeTable, VipTable
from haagent.config.values import Interface


def check_addresses(document: Document, findings: Findings) -> None:
    """Report addresses that are used twice, or where they cannot work."""
    nodes = _check_link_addresses(document, findings)
    vips = _check_vip_addresses(document, nodes, findings)
    taken = {**nodes, **vips}
    if document.network is not None:
        network = document.network.table
        for key, listed in (("references", network.references), ("neighbours", network.neighbours)):
            _check_references(key, listed, taken, findings)
        _check_neighbours(network.neighbours, document, findings)
    for fence in document.fences.tables:
        try:
            address = ip_address(fence.address)
        except ValueError:
            continue
        where = f"{fence.where}.address"
        if address in vips:
            findings.error(where, address, f"is the virtual address {vips[address]}; correct one")
        elif address in nodes:
            text = f"is {nodes[address]} too; the device must answer when its node is dead"
            findings.warning(where, address, text)
    _check_probes(document, nodes, findings)
    if {"link", "node"} <= document.whole:
        for group in document.groups:
            for vip in group.vips:
                _check_placement(vip, document, findings)


def _check_link_addresses(document: Document, findings: Findings) -> dict[Address, str]:
    """Addresses of the nodes, each with the key path that gives it."""
    seen: dict[Address, str] = {}
    for link in document.links:
        ends = [end for end in link.ends if end is not None]
        for end in ends:
            address = end.table.address
            if address in seen:
                text = f"is {seen[address]} too; every end of every link needs its own"
                findings.error(f"{end.where}.address", address, text)
            seen.setdefault(address, f"{end.where}.address")
        versions = {end.table.address.version for end in ends}
        if len(versions) == 2:
            text = "one end speaks IPv4, the other IPv6; use one on both"
            findings.error(link.where, link.table.name, text)
        elif link.table.group is not None and versions and link.table.group.version not in versions:
            text = "not of the same IP version as the link's addresses; use one for all"
            findings.error(f"{link.where}.group", link.table.group, text)
    return seen


def _check_vip_addresses(
    document: Document, nodes: dict[Address, str], findings: Findings
) -> dict[Address, str]:
    """Virtual addresses, each with the key path that gives it."""
    seen: dict[Address, str] = {}
    for group in document.groups:
        for vip in group.vips:
            address, where = vip.table.address.ip, f"{vip.where}.address"
            if address in nodes:
                text = f"is a node's own address ({nodes[address]}); a VIP belongs to nobody"
                findings.error(where, address, text)
            if address in seen:
                findings.error(where, address, f"is {seen[address]} too; list it once")
            seen.setdefault(address, where)
    return seen


def _check_references(
    key: str,
    references: list[IPv4Address | IPv6Address],
    taken: dict[Address, str],
    findings: Findings,
) -> None:
    for index, reference in enumerate(references):
        where = f"network.{key}.#{index + 1}"
        if reference in taken:
            text = f"is {taken[reference]}; a reference is a third party, such as the gateway"
            findings.error(where, reference, text)
        if reference in references[:index]:
            findings.error(where, reference, "listed twice; list it once")


def _check_neighbours(
    neighbours: list[IPv4Address | IPv6Address], document: Document, findings: Findings
) -> None:
    """A neighbour is asked on the interface of a virtual address in whose subnet it lies."""
    whole = "group" in document.whole and all(group.complete for group in document.groups)
    subnets = [vip.table.address.network for group in document.groups for vip in group.vips]
    for index, address in enumerate(neighbours):
        if whole and all(address not in subnet for subnet in subnets):
            text = "in no virtual address's subnet, so it is no neighbour; list it in references"
            findings.error(f"network.neighbours.#{index + 1}", address, text)


def _check_probes(document: Document, nodes: dict[Address, str], findings: Findings) -> None:
    for group in document.groups:
        for key, text_of_host in _probed(group.table.probe):
            where, host = f"{group.where}.probe.{key}", ip_address(text_of_host)
            if host in nodes:
                text = f"is one node's own address ({nodes[host]}); probe the virtual address"
                findings.error(where, host, text)
            elif group.complete and all(host != vip.table.address.ip for vip in group.vips):
                text = "is no virtual address of this group; a client would come another way"
                findings.warning(where, host, text)


def _probed(probe: ProbeTable | None) -> list[tuple[str, str]]:
    """Hosts that a probe asks, by the key that names them."""
    hosts = []
    if probe is not None and probe.tcp is not None:
        hosts.append(("tcp", probe.tcp[0]))
    if probe is not None and probe.http is not None:
        hosts.append(("http", probe.http.host))
    return hosts


def vip_interface(vip: VipTable, links: tuple[LinkEntry, ...], node: int) -> str | None:
    """Interface on which the node (0 or 1) can hold `vip`; None if there is not exactly one.

    Without a word in the file it is the interface of the link whose address lies in the subnet.
    """
    fitting = _interfaces(vip.address, links, node)
    return fitting[0] if len(fitting) == 1 else None


def _interfaces(vip: Interface, links: tuple[LinkEntry, ...], node: int) -> list[str]:
    ends = (link.ends[node] for link in links)
    return sorted({end.table.interface for end in ends if end and end.table.address in vip.network})


def _check_placement(vip: Entry[VipTable], document: Document, findings: Findings) -> None:
    names, chosen = document.node_names, vip.table.interface
    if chosen is None:
        for number, name in enumerate(names):
            fitting = _interfaces(vip.table.address, document.links, number)
            if not fitting:
                text = f"outside every subnet that {name} has a link in; correct the prefix"
                findings.error(f"{vip.where}.address", vip.table.address, text)
            elif len(fitting) > 1:
                text = f"{name} could hold it on {' or '.join(fitting)}; say which one"
                findings.error(f"{vip.where}.interface", ABSENT, text)
        return
    for name in chosen.keys() - set(names):
        text = f"no node; one of {', '.join(names)}"
        findings.error(f"{vip.where}.interface.{join(name)}", chosen[name], text)
    for number, name in enumerate(names):
        _check_chosen(vip, (number, name), document, findings)


def _check_chosen(
    vip: Entry[VipTable], node: tuple[int, str], document: Document, findings: Findings
) -> None:
    """The interface named for a node carries a link, and shares its subnet."""
    number, name = node
    where = f"{vip.where}.interface.{join(name)}"
    interface = (vip.table.interface or {}).get(name)
    if interface is None:
        findings.error(where, ABSENT, 'is missing; give both nodes, such as "eth0", or neither')
        return
    ends = [end for link in document.links if (end := link.ends[number]) is not None]
    addresses = [end.table.address for end in ends if end.table.interface == interface]
    same = [address for address in addresses if address.version == vip.table.address.version]
    if not addresses:
        text = "no link uses it; heartbeats must see what the clients see, add a link there"
        findings.error(where, interface, text)
    # Of another IP version nothing is known but that the interface is right.
    elif same and all(address not in vip.table.address.network for address in same):
        text = f"{vip.table.address} is outside the subnet of its link address {same[0]}"
        findings.error(where, interface, f"{text}; correct the interface or the prefix")
