# SPDX-License-Identifier: GPL-2.0-or-later
"""An observer as a node sees it: gets a copy of every heartbeat, is asked, answers."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address

from haagent.errors import EdgeError
from haagent.witness import DRIFT, Vote, Word
from haagent.witness.telegram import (
    BYTES_MAX,
    CLAIM_BYTES,
    NONCE_BYTES,
    Answer,
    Ask,
    Question,
    Said,
    Seal,
)

REPEAT_S = 0.1
"""Between two tries of a question: one lost datagram is no lost observer."""
QUEUED_MAX = 16
_WORDS = {Said.YES: Word.YES, Said.NO: Word.NO, Said.YOUNG: Word.SILENT}


@dataclass(frozen=True, slots=True)
class _Agreed:
    """Its last yes."""

    since_ns: int
    asked_ns: int
    session: bytes


class ObserverWitness:
    """See `haagent.witness.Witness`.

    Args:
        address: Where it listens.
        port: The same.
        me: Our number.
        seal: Of the cluster; replaced when the keys change.
        timeout_s: How long an answer may take.
        lease_ns: How long it keeps its word to us after a claim.
        creed: What it must have alike (see telegram.creed).
    """

    chooses = True

    def __init__(  # noqa: PLR0913, PLR0917  # all of it is needed, once
        self,
        address: IPv4Address | IPv6Address,
        port: int,
        me: int,
        seal: Seal,
        timeout_s: float,
        lease_ns: int,
        creed: bytes,
    ) -> None:
        self.seal = seal
        self._where = (str(address), port)
        self._family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        self._me = me
        self._timeout_s = timeout_s
        self._lease_ns = lease_ns
        self._creed = creed
        self._socket: socket.socket | None = None
        self._session = bytes(8)
        self._claim = os.urandom(CLAIM_BYTES)
        """Names our claim, from the first asking to its release."""
        self._agreed: _Agreed | None = None
        self._waiting: dict[bytes, asyncio.Future[Answer]] = {}
        """By nonce."""

    def open(self) -> None:
        """See `Witness.open`."""
        try:
            self._socket = socket.socket(self._family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            raise EdgeError(f"cannot ask an observer: {error.strerror}") from error
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    async def claim(self, terms: tuple[int, ...]) -> Vote:
        """See `Witness.claim`; a yes that came after the last one had run out begins anew."""
        asked_ns = time.monotonic_ns()
        vote = await self._ask(Ask.CLAIM, terms)
        if vote.word is Word.NO:
            self._agreed = None
        if vote.word is not Word.YES:
            return vote
        now_ns, before = time.monotonic_ns(), self._agreed
        since_ns, lasts_ns = now_ns, self._lease_ns - self._lease_ns // DRIFT
        if before is not None and before.session == self._session:
            since_ns = before.since_ns if now_ns - before.asked_ns < lasts_ns else now_ns
        self._agreed = _Agreed(since_ns, asked_ns, self._session)
        return replace(vote, since_ns=since_ns, until_ns=asked_ns + lasts_ns)

    async def look(self, held: Mapping[int, int]) -> Vote:
        """See `Witness.look`; what is held it hears in the heartbeats."""
        del held
        return await self._ask(Ask.LOOK)

    async def release(self) -> None:
        """See `Witness.release`; said once: what is lost of it expires."""
        self._send(self._question(Ask.RELEASE, self._nonce()))
        self._claim, self._agreed = os.urandom(CLAIM_BYTES), None

    def close(self) -> None:
        """See `Witness.close`."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def copy(self, heartbeat: bytes) -> None:
        """Let it hear what the peer hears."""
        self._send(heartbeat)

    def _nonce(self) -> bytes:
        """It names the claim too: a release that comes late ends none that was made after it."""
        return self._claim + os.urandom(NONCE_BYTES - CLAIM_BYTES)

    def _question(self, ask: Ask, nonce: bytes, terms: tuple[int, ...] = ()) -> bytes:
        return self.seal.ask(Question(self._me, ask, self._session, nonce, self._creed, terms))

    def _send(self, data: bytes) -> None:
        if self._socket is not None:
            try:
                self._socket.sendto(data, self._where)
            except OSError:
                return  # No route, or a full buffer: it does not answer, and is asked again.

    async def _ask(self, ask: Ask, terms: tuple[int, ...] = ()) -> Vote:
        loop = asyncio.get_running_loop()
        end_s = loop.time() + self._timeout_s
        while (left_s := end_s - loop.time()) > 0:
            nonce = self._nonce()
            answered: asyncio.Future[Answer] = loop.create_future()
            self._waiting[nonce] = answered
            self._send(self._question(ask, nonce, terms))
            try:
                await asyncio.wait({answered}, timeout=min(REPEAT_S, left_s))
                self._read()  # A loop that was late finds the answer here (S6).
            finally:
                del self._waiting[nonce]
            if answered.done() and (answer := answered.result()).said is not Said.AGAIN:
                return Vote(_WORDS[answer.said], answer.why, serving=answer.serving)
        return Vote(Word.SILENT, f"no answer within {self._timeout_s:g} s")

    def _read(self) -> None:
        for _ in range(QUEUED_MAX):
            if self._socket is None:
                return
            try:
                data = self._socket.recv(BYTES_MAX + 1)
            except OSError:
                return
            answer = self.seal.read_answer(data)
            if answer is None:
                continue
            waiting = self._waiting.get(answer.nonce)
            if waiting is not None and not waiting.done():
                self._session = answer.session
                waiting.set_result(answer)
