# SPDX-License-Identifier: GPL-2.0-or-later
"""A real observer on the loopback: heard, asked, deceived, restarted."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from ipaddress import ip_address

from core.harness import body, says
from hypothesis import given
from hypothesis import strategies as st

from haagent.core.settings import S
from haagent.core.wire import Frame, Role, cluster_id, encode
from haagent.observer.judge import Rules
from haagent.observer.server import Server
from haagent.probes import Answer as Answered
from haagent.probes import Probe
from haagent.witness import DRIFT, Word
from haagent.witness.observing import ObserverWitness
from haagent.witness.telegram import BYTES_MAX, Answer, Ask, Question, Said, Seal
from hil.ports import free_port
from witness.loop import looped

LOOPBACK = ip_address("127.0.0.1")
SEAL = Seal(cluster_id("shop"), 1, {1: b"k" * 32, 2: b"n" * 32})
LEASE_NS = 30 * S
RULES = Rules(("alpha", "beta"), ("web",), S // 2, 10 * S, 0, probed=False)
"""Its lease, and so its youth, is over at once, but where a test says otherwise."""
LIMIT_S = 1.0
PATIENCE_S = 10.0


class Service:
    """A service at the edge."""

    def __init__(self, *, ok: bool) -> None:
        self.ok = ok

    async def answers(self) -> Answered:
        """See Probe."""
        return Answered(self.ok, "")


@asynccontextmanager
async def observer(
    rules: Rules = RULES, *probes: Probe, port: int | None = None
) -> AsyncIterator[int]:
    """One that runs; gives its port."""
    at = free_port() if port is None else port
    server = Server(LOOPBACK, at, rules, SEAL, probes)
    running = asyncio.create_task(server.run())
    await asyncio.sleep(0)
    try:
        yield at
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


@asynccontextmanager
async def node(
    me: int, port: int, seal: Seal = SEAL, rules: Rules = RULES
) -> AsyncIterator[ObserverWitness]:
    """One node's way to it."""
    made = ObserverWitness(LOOPBACK, port, me, seal, LIMIT_S, LEASE_NS, rules.creed)
    made.open()
    try:
        yield made
    finally:
        made.close()


def heartbeat(sender: int, counter: int, key: int = 1) -> bytes:
    """A frame as the node sends it."""
    frame = Frame(sender, 0, 50 + sender, counter, body(says(Role.ACTIVE, term=1)))
    return encode(frame, cluster=SEAL.cluster, key_id=key, key=SEAL.keys[key])


@looped
async def test_agrees_to_one_node_that_lost_the_other() -> None:
    """S9: claims, refusals and what is given back, over real sockets."""
    lasting = replace(RULES, lease_ns=1)
    async with (
        observer(lasting) as port,
        node(0, port, rules=lasting) as alpha,
        node(1, port, rules=lasting) as beta,
    ):
        assert (await alpha.look({})).word is Word.YES
        assert (await beta.claim((1,))).word is Word.YES


@looped
async def test_hears_the_heartbeats() -> None:
    """S2 e: a node whose copies arrive is not taken over from; silent, it is."""
    async with observer() as port, node(0, port) as alpha, node(1, port) as beta:
        alpha.copy(heartbeat(0, 1))
        vote = await beta.claim((1,))
        assert (vote.word, vote.detail) == (Word.NO, "hears alpha")
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if (await beta.claim((1,))).word is Word.YES:
                    return
                await asyncio.sleep(0.05)


@looped
async def test_service_that_answers_is_told() -> None:
    """A consent, and with it that the service still answers: the core gives it its grace."""
    for ok in (True, False):
        rules = replace(RULES, probed=True, serving_grace_ns=0)
        async with observer(rules, Service(ok=ok)) as port, node(1, port) as beta:
            assert (await beta.look({})).serving
            vote = await beta.claim((1,))
            assert vote.word is Word.YES


@looped
async def test_restarted_observer_is_young() -> None:
    """It keeps its silence for the lease, and the node's session is renewed by the way."""
    async with observer() as port, node(1, port) as beta:
        assert (await beta.claim((1,))).word is Word.YES
        lasting = replace(RULES, lease_ns=30 * S)
        async with observer(lasting, port=free_port()) as other:
            beta._where, beta._creed = ("127.0.0.1", other), lasting.creed
            vote = await beta.claim((1,))
            assert vote.word is Word.SILENT
            assert "was started just now" in vote.detail
            assert (await beta.look({})).word is Word.SILENT


@looped
async def test_unbroken_consent_is_told_since_when() -> None:
    """S2 e: renewed in time, it goes on; after a release, a restart or a gap, it begins anew."""
    rules = replace(RULES, lease_ns=1)
    async with observer(rules) as port, node(1, port, rules=rules) as beta:
        asked_ns = time.monotonic_ns()
        first, second = await beta.claim((1,)), await beta.claim((1,))
        assert 0 < first.since_ns == second.since_ns
        shortest_ns = LEASE_NS - LEASE_NS // DRIFT
        assert asked_ns + shortest_ns <= first.until_ns < second.until_ns
        assert second.until_ns <= time.monotonic_ns() + shortest_ns
        await beta.release()
        third = await beta.claim((1,))
        assert third.since_ns > second.since_ns
        beta._lease_ns = 0
        fourth = await beta.claim((1,))
        assert fourth.since_ns > third.since_ns
        beta._lease_ns = LEASE_NS
        async with observer(rules, port=free_port()) as other:
            beta._where = ("127.0.0.1", other)
            assert (await beta.claim((1,))).since_ns > fourth.since_ns


@looped
async def test_refusal_breaks_the_consent() -> None:
    """S2 e: in between it may have stood by the other."""
    rules = replace(RULES, lease_ns=1)
    async with observer(rules) as port, node(1, port, rules=rules) as beta:
        first = await beta.claim((1,))
        beta.copy(heartbeat(0, 1))
        words: list[Word] = []
        async with asyncio.timeout(PATIENCE_S):
            while words[-2:] != [Word.NO, Word.YES]:
                again = await beta.claim((1,))
                words.append(again.word)
        assert again.since_ns > first.since_ns


@looped
async def test_recorded_question_is_worth_nothing() -> None:
    """The same datagram again, and one of an earlier session: answered, and nothing is changed."""
    async with observer() as port:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as client:
            client.connect(("127.0.0.1", port))
            loop = asyncio.get_running_loop()

            async def said(question: bytes) -> Answer:
                await loop.sock_sendall(client, question)
                async with asyncio.timeout(PATIENCE_S):
                    answer = SEAL.read_answer(await loop.sock_recv(client, BYTES_MAX))
                assert answer is not None
                return answer

            stale = Question(1, Ask.CLAIM, bytes(8), os.urandom(8), RULES.creed, (1,))
            first = await said(SEAL.ask(stale))
            assert first.said is Said.AGAIN
            good = SEAL.ask(replace(stale, session=first.session))
            assert (await said(good)).said is Said.YES
            assert (await said(good)).said is Said.AGAIN


@looped
async def test_strangers_are_not_answered() -> None:
    """Of another cluster, with another key, or to nobody: no answer is no consent."""
    async with observer() as port:
        strangers = [
            replace(SEAL, cluster=cluster_id("other")),
            replace(SEAL, keys={1: b"x" * 32}),
            Seal(SEAL.cluster, 3, {3: b"k" * 32}),
        ]
        for seal in strangers:
            async with node(1, port, seal) as stranger:
                assert (await stranger.claim((1,))).word is Word.SILENT
        async with node(1, port, replace(SEAL, send=2)) as rotated:
            assert (await rotated.claim((1,))).word is Word.YES
    async with node(1, free_port()) as lonely:
        assert (await lonely.claim((1,))).detail == "no answer within 1 s"


@looped
async def test_who_is_configured_otherwise_is_refused() -> None:
    """S9: a node that counts on a longer lease than the observer keeps gets no consent, nor a look.

    It would count on it still when the other node gets its own.
    """
    others = [
        replace(RULES, lease_ns=LEASE_NS),
        replace(RULES, groups=("db", "web")),
        replace(RULES, node_names=("beta", "alpha")),
    ]
    async with observer() as port:
        for other in others:
            async with node(1, port, rules=other) as stranger:
                for vote in (await stranger.claim((1,)), await stranger.look({})):
                    assert vote.word is Word.NO
                    assert "use the same file" in vote.detail
        async with node(0, port) as alpha:
            assert (await alpha.claim((1,))).word is Word.YES


@given(st.binary(max_size=1300))
def test_any_bytes_are_a_telegram_or_nothing(data: bytes) -> None:
    """No datagram raises, signed by somebody or not."""
    for sent in (data, SEAL._sign(data), SEAL._sign(b"HAOQ" + data), SEAL._sign(b"HAOA" + data)):
        assert SEAL.read_question(sent) is None or SEAL.read_answer(sent) is None


@given(st.sampled_from(Ask), st.lists(st.integers(0, 2**64 - 1), max_size=16).map(tuple), st.text())
def test_telegrams_arrive_as_they_were_sent(ask: Ask, terms: tuple[int, ...], why: str) -> None:
    """Questions and answers survive the way, an answer's words as far as they fit."""
    question = Question(1, ask, b"s" * 8, b"n" * 8, RULES.creed, terms)
    assert SEAL.read_question(SEAL.ask(question)) == question
    answer = Answer(Said.NO, serving=True, session=b"s" * 8, nonce=b"n" * 8, why=why[:90])
    assert SEAL.read_answer(SEAL.answer(answer)) == answer
