# SPDX-License-Identifier: GPL-2.0-or-later
"""The observer's loop: one socket for heartbeats and questions, and the probes of the service."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

import structlog

from haagent.core.wire import DecodeError, Frame, decode
from haagent.errors import EdgeError
from haagent.observer.judge import Judge, Rules
from haagent.probes import Probe
from haagent.witness.telegram import BYTES_MAX, CLAIM_BYTES, Answer, Question, Said, Seal

PROBE_EVERY_S = 1.0
QUEUED_MAX = 64
"""Datagrams that are taken in one turn of the loop."""
NONCES_MAX = 4096
"""Then a new session begins; an hour and a half of questions by both nodes."""

log = structlog.get_logger()


class Server:
    """An observer of one pair.

    Args:
        address: Where it listens.
        port: The same.
        rules: What it goes by.
        seal: Keys of the heartbeat.
        probes: Of the service, as its clients meet it.
    """

    def __init__(
        self,
        address: IPv4Address | IPv6Address,
        port: int,
        rules: Rules,
        seal: Seal,
        probes: Sequence[Probe],
    ) -> None:
        self._where = (str(address), port)
        self._family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        self._rules = rules
        self._creed = rules.creed
        self._seal = seal
        self._probes = tuple(probes)
        self._session = os.urandom(8)
        self._nonces: set[bytes] = set()
        self._judge = Judge(rules, time.monotonic_ns())

    async def run(self) -> int:
        """Answer until told to end.

        Returns:
            The process's exit status.

        Raises:
            EdgeError: The address cannot be had.
        """
        loop = asyncio.get_running_loop()
        done = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, done.set)
        with socket.socket(self._family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as opened:
            try:
                opened.bind(self._where)
            except OSError as error:
                text = f"{self._where[0]} port {self._where[1]}: {error.strerror}"
                raise EdgeError(text) from error
            loop.add_reader(opened, self._read, opened)
            log.info("observer.started", address=self._where[0], port=self._where[1])
            ending = loop.create_task(done.wait())
            probing = loop.create_task(self._probe())
            try:
                await asyncio.wait({ending, probing}, return_when=asyncio.FIRST_COMPLETED)
                if probing.done():
                    probing.result()  # It never ends by itself: this raises what ended it.
            finally:
                loop.remove_reader(opened)
                for task in (ending, probing):
                    task.cancel()
                await asyncio.gather(ending, probing, return_exceptions=True)
        return 0

    async def _probe(self) -> None:
        while True:
            if self._probes:
                answers = await asyncio.gather(*(probe.answers() for probe in self._probes))
                served = any(answer.ok for answer in answers)
                self._judge.probed(served=served, now_ns=time.monotonic_ns())
            await asyncio.sleep(PROBE_EVERY_S)

    def _read(self, opened: socket.socket) -> None:
        for _ in range(QUEUED_MAX):
            try:
                data, sender = opened.recvfrom(BYTES_MAX + 1)
            except OSError:
                return
            if (frame := self._frame(data)) is not None:
                self._judge.hear(frame, time.monotonic_ns())
            elif (question := self._seal.read_question(data)) is not None:
                try:
                    opened.sendto(self._seal.answer(self._answer(question)), sender)
                except OSError:
                    continue  # It asks again.

    def _frame(self, data: bytes) -> Frame | None:
        for me in (0, 1):
            try:
                return decode(data, cluster=self._seal.cluster, keys=self._seal.keys, me=me)
            except DecodeError:
                continue
        return None

    def _answer(self, question: Question) -> Answer:
        now_ns = time.monotonic_ns()
        serving = self._judge.serving(now_ns)
        if question.session != self._session or question.nonce in self._nonces:
            return Answer(Said.AGAIN, serving, self._session, question.nonce, "ask again")
        self._nonces.add(question.nonce)
        if len(self._nonces) >= NONCES_MAX:
            self._session = os.urandom(8)
            self._nonces.clear()
        if question.creed != self._creed:
            why = "has other nodes, groups or lease in its configuration; use the same file"
            return Answer(Said.NO, serving, self._session, question.nonce, why)
        before = self._judge.granted
        claim = question.nonce[:CLAIM_BYTES]
        said, why = self._judge.asked(question.sender, question.ask, question.terms, now_ns, claim)
        if self._judge.granted != before:
            granted = self._judge.granted
            log.info(
                "observer.agreed", to=None if granted is None else self._rules.node_names[granted]
            )
        return Answer(said, serving, self._session, question.nonce, why)
