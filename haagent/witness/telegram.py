# SPDX-License-Identifier: GPL-2.0-or-later
"""Questions to an observer and its answers: UDP, authenticated as the heartbeats are.

Integers are big-endian; both end with HMAC-SHA256, by a key of the heartbeat's, over all before.

    question                                   answer
    0   4   magic "HAOQ"                       0   4   magic "HAOA"
    4   1   version                            4   1   version
    5   1   key id                             5   1   key id
    6   1   sender: 0 or 1                     6   1   word
    7   1   what is asked                      7   1   does the service answer: 0 no, 1 yes
    8   8   cluster (core.wire.cluster_id)     8   8   cluster
    16  8   session that the sender knows      16  8   session of the observer
    24  8   nonce; its first half names the    24  8   nonce of the question
            claim that it belongs to
    32  8   what both go by (`creed`)          32  ..  why, UTF-8
    40  1   number of groups G
    41  8*G highest term known, per group

The session is random at each start of an observer. A question of another session changes nothing
and is answered AGAIN, with the right one; within a session a nonce counts once. So a question that
was recorded is worth nothing later.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

VERSION = 2
MAC_BYTES = 32
BYTES_MAX = 1200
WHY_BYTES_MAX = 400
NONCE_BYTES, CLAIM_BYTES, CREED_BYTES = 8, 4, 8

_HEAD = struct.Struct("!4sBBBB8s8s8s")
_QUESTION, _ANSWER = b"HAOQ", b"HAOA"


Head = tuple[int, int, bytes, bytes]
"""Sender or word, what is asked or served, session, nonce."""


class Ask(IntEnum):
    """What a node wants of an observer."""

    CLAIM = 1
    LOOK = 2
    RELEASE = 3


class Said(IntEnum):
    """What an observer says."""

    YES = 1
    NO = 2
    YOUNG = 3
    """It started so recently that it may have agreed to something it does not remember."""
    AGAIN = 4
    """That was of another session, or came before."""


@dataclass(frozen=True, slots=True)
class Question:
    """From a node."""

    sender: int
    ask: Ask
    session: bytes
    nonce: bytes
    creed: bytes
    terms: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """From an observer."""

    said: Said
    serving: bool
    session: bytes
    nonce: bytes
    why: str


def creed(node_names: Sequence[str], groups: Sequence[str], lease_ns: int) -> bytes:
    """A short hash of what an observer and the nodes must have alike for its consent to be one.

    An observer whose lease is shorter than a node's would agree to the other node's takeover while
    the first still counts on it.
    """
    told = json.dumps([list(node_names), list(groups), lease_ns])
    return hashlib.sha256(told.encode()).digest()[:CREED_BYTES]


@dataclass(frozen=True, slots=True)
class Seal:
    """Whose telegrams are read, and how ours are signed."""

    cluster: bytes
    send: int
    """Id of the key that ours carry."""
    keys: Mapping[int, bytes]

    def ask(self, question: Question) -> bytes:
        """The datagram of a question."""
        q = question
        terms = struct.pack(f"!{len(q.terms)}Q", *q.terms)
        body = q.creed + bytes([len(q.terms)]) + terms
        head = (VERSION, self.send, q.sender, q.ask, self.cluster, q.session, q.nonce)
        return self._sign(_HEAD.pack(_QUESTION, *head) + body)

    def answer(self, answer: Answer) -> bytes:
        """The datagram of an answer."""
        a = answer
        head = (VERSION, self.send, a.said, a.serving, self.cluster, a.session, a.nonce)
        return self._sign(_HEAD.pack(_ANSWER, *head) + a.why.encode()[:WHY_BYTES_MAX])

    def read_question(self, data: bytes) -> Question | None:
        """The question in a datagram; None if it is none of this cluster."""
        found = self._open(data, _QUESTION)
        if found is None:
            return None
        (sender, ask, session, nonce), body = found
        try:
            known, counted = body[:CREED_BYTES], body[CREED_BYTES:]
            terms = struct.unpack(f"!{counted[0]}Q", counted[1:])
            question = Question(sender, Ask(ask), session, nonce, known, terms)
        except (IndexError, ValueError, struct.error):
            return None
        return question if sender in {0, 1} else None

    def read_answer(self, data: bytes) -> Answer | None:
        """The answer in a datagram; None if it is none of this cluster."""
        found = self._open(data, _ANSWER)
        if found is None:
            return None
        (said, serving, session, nonce), body = found
        try:
            why = body.decode(errors="replace")
            return Answer(Said(said), bool(serving), session, nonce, why)
        except ValueError:
            return None

    def _sign(self, signed: bytes) -> bytes:
        return signed + hmac.digest(self.keys[self.send], signed, hashlib.sha256)

    def _open(self, data: bytes, magic: bytes) -> tuple[Head, bytes] | None:
        """Authenticated before anything of it is believed."""
        if not _HEAD.size + MAC_BYTES <= len(data) <= BYTES_MAX:
            return None
        kind, version, key_id, first, second, cluster, session, nonce = _HEAD.unpack_from(data)
        key = self.keys.get(key_id)
        if kind != magic or version != VERSION or key is None or cluster != self.cluster:
            return None
        signed, mac = data[:-MAC_BYTES], data[-MAC_BYTES:]
        if not hmac.compare_digest(hmac.digest(key, signed, hashlib.sha256), mac):
            return None
        return (first, second, session, nonce), signed[_HEAD.size :]
