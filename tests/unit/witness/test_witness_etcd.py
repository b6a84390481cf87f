# SPDX-License-Identifier: GPL-2.0-or-later
"""The takeover lock in a real etcd of three members: killed, stopped, robbed of the lock."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from haagent.errors import EdgeError
from haagent.witness import Vote, Word
from haagent.witness.build import make_gateway
from haagent.witness.etcd import EtcdWitness
from haagent.witness.settings import EtcdSettings
from hil.etcd import Certificates, Etcd
from hil.redfish.certificates import Authority
from witness.loop import looped

GROUPS = ("web", "mail")
TERMS = (3, 4)
LEASE_S = 3
QUESTION_S = 0.4
PATIENCE_S = 30.0
"""For what comes by itself: an election, a lease that runs out."""


def settings(etcd: Etcd, **changes: Any) -> EtcdSettings:
    """The cluster as the configuration has it."""
    urls = [urlsplit(endpoint) for endpoint in etcd.endpoints]
    plain: dict[str, Any] = {
        "endpoints": tuple((ip_address(url.hostname or ""), url.port or 0) for url in urls),
        "tls": urls[0].scheme == "https",
        "prefix": "/haagent",
        "lease_s": LEASE_S,
    }
    return EtcdSettings(**(plain | changes))


@asynccontextmanager
async def witness(etcd: Etcd, node: str = "alpha", **changes: Any) -> AsyncIterator[EtcdWitness]:
    """One node's way to it; at the end the node dies without a word."""
    one = settings(etcd, **changes)
    made = EtcdWitness(make_gateway(one, QUESTION_S), "/haagent/shop", GROUPS, node, one.lease_s)
    try:
        yield made
    finally:
        made.close()


async def until(said: Callable[[], Awaitable[Vote]], word: Word) -> Vote:
    """Ask until the answer is that one."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            vote = await said()
            if vote.word is word:
                return vote
            await asyncio.sleep(0.05)


def keys(etcd: Etcd) -> list[str]:
    """Every key there is."""
    found = json.loads(etcd.control("get", "--prefix", "/", "--keys-only"))
    return [b64decode(pair["key"]).decode() for pair in found.get("kvs", ())]


@looped
async def test_one_node_has_the_lock_of_every_group(etcd: Etcd) -> None:
    """S9: who is first has all locks; the other is told who, until the first lets go."""
    async with witness(etcd, lease_s=60) as alpha, witness(etcd, "beta") as beta:
        first, second = await alpha.claim(TERMS), await alpha.claim(TERMS)
        assert first.word is second.word is Word.YES
        assert 0 < first.since_ns == second.since_ns
        assert await beta.claim(TERMS) == Vote(Word.NO, "alpha has the takeover lock of web")
        assert (await beta.look({})).word is Word.NO
        assert (await alpha.look({})).word is Word.YES
        assert keys(etcd) == ["/haagent/shop/mail/lock", "/haagent/shop/web/lock"]
        await alpha.release()
        assert (await beta.claim(TERMS)).word is Word.YES
        assert (await alpha.claim(TERMS)).word is Word.NO


@looped
async def test_of_two_at_once_one_wins(etcd: Etcd) -> None:
    """S9: in every race exactly one of the two gets the lock, or none and nothing is left of it."""
    async with witness(etcd) as alpha, witness(etcd, "beta") as beta:
        won = set()
        for _ in range(25):
            votes = await asyncio.gather(alpha.claim(TERMS), beta.claim(TERMS))
            words = [vote.word for vote in votes]
            assert words.count(Word.YES) == 1, votes
            won.add(words.index(Word.YES))
            await asyncio.gather(alpha.release(), beta.release())
            assert keys(etcd) == []


@looped
async def test_every_yes_begins_the_lease_anew(etcd: Etcd) -> None:
    """S2 e: a fence that begins with it has the whole lease, not what an earlier one left of it."""
    async with witness(etcd, lease_s=30) as alpha:
        assert (await alpha.claim(TERMS)).word is Word.YES
        await asyncio.sleep(2.1)
        asked_ns = time.monotonic_ns()
        again = await alpha.claim(TERMS)
        assert asked_ns + 30e9 <= again.until_ns <= time.monotonic_ns() + 30e9
        (lock,) = json.loads(etcd.control("get", "/haagent/shop/web/lock"))["kvs"]
        left = json.loads(etcd.control("lease", "timetolive", f"{lock['lease']:x}"))
        assert left["ttl"] >= 28


@looped
async def test_lock_of_a_dead_node_runs_out(etcd: Etcd) -> None:
    """A holder that dies keeps the other waiting for the lease, and no longer."""
    async with witness(etcd, "beta") as beta:
        async with witness(etcd) as alpha:
            assert (await alpha.claim(TERMS)).word is Word.YES
        begin_s = time.monotonic()
        assert (await beta.claim(TERMS)).word is Word.NO
        await until(lambda: beta.claim(TERMS), Word.YES)
        assert time.monotonic() - begin_s > LEASE_S / 2


@looped
async def test_holder_that_lives_keeps_the_lock(etcd: Etcd) -> None:
    """The lease is renewed for as long as it is wanted: no gap for the other node."""
    async with witness(etcd) as alpha, witness(etcd, "beta") as beta:
        assert (await alpha.claim(TERMS)).word is Word.YES
        end_s = time.monotonic() + 2 * LEASE_S
        while time.monotonic() < end_s:
            assert (await beta.claim(TERMS)).word is Word.NO
            await asyncio.sleep(0.1)
        assert (await alpha.claim(TERMS)).word is Word.YES


@looped
async def test_restarted_agent_takes_its_own_lock_up(etcd: Etcd) -> None:
    """The agent that died was ours: its lock keeps nobody of this node waiting."""
    async with witness(etcd) as before:
        assert (await before.claim(TERMS)).word is Word.YES
    async with witness(etcd) as after, witness(etcd, "beta") as beta:
        assert (await after.claim(TERMS)).word is Word.YES
        assert (await beta.claim(TERMS)).word is Word.NO


@looped
async def test_node_that_slept_through_a_takeover_is_refused(etcd: Etcd) -> None:
    """The lock is a compare-and-swap on the term: who does not know the highest gets nothing."""
    async with witness(etcd) as alpha, witness(etcd, "beta") as beta:
        assert (await alpha.look({0: 9})).word is Word.YES
        assert (await alpha.look({0: 8})).word is Word.YES  # Terms written down never fall.
        refused = await beta.claim(TERMS)
        text = "web was active in term 9, and this node knows of 3 only"
        assert refused == Vote(Word.NO, text)
        assert (await beta.claim((9, 4))).word is Word.YES


@looped
async def test_lock_lost_in_the_middle(etcd: Etcd) -> None:
    """A lock that somebody deletes is taken again if it is free, and is a refusal if it is not."""
    async with witness(etcd) as alpha, witness(etcd, "beta") as beta:
        first = await alpha.claim(TERMS)
        assert first.word is Word.YES
        etcd.control("del", "/haagent/shop/web/lock")
        again = await alpha.claim(TERMS)
        assert again.word is Word.YES
        assert again.since_ns > first.since_ns, "in between it stood by nobody"
        assert (await beta.claim(TERMS)).word is Word.NO
        etcd.control("del", "--prefix", "/haagent/shop/")
        assert (await beta.claim(TERMS)).word is Word.YES
        assert await alpha.claim(TERMS) == Vote(Word.NO, "beta has the takeover lock of web")


@looped
async def test_revoked_lease_is_noticed(etcd: Etcd) -> None:
    """A lease that was taken away is no lease, whatever our own clock says."""
    async with witness(etcd) as alpha, witness(etcd, "beta") as beta:
        assert (await alpha.claim(TERMS)).word is Word.YES
        (lock,) = json.loads(etcd.control("get", "/haagent/shop/web/lock"))["kvs"]
        etcd.control("lease", "revoke", f"{lock['lease']:x}")
        assert (await beta.claim(TERMS)).word is Word.YES
        assert (await alpha.claim(TERMS)).word is Word.NO
        await beta.release()
        await until(lambda: alpha.claim(TERMS), Word.YES)


@pytest.mark.parametrize("fault", ["kill", "stop"])
@pytest.mark.parametrize("whose", ["leader", "follower"])
@looped
async def test_one_member_of_three_may_be_lost(etcd: Etcd, fault: str, whose: str) -> None:
    """A member that is dead or hangs costs a moment, or an election if it led; the lock stays."""
    async with witness(etcd, lease_s=30) as alpha, witness(etcd, "beta") as beta:
        assert (await alpha.claim(TERMS)).word is Word.YES
        leads = etcd.leader()
        lost = leads if whose == "leader" else next(m for m in etcd.members if m is not leads)
        getattr(etcd, fault)(lost)
        if whose == "follower":
            assert (await alpha.claim(TERMS)).word is Word.YES
        await until(lambda: alpha.claim(TERMS), Word.YES)
        await until(lambda: beta.claim(TERMS), Word.NO)


@pytest.mark.parametrize("fault", ["kill", "stop"])
@looped
async def test_without_a_majority_it_is_silent(etcd: Etcd, fault: str) -> None:
    """Two members of three lost: no answer is no consent, and says what each member did."""
    async with witness(etcd, lease_s=30) as alpha:
        assert (await alpha.claim(TERMS)).word is Word.YES
        for member in etcd.members[:2]:
            getattr(etcd, fault)(member)
        vote = await until(lambda: alpha.claim(TERMS), Word.SILENT)
        assert ("refused" if fault == "kill" else "no answer within") in vote.detail
        assert etcd.endpoints[0] in vote.detail
        assert (await alpha.look({})).word is Word.SILENT


@looped
async def test_tls_with_client_certificates(folder: Path) -> None:
    """The cluster is believed by its authority only, and believes us by our certificate only."""
    ours, foreign = Authority(folder), Authority(folder, "another authority")
    server, client = ours.issue().file, ours.issue(("haagent",)).file
    files = Certificates(ours.file, server, server)
    with Etcd(folder, (("127.0.0.1", None),), files) as etcd:
        known: dict[str, Any] = {"ca_file": ours.file, "cert_file": client, "key_file": client}
        async with witness(etcd, **known) as alpha:
            assert (await alpha.claim(TERMS)).word is Word.YES
        async with witness(etcd, **(known | {"ca_file": foreign.file})) as deceived:
            vote = await deceived.claim(TERMS)
            assert vote.word is Word.SILENT
            assert "certificate not believed" in vote.detail
        async with witness(etcd, ca_file=ours.file) as nameless:
            assert (await nameless.claim(TERMS)).word is Word.SILENT
        async with witness(etcd, **known, server_name="other.example") as other:
            assert "certificate not believed" in (await other.claim(TERMS)).detail


def test_unusable_certificates_are_named(folder: Path) -> None:
    """What cannot be read is said before the agent runs, by the file's name."""
    ours = Authority(folder)
    plain = EtcdSettings(((ip_address("192.0.2.51"), 2379),), True, "/haagent", 30)  # noqa: FBT003
    cases: list[tuple[dict[str, Any], str]] = [
        ({"ca_file": folder / "none.pem"}, "none.pem: No such file"),
        ({"cert_file": folder / "none.pem", "key_file": ours.file}, "No such file"),
        ({"cert_file": ours.file, "key_file": ours.file}, "no certificate with its key"),
    ]
    for changes, text in cases:
        with pytest.raises(EdgeError, match=text):
            make_gateway(replace(plain, **changes), QUESTION_S)


@contextmanager
def impostor(status: int, body: bytes) -> Iterator[tuple[str, int]]:
    """Some web server where etcd should be."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (http.server's)
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield "127.0.0.1", server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


NONSENSE = [
    (200, b"hello"),
    (200, b"[]"),
    (200, b'{"kvs": [{"key": "!"}]}'),
    (200, b'{"kvs": [7]}'),
    (200, b'{"kvs": 7}'),
    (200, b'{"kvs": [{"key": "L2hh", "mod_revision": "x"}]}'),
    (200, b"{}"),
    (404, b"not here"),
    (503, b'{"message": "etcdserver: no leader"}'),
    (200, b'"' + b"x" * (2 << 20) + b'"'),
]


@pytest.mark.parametrize(("status", "body"), NONSENSE)
@looped
async def test_nonsense_is_no_consent(status: int, body: bytes) -> None:
    """Whatever answers in etcd's place: it is neither a yes nor the end of the agent."""
    with impostor(status, body) as (host, port):
        one = EtcdSettings(((ip_address(host), port),), False, "/haagent", 30)  # noqa: FBT003
        gateway = make_gateway(one, QUESTION_S)
        made = EtcdWitness(gateway, "/haagent/shop", GROUPS, "alpha", 30)
        assert (await made.claim(TERMS)).word is Word.SILENT
        assert (await made.look({0: 5})).word in {Word.SILENT, Word.YES}
        await made.release()


@looped
async def test_what_stands_under_our_keys_but_is_not_ours(etcd: Etcd) -> None:
    """A term or a lock that cannot be read counts as the worst that it could be."""
    async with witness(etcd) as alpha:
        etcd.control("put", "/haagent/shop/web/term", "many")
        assert (await alpha.claim(TERMS)).word is Word.NO
        etcd.control("del", "/haagent/shop/web/term")
        etcd.control("put", "/haagent/shop/web/lock", "mine")
        refused = await alpha.claim(TERMS)
        assert refused == Vote(Word.NO, "somebody has the takeover lock of web")
