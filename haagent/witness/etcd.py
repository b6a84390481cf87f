# SPDX-License-Identifier: GPL-2.0-or-later
"""The takeover lock in an etcd v3 cluster: a compare-and-swap on each group's term, with a lease.

    PREFIX/CLUSTER/GROUP/term   the highest term in which a node was active, kept for ever
    PREFIX/CLUSTER/GROUP/lock   node and next term of who may take over, gone with its lease

The locks of all groups are taken in one transaction or not at all: who fences the peer fences all
of its groups, and of two nodes that would both gain only one may. The transaction compares the
revision of everything that was looked at. It is refused to a node that does not know the highest
term: that node slept through a takeover.

A lease has its end by two monotonic clocks. The holder counts it from before it asked, and writes
its locks anew each time that it renews the lease. Whoever waits counts it from when it first saw
what stands there: what nobody has written for a whole lease has run out. etcd removes it as well,
but until 3.5 not before its leader's wall clock says so, which somebody may have set back
(etcd-io/etcd, issue 12291).
"""

from __future__ import annotations

import asyncio
import json
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from haagent.bugs import die_of_bugs
from haagent.core.settings import S
from haagent.witness import DRIFT, Vote, Word
from haagent.witness.gateway import Gateway, GatewayError

TRIES = 3
"""Of a transaction that found something changed since it was looked at."""
RENEWALS = 3
"""In the time of a lease: two may be lost."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Kept:
    """What is stored under one key."""

    value: str = ""
    revision: int = 0
    """0: there is no such key."""
    lease: int = 0


class EtcdWitness:
    """See `haagent.witness.Witness`.

    Args:
        gateway: The cluster.
        place: Prefix and cluster's name, without a slash at the end.
        groups: Names, in the order of the configuration.
        node: Our name.
        lease_s: How long a lock outlives the last word of its holder, whole seconds.
    """

    chooses = True

    def __init__(
        self, gateway: Gateway, place: str, groups: Sequence[str], node: str, lease_s: int
    ) -> None:
        self._gateway = gateway
        self._place = f"{place}/"
        self._groups = tuple(groups)
        self._node = node
        self._lease_s = lease_s
        self._lease = 0
        """Our lease; 0 for none."""
        self._until_ns = 0
        """By our clock it lasts at least until then."""
        self._since_ns: int | None = None
        """Since when the locks have been ours, by one and the same lease."""
        self._renewing: asyncio.Task[None] | None = None
        self._locks: list[dict[str, str]] = []
        """What we have written, or tried to."""
        self._seen: dict[str, tuple[int, int]] = {}
        """By group: the revision of its lock, and since when we have seen that one."""

    def open(self) -> None:
        """See `Witness.open`."""

    async def claim(self, terms: tuple[int, ...]) -> Vote:
        """See `Witness.claim`: yes while all locks are ours, by a lease that surely lasts."""
        try:
            return await self._claim(terms)
        except GatewayError as error:
            return Vote(Word.SILENT, str(error))

    async def look(self, held: Mapping[int, int]) -> Vote:
        """See `Witness.look`; the terms of what is held here are written down on the way."""
        try:
            kept = await self._read()
            vote = self._taken(kept)
            if vote is None:
                await self._write_terms(kept, held)
        except GatewayError as error:
            return Vote(Word.SILENT, str(error))
        return vote or Vote(Word.YES, "answers")

    async def release(self) -> None:
        """See `Witness.release`: the locks go with their lease."""
        lease, self._lease, self._since_ns = self._lease, 0, None
        if self._renewing is not None:
            self._renewing.cancel()
        if lease:
            try:
                await self._gateway.post("/v3/lease/revoke", {"ID": str(lease)})
            except GatewayError as error:
                log.info("witness.lock_left", reason=str(error), expires_in_s=self._lease_s)

    def close(self) -> None:
        """See `Witness.close`."""
        if self._renewing is not None:
            self._renewing.cancel()

    async def _claim(self, terms: tuple[int, ...]) -> Vote:
        if self._lease:
            await self._renew(self._lease)
        for _ in range(TRIES):
            kept = await self._read()
            refusal = self._taken(kept) or self._superseded(kept, terms)
            if refusal is not None:
                return refusal
            if not self._lease or time.monotonic_ns() >= self._until_ns:
                await self._grant()
            ours = all(kept[self._lock(name)].lease == self._lease for name in self._groups)
            if not ours:
                self._since_ns = None
                ours = await self._swap(kept, terms)
            if ours:
                if self._since_ns is None:
                    self._since_ns = time.monotonic_ns()
                text, since_ns = "the takeover lock is ours", self._since_ns
                return Vote(Word.YES, text, since_ns=since_ns, until_ns=self._until_ns)
        return Vote(Word.SILENT, "its keys change faster than they can be swapped")

    def _taken(self, kept: Mapping[str, _Kept]) -> Vote | None:
        """The refusal, if another node has one of the locks."""
        locks = {name: kept[self._lock(name)] for name in self._groups}
        # All are looked at in each round: each has its time from when it was seen first.
        stale = [name for name, lock in locks.items() if self._has_run_out(name, lock)]
        for name, lock in locks.items():
            ours = lock.lease == self._lease != 0
            if lock.revision and not ours and name not in stale:
                holder = _read_lock(lock.value)
                if holder != self._node:
                    return Vote(Word.NO, f"{holder or 'somebody'} has the takeover lock of {name}")
        return None

    def _has_run_out(self, name: str, lock: _Kept) -> bool:
        """Whether nobody has written a lock for so long that its holder cannot count on it."""
        now_ns = time.monotonic_ns()
        revision, since_ns = self._seen.get(name, (-1, now_ns))
        if revision != lock.revision:
            since_ns = now_ns
        self._seen[name] = lock.revision, since_ns
        lasts_ns = self._lease_s * S
        return bool(lock.lease) and now_ns - since_ns >= lasts_ns + lasts_ns // DRIFT

    def _superseded(self, kept: Mapping[str, _Kept], terms: tuple[int, ...]) -> Vote | None:
        """The refusal, if a takeover happened that we do not know of."""
        for name, term in zip(self._groups, terms, strict=True):
            written = _read_term(kept[self._term(name)].value)
            if written > term:
                text = f"{name} was active in term {written}, and this node knows of {term} only"
                return Vote(Word.NO, text)
        return None

    async def _swap(self, kept: Mapping[str, _Kept], terms: tuple[int, ...]) -> bool:
        """Take all locks if nothing is other than it was looked at."""
        self._locks = [
            _put(self._lock(name), json.dumps({"node": self._node, "term": term + 1}))
            for name, term in zip(self._groups, terms, strict=True)
        ]
        return await self._write_locks([_unchanged(key, one) for key, one in kept.items()])

    async def _write_locks(self, compare: Sequence[Mapping[str, str]]) -> bool:
        puts = [{"requestPut": put | {"lease": str(self._lease)}} for put in self._locks]
        answer = await self._gateway.post("/v3/kv/txn", {"compare": compare, "success": puts})
        return answer.get("succeeded") is True

    async def _write_terms(self, kept: Mapping[str, _Kept], held: Mapping[int, int]) -> None:
        for index, term in held.items():
            key = self._term(self._groups[index])
            if _read_term(kept[key].value) < term:
                put = {"requestPut": _put(key, str(term))}
                question = {"compare": [_unchanged(key, kept[key])], "success": [put]}
                await self._gateway.post("/v3/kv/txn", question)

    async def _read(self) -> dict[str, _Kept]:
        """Everything of this cluster, as a majority of etcd's members has it."""
        end = self._place[:-1] + chr(ord("/") + 1)
        question = {"key": _coded(self._place), "range_end": _coded(end)}
        answer = await self._gateway.post("/v3/kv/range", question)
        found = _kept(answer)
        keys = [key for name in self._groups for key in (self._term(name), self._lock(name))]
        return {key: found.get(key, _Kept()) for key in keys}

    async def _grant(self) -> None:
        asked_ns = time.monotonic_ns()
        answer = await self._gateway.post("/v3/lease/grant", {"TTL": str(self._lease_s)})
        try:
            self._lease = int(answer["ID"])
        except (KeyError, TypeError, ValueError) as error:
            raise GatewayError(f"a lease without {error}") from error
        self._until_ns = asked_ns + self._lease_s * S
        if self._renewing is not None:
            self._renewing.cancel()
        self._renewing = asyncio.create_task(self._keep(self._lease))
        self._renewing.add_done_callback(die_of_bugs)

    async def _keep(self, lease: int) -> None:
        """Renew the lease while it is ours, also where nobody claims anything for a while."""
        while lease == self._lease:
            await asyncio.sleep(self._lease_s / RENEWALS)
            try:
                await self._renew(lease)
            except GatewayError as error:
                log.info("witness.lease_not_renewed", reason=str(error))

    async def _renew(self, lease: int) -> None:
        """Have the locks for a whole lease from now on; a lease that is lost is ours no more."""
        asked_ns = time.monotonic_ns()
        answer, written = await asyncio.gather(
            self._gateway.post("/v3/lease/keepalive", {"ID": str(lease)}),
            self._write_locks([_bound(put["key"], lease) for put in self._locks]),
        )
        try:
            lost = not int(answer.get("result", {}).get("TTL", 0))
        except (AttributeError, TypeError, ValueError) as error:
            raise GatewayError(f"a lease that cannot be read: {error}") from error
        if lease != self._lease:
            return  # It was given back meanwhile.
        if lost:
            log.warning("witness.lease_lost")
            self._lease = 0
        elif written:
            self._until_ns = asked_ns + self._lease_s * S

    def _term(self, group: str) -> str:
        return f"{self._place}{group}/term"

    def _lock(self, group: str) -> str:
        return f"{self._place}{group}/lock"


def _coded(text: str) -> str:
    return b64encode(text.encode()).decode()


def _put(key: str, value: str) -> dict[str, str]:
    return {"key": _coded(key), "value": _coded(value)}


def _unchanged(key: str, kept: _Kept) -> dict[str, str]:
    revision = str(kept.revision)
    return {"key": _coded(key), "target": "MOD", "result": "EQUAL", "mod_revision": revision}


def _bound(coded_key: str, lease: int) -> dict[str, str]:
    return {"key": coded_key, "target": "LEASE", "result": "EQUAL", "lease": str(lease)}


def _kept(answer: Mapping[str, Any]) -> dict[str, _Kept]:
    """Keys and what they hold; numbers come as texts, zeros not at all (protobuf's JSON)."""
    try:
        return {
            b64decode(pair["key"]).decode(): _Kept(
                b64decode(pair.get("value", "")).decode(),
                int(pair["mod_revision"]),
                int(pair.get("lease", 0)),
            )
            for pair in answer.get("kvs", ())
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise GatewayError(f"keys that cannot be read: {error}") from error


def _read_term(value: str) -> int:
    """A term; what is no number is taken for the highest there is, so nobody goes past it."""
    if not value:
        return 0
    return int(value) if value.isascii() and value.isdecimal() else (1 << 63)


def _read_lock(value: str) -> str:
    """Who holds a lock; "" if it cannot be read."""
    try:
        holder = json.loads(value)["node"]
    except (KeyError, TypeError, ValueError):
        return ""
    return holder if isinstance(holder, str) else ""
