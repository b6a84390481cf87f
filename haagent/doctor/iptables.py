# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules of legacy iptables, written as nftables' own listing has its rules.

The kernel keeps both, and asks both: so they are followed by one and the same reader
(haagent.doctor.packet_path), to which what is not known here is a condition that may hold or not.

Source: iptables(8), iptables-extensions(8); libnftables-json(5).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from haagent.asking import output

Json = Mapping[str, Any]
NET = Path("/proc/thread-self/net")
NAMES = {4: NET / "ip_tables_names", 6: NET / "ip6_tables_names"}
"""Tables that are loaded; empty, or not there, where nobody used legacy iptables."""
PROGRAMS = {4: "iptables-legacy-save", 6: "ip6tables-legacy-save"}
HOOKS = ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING", "FORWARD")
ENDING = {"ACCEPT": "accept", "DROP": "drop", "REJECT": "reject", "RETURN": "return"}
GOING_ON = frozenset({"LOG", "NFLOG", "MARK", "CONNMARK", "CT", "NOTRACK", "TRACE", "TCPMSS"})
"""Targets after which the next rule is looked at."""


def loaded(version: int) -> bool:
    """Whether legacy iptables has tables in this kernel, of an IP version."""
    try:
        return bool(NAMES[version].read_text())
    except OSError:
        return False


def rules(version: int) -> Sequence[Json] | None:
    """All of them; None if they cannot be asked for."""
    saved = output(PROGRAMS[version])
    return None if saved is None else list(translated(saved, "ip" if version == 4 else "ip6"))


def translated(saved: str, family: str) -> Iterator[Json]:
    """What `iptables-save` printed, as objects of `nft --json list ruleset`."""
    table, chains = "", set[str]()
    for line in saved.splitlines():
        if line.startswith("*"):
            table, chains = line[1:], set()
        elif line.startswith(":"):
            name, policy, *_counters = line[1:].split()
            chains.add(name)
            yield {"chain": _chain(family, table, name, policy)}
        elif line.startswith("-A "):
            _, chain, *words = shlex.split(line)
            place = {"family": family, "table": table, "chain": chain}
            yield {"rule": {**place, "expr": list(_expressions(words, family, chains))}}


def _chain(family: str, table: str, name: str, policy: str) -> Json:
    chain = {"family": family, "table": table, "name": name}
    if name not in HOOKS:
        return chain
    kind = "nat" if table == "nat" else "filter"
    return {**chain, "type": kind, "hook": name.lower(), "policy": policy.lower()}


def _expressions(words: Sequence[str], family: str, chains: AbstractSet[str]) -> Iterator[Json]:
    """Conditions and verdict of one rule. The verdict is last, with options of its own."""
    left = list(words)
    differs = False
    while left:
        word = left.pop(0)
        if word == "!":
            differs = True
            continue
        if word in {"-j", "-g"}:
            yield _verdict(left[0], chains, goto=word == "-g")
            return
        values = [left.pop(0)] if word == "--comment" else []  # which may begin with "-"
        while left and left[0] != "!" and not left[0].startswith("-"):
            values.append(left.pop(0))
        if word not in {"-m", "--comment"}:
            matched = _match(word, " ".join(values), family)
            op = "!=" if differs else "=="
            yield {"match": {**matched, "op": op}} if matched else {"unknown": word}
        differs = False


def _verdict(target: str, chains: AbstractSet[str], *, goto: bool) -> Json:
    if target in ENDING:
        return {ENDING[target]: None}
    if target in chains:
        return {"goto" if goto else "jump": {"target": target}}
    return {"log": None} if target in GOING_ON else {"unknown": target}


def _match(word: str, value: str, family: str) -> Json | None:
    """One condition; None if it is none that is known here."""
    match word:
        case "-i" | "-o":
            name = value.removesuffix("+") + "*" if value.endswith("+") else value
            return _compared({"meta": {"key": f"{word[1]}ifname"}}, name)
        case "-s" | "-d":
            address, _, bits = value.partition("/")
            if not bits.isdigit():
                return None
            field = {"protocol": family, "field": "saddr" if word == "-s" else "daddr"}
            return _compared({"payload": field}, {"prefix": {"addr": address, "len": int(bits)}})
        case "-p":
            return _compared({"meta": {"key": "l4proto"}}, value)
        case "--dport" | "--dports" | "--sport" | "--sports":
            # Of whatever protocol: "-p", before it, has told whether it is this packet's.
            field = {"protocol": "udp", "field": word[2:7]}
            return _compared({"payload": field}, {"set": [_ports(one) for one in value.split(",")]})
        case "--ctstate" | "--state":
            return _compared({"ct": {"key": "state"}}, {"set": value.lower().split(",")})
        case _:
            return None


def _compared(left: Json, right: object) -> Json:
    return {"left": left, "right": right}


def _ports(text: str) -> object:
    low, _, high = text.partition(":")
    return {"range": [int(low), int(high)]} if high else int(low)
