# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration file, as a person would have written it: each thing with a word on why."""

from __future__ import annotations

import json
from collections.abc import Iterator

from haagent.initial.answers import Answers, BmcAnswer, GroupAnswer, LinkAnswer, PduAnswer

GROUPS = {4: "239.192.72.{}", 6: "ff02::4841:{}"}
"""Source: RFC 2365, 6.2 (organization-local scope); RFC 4291, 2.7 (link-local scope)."""
STOP_S = 30
"""For a unit to stop; the budget below holds them all, and what a kill takes."""
KILL_S = 4
BUDGET_MIN_S = 20


def file_text(answers: Answers) -> str:
    """The whole file."""
    return "\n".join(_lines(answers)) + "\n"


def password_file(bmc: BmcAnswer) -> str:
    """Name of the file, beside the configuration, that holds a BMC's password."""
    return f"{bmc.node}-bmc.password"


def _lines(answers: Answers) -> Iterator[str]:
    first, second = answers.nodes
    yield "# Written by haagent init. The same on both nodes; a node knows itself by its host name."
    yield "# After a change: haagent check-config FILE, copy it to the other node, haagent reload"
    yield "# on both. Every key: docs/configuration.md."
    yield f"cluster = {_quoted(answers.cluster)}"
    yield ""
    yield "# Signs the heartbeats. Another one: haagent keygen; docs/configuration.md rotates it."
    yield "[key]"
    yield "send = 1"
    yield 'files = { 1 = "key.1" }'
    yield ""
    budget_s = max(BUDGET_MIN_S, len(answers.group.units) * STOP_S + KILL_S)
    if budget_s > BUDGET_MIN_S:
        yield "# All that a group's resources may take to stop, and 4 s to end what hangs."
        yield "[timing]"
        yield f'stop_budget = "{budget_s}s"'
        yield ""
    yield "# Machines that answer ping while this node's network is well: routers, not each other."
    yield "# Without one, an active that lost its clients does not know it."
    yield "[network]"
    yield f"references = [{', '.join(_quoted(str(one)) for one in answers.references)}]"
    yield ""
    yield "# Resets this machine when the agent hangs. preferred: an alarm when there is none."
    yield "[watchdog]"
    yield 'mode = "preferred"'
    if answers.watchdog:
        yield f"identity = {_quoted(answers.watchdog)}"
    yield ""
    yield "# Host names. Where both would shoot at once, the first one does."
    for node in (first, second):
        yield "[[node]]"
        yield f"name = {_quoted(node)}"
    for number, link in enumerate(answers.links, 1):
        yield ""
        yield from _link(link, number, answers.nodes)
    yield ""
    yield "# What cuts each node's power, and reads it back as off. Level 1 first; all devices of a"
    yield "# level must read off. Passwords are in files beside this one, mode 0600."
    for bmc in answers.bmcs:
        yield from _bmc(bmc)
    if answers.pdus:
        yield ""
        yield "# Needed when a cord is pulled: the BMC dies with it. Each PDU hangs on the line of"
        yield "# the *other* node. Every outlet that feeds the node."
    for pdu in answers.pdus:
        yield from _pdu(pdu, level=2 if answers.bmcs else 1)
    yield ""
    yield from _group(answers.group, answers.nodes)


def _link(link: LinkAnswer, number: int, nodes: tuple[str, str]) -> Iterator[str]:
    if link.kind == "direct":
        yield "# A cable from node to node: no switch can fail, and it tells nothing about clients."
    else:
        yield "# A network with a switch."
    yield "[[link]]"
    yield f"name = {_quoted(link.name)}"
    yield f'kind = "{link.kind}"'
    if link.multicast:
        yield f'group = "{GROUPS[link.addresses[0].version].format(number)}"'
    else:
        yield 'transport = "unicast"'
    for node, interface, address in zip(nodes, link.interfaces, link.addresses, strict=True):
        end = f"interface = {_quoted(interface)}, address = {_quoted(str(address))}"
        yield f"{_key(node)} = {{ {end} }}"


def _bmc(bmc: BmcAnswer) -> Iterator[str]:
    yield "[[fence]]"
    yield f"name = {_quoted(f'{bmc.node}-bmc')}"
    yield f"node = {_quoted(bmc.node)}"
    yield f'driver = "{bmc.driver}"'
    yield f"address = {_quoted(str(bmc.address))}"
    yield f"user = {_quoted(bmc.user)}"
    yield f"password_file = {_quoted(password_file(bmc))}"
    if bmc.fingerprint:
        yield f"options = {{ fingerprint = {_quoted(bmc.fingerprint)} }}"


def _pdu(pdu: PduAnswer, level: int) -> Iterator[str]:
    yield "[[fence]]"
    yield f"name = {_quoted(f'{pdu.node}-pdu')}"
    yield f"node = {_quoted(pdu.node)}"
    yield 'driver = "pdu"'
    yield f"level = {level}"
    yield f"address = {_quoted(pdu.line)}"
    outlets = ", ".join(map(str, pdu.outlets))
    yield f'options = {{ dialect = "{pdu.dialect}", outlets = [{outlets}] }}'


def _group(group: GroupAnswer, nodes: tuple[str, str]) -> Iterator[str]:
    yield "# What moves as one: resources, started in this order, then the address of its clients."
    yield "# Other kinds of resource (ocf, command, postgresql): docs/resources."
    yield "[[group]]"
    yield f"name = {_quoted(group.name)}"
    yield f"preferred = {_quoted(nodes[0])}"
    for unit in group.units:
        yield ""
        yield "[[group.resource]]"
        yield 'kind = "systemd"'
        yield f"unit = {_quoted(unit)}"
        yield f'stop_timeout = "{STOP_S}s"'
    yield ""
    yield "[[group.vip]]"
    yield f"address = {_quoted(str(group.vip))}"
    ends = ", ".join(
        f"{_key(node)} = {_quoted(name)}"
        for node, name in zip(nodes, group.interfaces, strict=True)
    )
    yield f"interface = {{ {ends} }}"


def _quoted(text: str) -> str:
    """A TOML basic string; JSON's escapes are a part of TOML's."""
    return json.dumps(text)


def _key(name: str) -> str:
    """A TOML key: bare where that is allowed."""
    return name if name.replace("-", "").replace("_", "").isalnum() else _quoted(name)
