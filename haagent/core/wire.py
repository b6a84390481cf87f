# SPDX-License-Identifier: GPL-2.0-or-later
"""The heartbeat frame: bytes in, a Frame or a counted refusal out; authenticated before parsed.

All integers are big-endian. A frame is at most 1,200 bytes and ends with HMAC-SHA256 over
everything before it.

    offset size
    0      4    magic "HAAG"
    4      1    version
    5      1    key id
    6      1    sender: 0 or 1
    7      1    link, by its place in the configuration
    8      8    incarnation, random per start of the sending agent, never 0
    16     8    counter, strictly rising within an incarnation
    24     8    cluster: first bytes of SHA-256 of its name
    32     8    echo: the incarnation the sender hears, 0 for none
    40     2    stall: the sender's own worst stall of late, ms
    42     2    flags: 1 leaving, 2 maintenance, 4 please fence me, 8 and 16 node 0 and 1 on standby
    44     4    pausing: how long the sender will be silent on purpose, ms
    48     4    version of the standing orders (maintenance, standby, stopped, frozen)
    52     16   host identity (system UUID), zero when unknown
    68     16   configuration hash
    84     4    release of the sender's software: major (1), minor (1), patch (2)
    88     2    unfed: seconds after which the sender's watchdog has reset it, see Body
    90     1    number of links L
    91     1    number of groups G
    92     10*L per link: last counter heard on it (8), age of it in ms (2, 65535 never)
    ...    per group: name length (1), name, role (1), flags (1: 1 promotable, 2 switchover,
           4 stopped, 8 frozen by an operator, 16 the holder's word says complete, 32 complete),
           reason for not promotable (1), term (8), term last held (8),
           attempt (8), attempt's term (8), attempt's incarnation (8), data position (8),
           number of the holder's word (8), of the word that was heard (8): see synced
    end-32 32   HMAC-SHA256

Attempt, its term and its incarnation belong to a group that WANTS (own attempt) or has YIELDED
(the peer's attempt and incarnation), and are 0 otherwise.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import lru_cache

FRAME_BYTES_MAX = 1200
"""Fits every Ethernet without fragments, with room for a tunnel's header."""
GROUPS_MAX = 8
LINKS_MAX = 8
NAME_BYTES_MAX = 32
AGE_NEVER_MS = 0xFFFF
VERSION = 1

_MAGIC = b"HAAG"
_HEADER = struct.Struct("!4sBBBBQQ8s")
_FIXED = struct.Struct("!QHHII16s16sIHBB")
_LINK = struct.Struct("!QH")
_GROUP = struct.Struct("!BBBQQQQQqQQ")
_MAC_BYTES = 32
_LEAVING, _MAINTENANCE, _FENCE_ME, _AWAY_0, _AWAY_1 = 1, 2, 4, 8, 16
_BODY_FLAGS = _LEAVING | _MAINTENANCE | _FENCE_ME | _AWAY_0 | _AWAY_1
_PROMOTABLE, _SWITCHOVER, _STOPPED, _FROZEN, _GIVEN, _COMPLETE = 1, 2, 4, 8, 16, 32
_GROUP_FLAGS = _PROMOTABLE | _SWITCHOVER | _STOPPED | _FROZEN | _GIVEN | _COMPLETE


class Role(IntEnum):
    """What a node is to a group, as the wire says it."""

    ASSESSING = 0
    """Just started; leftovers of the group are being removed."""
    STANDBY = 1
    WANTING = 2
    """Asks to start the group; the attempt number says which asking."""
    YIELDED = 3
    """Promised not to start it while the peer's attempt stands."""
    TAKING_OVER = 4
    ACTIVE = 5
    RELEASING = 6
    STUCK = 7
    """Could not stop the group: asks to be fenced (S7)."""
    BLOCKED = 8

    @property
    def holds(self) -> bool:
        """Whether resources of the group may be running on that node."""
        return self in {Role.TAKING_OVER, Role.ACTIVE, Role.RELEASING, Role.STUCK, Role.ASSESSING}


class Refusal(StrEnum):
    """Why a datagram was dropped; each is a counter."""

    TOO_LONG = "too_long"
    TOO_SHORT = "too_short"
    NOT_OURS = "not_ours"
    VERSION = "version"
    UNKNOWN_KEY = "unknown_key"
    FORGED = "forged"
    OTHER_CLUSTER = "other_cluster"
    OWN_ID = "own_id"
    MALFORMED = "malformed"
    WRONG_LINK = "wrong_link"
    REPLAYED = "replayed"


class DecodeError(Exception):
    """The datagram is no frame of ours."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class LinkReport:
    """How well the sender hears us on one link."""

    counter: int
    age_ms: int
    """Since that frame was heard; AGE_NEVER_MS when there was none."""


@dataclass(frozen=True, slots=True)
class GroupReport:
    """One group as the sender sees it."""

    name: str
    role: Role
    promotable: bool
    reason: int
    """Why it is not promotable: the number of a Reason, 0 when it is."""
    term: int
    held_term: int
    attempt: int
    attempt_term: int
    attempt_incarnation: int
    switchover: bool
    """A WANTING that asks an active peer to hand over."""
    position: int = -1
    """How fresh the data is; -1 when the group has none."""
    stopped: bool = False
    frozen: bool = False
    """Standing orders, of the version in the body."""
    word: int = 0
    """Number of a holder's word on whether the other node has every commit; 0 for none."""
    given: bool = False
    """It says so."""
    seen: int = 0
    """Number of the word that was heard from the incarnation that is echoed."""
    complete: bool = False
    """The sender has every commit that was acknowledged."""


@dataclass(frozen=True, slots=True)
class Body:
    """What a node says about itself; the same on every link."""

    echo: int
    stall_ms: int
    leaving: bool
    fence_me: bool
    pausing_ms: int
    maintenance: bool
    away: tuple[bool, bool]
    orders_version: int
    """Of maintenance, away, and the groups' stopped and frozen."""
    host_identity: bytes
    configuration_hash: bytes
    links: tuple[LinkReport, ...]
    groups: tuple[GroupReport, ...]
    release: int = 0
    """Of the software, packed as on the wire; decides nothing."""
    unfed_s: int = 0
    """So long after it lost us and the witnesses, at most, a sender that holds a group has been
    reset by its own watchdog (S2 e); 0: it promises nothing."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One authentic heartbeat."""

    sender: int
    link: int
    incarnation: int
    counter: int
    body: Body


def cluster_id(name: str) -> bytes:
    """Eight bytes that tell this cluster's frames from another's."""
    return hashlib.sha256(name.encode()).digest()[:8]


@lru_cache(maxsize=16)
def _keyed(key: bytes) -> hmac.HMAC:
    """The key's half of the work, done once and not for every frame."""
    return hmac.new(key, digestmod="sha256")


def _mac(key: bytes, data: bytes) -> bytes:
    mac = _keyed(key).copy()
    mac.update(data)
    return mac.digest()


def encode(
    frame: Frame, *, cluster: bytes, key_id: int, key: bytes, content: bytes | None = None
) -> bytes:
    """The frame's bytes, signed with the key.

    Args:
        frame: Within the limits above (names, numbers of links and groups).
        cluster: From cluster_id.
        key_id: 0 to 255.
        key: Shared secret, any length the configuration allowed.
        content: encode_body of the frame's body, if it was made for another link already.
    """
    header = _HEADER.pack(
        _MAGIC,
        VERSION,
        key_id,
        frame.sender,
        frame.link,
        frame.incarnation,
        frame.counter,
        cluster,
    )
    signed = header + (encode_body(frame.body) if content is None else content)
    data = signed + _mac(key, signed)
    assert len(data) <= FRAME_BYTES_MAX
    return data


def encode_body(body: Body) -> bytes:
    """The part of a frame that is the same on every link of one heartbeat."""
    flags = body.leaving * _LEAVING | body.maintenance * _MAINTENANCE | body.fence_me * _FENCE_ME
    flags |= body.away[0] * _AWAY_0 | body.away[1] * _AWAY_1
    fixed = _FIXED.pack(
        body.echo,
        min(body.stall_ms, 0xFFFF),
        flags,
        body.pausing_ms,
        body.orders_version,
        body.host_identity,
        body.configuration_hash,
        body.release,
        body.unfed_s,
        len(body.links),
        len(body.groups),
    )
    links = [_LINK.pack(link.counter, link.age_ms) for link in body.links]
    return b"".join([fixed, *links, *map(_encode_group, body.groups)])


def _encode_group(group: GroupReport) -> bytes:
    name = group.name.encode()
    assert len(name) <= NAME_BYTES_MAX
    flags = group.promotable * _PROMOTABLE | group.switchover * _SWITCHOVER
    flags |= group.stopped * _STOPPED | group.frozen * _FROZEN
    flags |= group.given * _GIVEN | group.complete * _COMPLETE
    return (
        bytes([len(name)])
        + name
        + _GROUP.pack(
            group.role,
            flags,
            group.reason,
            group.term,
            group.held_term,
            group.attempt,
            group.attempt_term,
            group.attempt_incarnation,
            group.position,
            group.word,
            group.seen,
        )
    )


def decode(data: bytes, *, cluster: bytes, keys: Mapping[int, bytes], me: int) -> Frame:
    """The frame in a datagram, authenticated before anything of it is believed.

    Args:
        data: A datagram, any bytes at all.
        cluster: From cluster_id.
        keys: Accepted secrets by key id.
        me: My own node number, whose frames are refused.

    Raises:
        DecodeError: with the refusal to count.
    """
    if len(data) > FRAME_BYTES_MAX:
        raise DecodeError(Refusal.TOO_LONG)
    if len(data) < _HEADER.size + _FIXED.size + _MAC_BYTES:
        raise DecodeError(Refusal.TOO_SHORT)
    magic, version, key_id, sender, link, incarnation, counter, of = _HEADER.unpack_from(data)
    if magic != _MAGIC:
        raise DecodeError(Refusal.NOT_OURS)
    if version != VERSION:
        raise DecodeError(Refusal.VERSION)
    key = keys.get(key_id)
    if key is None:
        raise DecodeError(Refusal.UNKNOWN_KEY)
    signed, mac = data[:-_MAC_BYTES], data[-_MAC_BYTES:]
    if not hmac.compare_digest(_mac(key, signed), mac):
        raise DecodeError(Refusal.FORGED)
    if of != cluster:
        raise DecodeError(Refusal.OTHER_CLUSTER)
    if sender == me:
        raise DecodeError(Refusal.OWN_ID)
    if sender != 1 - me or incarnation == 0:
        raise DecodeError(Refusal.MALFORMED)
    return Frame(sender, link, incarnation, counter, _decode_body(signed[_HEADER.size :]))


@lru_cache(maxsize=2)
def _decode_body(content: bytes) -> Body:
    """The body of an authentic frame; it can still come from another version or a bug.

    Kept for the next frame, which brings the same one over another link.
    """
    try:
        fixed = _FIXED.unpack_from(content)
        echo, stall_ms, flags, pausing_ms, version, identity, configuration, *counted = fixed
        release, unfed_s, links, groups = counted
        if links > LINKS_MAX or groups > GROUPS_MAX or flags & ~_BODY_FLAGS:
            raise DecodeError(Refusal.MALFORMED)
        at = _FIXED.size
        link_reports = []
        for _ in range(links):
            link_reports.append(LinkReport(*_LINK.unpack_from(content, at)))
            at += _LINK.size
        group_reports = []
        for _ in range(groups):
            report, at = _decode_group(content, at)
            group_reports.append(report)
    except (struct.error, UnicodeDecodeError, ValueError, IndexError) as error:
        raise DecodeError(Refusal.MALFORMED) from error
    if at != len(content):
        raise DecodeError(Refusal.MALFORMED)
    return Body(
        echo=echo,
        stall_ms=stall_ms,
        leaving=bool(flags & _LEAVING),
        fence_me=bool(flags & _FENCE_ME),
        pausing_ms=pausing_ms,
        maintenance=bool(flags & _MAINTENANCE),
        orders_version=version,
        away=(bool(flags & _AWAY_0), bool(flags & _AWAY_1)),
        host_identity=identity,
        configuration_hash=configuration,
        links=tuple(link_reports),
        groups=tuple(group_reports),
        release=release,
        unfed_s=unfed_s,
    )


def _decode_group(signed: bytes, at: int) -> tuple[GroupReport, int]:
    length = signed[at]
    end = at + 1 + length
    if length > NAME_BYTES_MAX:
        raise DecodeError(Refusal.MALFORMED)
    role, flags, reason, term, held, attempt, attempt_term, incarnation, position, word, seen = (
        _GROUP.unpack_from(signed, end)
    )
    if flags & ~_GROUP_FLAGS:
        raise DecodeError(Refusal.MALFORMED)
    report = GroupReport(
        name=signed[at + 1 : end].decode(),
        role=Role(role),
        promotable=bool(flags & _PROMOTABLE),
        reason=reason,
        term=term,
        held_term=held,
        attempt=attempt,
        attempt_term=attempt_term,
        attempt_incarnation=incarnation,
        switchover=bool(flags & _SWITCHOVER),
        position=position,
        stopped=bool(flags & _STOPPED),
        frozen=bool(flags & _FROZEN),
        word=word,
        given=bool(flags & _GIVEN),
        seen=seen,
        complete=bool(flags & _COMPLETE),
    )
    return report, end + _GROUP.size
