# SPDX-License-Identifier: GPL-2.0-or-later
"""The questions in their order, each with what the machine itself suggests."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface

from fencing.config import forms
from haagent.initial.answers import Address, Answers, GroupAnswer, LinkAnswer
from haagent.initial.discovery import Machine, Nic
from haagent.initial.power import ask_power
from haagent.initial.questions import agree, ask, choose, heading, say
from haagent.watchdog import SOFTWARE

LINK_NAMES = {"switched": ("lan", "lan2", "lan3", "lan4"), "direct": ("ring", "ring2", "ring3")}
Subnet = IPv4Interface | IPv6Interface


def interview(machine: Machine) -> Answers:
    """Ask for everything that cannot be found out."""
    heading("The two nodes")
    say("By their host names. The first one holds the service when both are well.")
    this = ask("Name of this node", _name, machine.name)
    peer = ask("Name of the other node", lambda said: _other_name(said, this))
    nodes = (this, peer)
    cluster = ask("Name of the pair, for logs and against strangers", _name, "pair")
    links, subnets = _links(machine.nics)
    references = _references(machine)
    bmcs, pdus = ask_power(machine, nodes)
    group = _group(links, subnets)
    return Answers(
        cluster=cluster,
        nodes=nodes,
        links=links,
        references=references,
        bmcs=bmcs,
        pdus=pdus,
        group=group,
        watchdog=_watchdog(machine.watchdogs),
    )


def _name(said: str) -> str:
    return forms.name(said)


def _other_name(said: str, this: str) -> str:
    if said.casefold() == this.casefold():
        raise ValueError("that is this node")
    return _name(said)


def _links(nics: Sequence[Nic]) -> tuple[tuple[LinkAnswer, ...], dict[str, Subnet]]:
    """The links, and by its name the subnet of each."""
    heading("Heartbeat links")
    say("Best are two that share nothing: one with a switch, and a cable from node to node.")
    for nic in nics:
        say(_described(nic))
    usable = [nic for nic in nics if nic.carrier and nic.addresses]
    links: list[LinkAnswer] = []
    subnets: dict[str, Subnet] = {}
    while not links:
        for nic in usable:
            if agree(f"Use {nic.name} for the heartbeat?", default=nic.hardware or len(usable) < 3):
                link = _link(nic, [one.name for one in links])
                links.append(link)
                subnets[link.name] = _address(nic, link.addresses[0])
        if not links:
            if not usable:
                raise ValueError(
                    "no interface has a carrier and an address: configure the networks first"
                )
            say("At least one is needed.")
    if len(links) == 1:
        say("Only one link: when it fails, silence is all that is left to judge by.")
    return tuple(links), subnets


def _described(nic: Nic) -> str:
    state = "carrier" if nic.carrier else "no carrier"
    speed = f", {nic.speed} Mb/s" if nic.speed > 0 else ""
    route = ", default route" if nic.default_route else ""
    addresses = ", ".join(map(str, nic.addresses)) or "no address"
    return f"{nic.name}: {state}{speed}, {addresses}{route}"


def _link(nic: Nic, taken: Sequence[str]) -> LinkAnswer:
    own = nic.addresses[0]
    if len(nic.addresses) > 1:
        listed = [str(one.ip) for one in nic.addresses]
        chosen = choose(f"  This node's own address on {nic.name}", listed, listed[0])
        own = _address(nic, ip_address(chosen))
    guess = "switched" if nic.default_route or own.network.num_addresses > 8 else "direct"
    kind = choose(f"  Is {nic.name} switched, or a direct cable", ("switched", "direct"), guess)
    names = [name for name in LINK_NAMES[kind] if name not in taken]
    name = ask("  Name of the link", _name, next(iter(names), nic.name))
    there = ask("  Interface on the other node", _interface, nic.name)
    address = ask("  Its address there", lambda said: _peer_address(said, own), _opposite(own))
    multicast = kind == "switched"
    return LinkAnswer(
        name=name,
        kind="switched" if multicast else "direct",
        interfaces=(nic.name, there),
        addresses=(own.ip, address),
        multicast=multicast,
    )


def _address(nic: Nic, address: Address) -> Subnet:
    return next(one for one in nic.addresses if one.ip == address)


def _interface(said: str) -> str:
    if not 0 < len(said) < 16 or "/" in said or " " in said:
        raise ValueError("the name of an interface, such as eth0")
    return said


def _peer_address(said: str, own: Subnet) -> Address:
    address = _plain_address(said)
    if address == own.ip or address not in own.network:
        raise ValueError(f"another address in {own.network}")
    return address


def _plain_address(said: str) -> Address:
    try:
        return ip_address(said)
    except ValueError:
        raise ValueError("an IP address; name service is not relied on") from None


def _opposite(own: Subnet) -> str | None:
    """The only other host of a subnet for two."""
    hosts = list(own.network.hosts()) if own.network.num_addresses <= 4 else []
    others = [str(one) for one in hosts if one != own.ip]
    return others[0] if len(others) == 1 else None


def _references(machine: Machine) -> tuple[Address, ...]:
    heading("References")
    say("Routers that answer ping: by them an active knows that it has lost its clients.")
    default = " ".join(map(str, machine.gateways[:2]))
    return ask("Their addresses, with blanks between; empty for none", _addresses, default)


def _addresses(said: str) -> tuple[Address, ...]:
    return tuple(dict.fromkeys(_plain_address(word) for word in said.replace(",", " ").split()))


def _group(links: Sequence[LinkAnswer], subnets: dict[str, Subnet]) -> GroupAnswer:
    heading("The service")
    say("Units of systemd, started in this order on the node that is active, and nowhere else.")
    name = ask("Name of the group", _name, "service")
    units = ask("Units, with blanks between; empty for the address alone", _units, "")
    own = {address for link in links for address in link.addresses}
    vip = ask(
        "Virtual address with its prefix, such as 192.0.2.10/24", lambda said: _vip(said, own)
    )
    here, there = next(
        (link.interfaces for link in links if vip.ip in subnets[link.name].network),
        links[0].interfaces,
    )
    first = ask("Interface for it on this node", _interface, here)
    second = ask("Interface for it on the other node", _interface, there)
    return GroupAnswer(name, units, vip, (first, second))


def _units(said: str) -> tuple[str, ...]:
    units = said.replace(",", " ").split()
    for unit in units:
        if "." not in unit:
            raise ValueError(f"{unit}: with its suffix, such as {unit}.service")
    return tuple(dict.fromkeys(units))


def _vip(said: str, own: set[Address]) -> Subnet:
    if "/" not in said:
        raise ValueError("with its prefix length, such as /24")
    try:
        vip = ip_interface(said)
    except ValueError:
        raise ValueError("an IP address and a prefix length") from None
    if vip.ip in own:
        raise ValueError("a node has that one for its own; take one that nobody has")
    return vip


def _watchdog(found: Sequence[str]) -> str:
    """Identity of the one to use."""
    hardware = [one for one in found if one != SOFTWARE]
    heading("Watchdog")
    if not hardware:
        say("No hardware watchdog is known: load its driver (iTCO_wdt, sp5100_tco, ipmi_watchdog).")
        return ""
    say(f"Known: {', '.join(found)}. It resets this machine when the agent hangs.")
    if len(hardware) == 1:
        return hardware[0]
    return choose("Which one", hardware, hardware[0])
