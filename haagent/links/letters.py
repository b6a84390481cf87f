# SPDX-License-Identifier: GPL-2.0-or-later
"""Letters between the two agents: what is asked too rarely, or is too long, for a heartbeat.

They take the heartbeats' way, over the same sockets and under the same keys, but the core never
sees one: nothing that a takeover depends on is said in a letter. An agent of a release without
them counts them as "not ours" and goes on. All integers are big-endian.

    offset size
    0      4    magic "HAAL"
    4      1    version
    5      1    key id
    6      1    sender: 0 or 1
    7      1    kind: 0 a piece of a question, 1 a piece of its answer
    8      8    cluster: first bytes of SHA-256 of its name
    16     8    from: the sender's own incarnation
    24     8    to: the receiver's incarnation, as its heartbeats tell it
    32     8    number of the question, strictly rising within the asking incarnation
    40     4    have: how many bytes of the other side's text have arrived
    44     4    offset of this piece in the sender's text
    48     4    length of that text, 0xffffffff while it is not written yet
    52     ...  the piece, at most 1,000 bytes
    end-32 32   HMAC-SHA256 over everything before it

Both incarnations are random and the receiver compares both, so a letter that was recorded earlier
is no letter any more once either agent was started anew; within them the number keeps an old
question from being carried out again.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Mapping
from dataclasses import dataclass

MAGIC = b"HAAL"
VERSION = 1
PIECE_BYTES_MAX = 1000
"""With all around it below the 1,200 bytes of a heartbeat."""
UNWRITTEN = 0xFFFFFFFF

_HEADER = struct.Struct("!4sBBBB8sQQQIII")
_MAC_BYTES = 32


@dataclass(frozen=True, slots=True)
class Letter:
    """One piece of a question or of its answer."""

    sender: int
    answers: bool
    """Whether it is of the answer."""
    origin: int
    """Incarnation of the sender."""
    destination: int
    """Incarnation that it is meant for."""
    number: int
    have: int
    offset: int
    total: int
    """UNWRITTEN while the sender has no text yet."""
    piece: bytes


@dataclass(frozen=True, slots=True)
class Seal:
    """What authenticates letters: the heartbeat's keys and cluster."""

    cluster: bytes
    send: int
    """Id of the key that our own letters carry."""
    keys: Mapping[int, bytes]

    def closed(self, letter: Letter) -> bytes:
        """The letter's bytes, signed."""
        signed = (
            _HEADER.pack(
                MAGIC,
                VERSION,
                self.send,
                letter.sender,
                letter.answers,
                self.cluster,
                letter.origin,
                letter.destination,
                letter.number,
                letter.have,
                letter.offset,
                letter.total,
            )
            + letter.piece
        )
        return signed + hmac.digest(self.keys[self.send], signed, "sha256")

    def opened(self, data: bytes) -> Letter | None:
        """The letter in a datagram; None if it is not authentic, before anything is believed."""
        if not _HEADER.size + _MAC_BYTES <= len(data) <= _HEADER.size + PIECE_BYTES_MAX + 32:
            return None
        magic, version, key_id, sender, kind, cluster, *fields = _HEADER.unpack_from(data)
        key = self.keys.get(key_id)
        if (magic, version, cluster) != (MAGIC, VERSION, self.cluster) or key is None:
            return None
        signed, mac = data[:-_MAC_BYTES], data[-_MAC_BYTES:]
        if not hmac.compare_digest(hmac.digest(key, signed, "sha256"), mac) or kind > 1:
            return None
        origin, destination, number, have, offset, total = fields
        return Letter(
            sender,
            bool(kind),
            origin,
            destination,
            number,
            have,
            offset,
            total,
            signed[_HEADER.size :],
        )
