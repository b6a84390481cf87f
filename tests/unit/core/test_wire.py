# SPDX-License-Identifier: GPL-2.0-or-later
"""The heartbeat frame: what goes in comes out, and nothing else ever comes out."""

from __future__ import annotations

import hmac
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haagent.core.wire import (
    FRAME_BYTES_MAX,
    GROUPS_MAX,
    LINKS_MAX,
    NAME_BYTES_MAX,
    Body,
    DecodeError,
    Frame,
    GroupReport,
    LinkReport,
    Refusal,
    Role,
    cluster_id,
    decode,
    encode,
)

CLUSTER = cluster_id("pair-a")
KEY = b"k" * 32
U16, U32, U64 = (st.integers(0, 2**bits - 1) for bits in (16, 32, 64))
NAMES = st.text(st.characters(codec="utf-8"), max_size=NAME_BYTES_MAX).filter(
    lambda name: len(name.encode()) <= NAME_BYTES_MAX
)
GROUP_REPORTS = st.builds(
    GroupReport,
    name=NAMES,
    role=st.sampled_from(Role),
    promotable=st.booleans(),
    reason=st.integers(0, 255),
    term=U64,
    held_term=U64,
    attempt=U64,
    attempt_term=U64,
    attempt_incarnation=U64,
    switchover=st.booleans(),
    position=st.integers(-(2**63), 2**63 - 1),
)
BODIES = st.builds(
    Body,
    echo=U64,
    stall_ms=U16,
    leaving=st.booleans(),
    fence_me=st.booleans(),
    pausing_ms=U32,
    maintenance=st.booleans(),
    away=st.tuples(st.booleans(), st.booleans()),
    orders_version=U32,
    host_identity=st.binary(min_size=16, max_size=16),
    configuration_hash=st.binary(min_size=16, max_size=16),
    links=st.lists(st.builds(LinkReport, U64, U16), max_size=LINKS_MAX).map(tuple),
    groups=st.lists(GROUP_REPORTS, max_size=GROUPS_MAX).map(tuple),
    release=U32,
    unfed_s=U16,
)
FRAMES = st.builds(
    Frame,
    sender=st.just(1),
    link=st.integers(0, 255),
    incarnation=st.integers(1, 2**64 - 1),
    counter=U64,
    body=BODIES,
)
PLAIN = Frame(
    1,
    0,
    77,
    5,
    Body(
        echo=66,
        stall_ms=3,
        leaving=False,
        fence_me=False,
        pausing_ms=0,
        maintenance=False,
        away=(False, False),
        orders_version=0,
        host_identity=bytes(16),
        configuration_hash=b"h" * 16,
        links=(LinkReport(4, 12),),
        groups=(GroupReport("web", Role.ACTIVE, True, 0, 7, 7, 0, 0, 0, False),),  # noqa: FBT003
        release=0x01020003,
        unfed_s=34,
    ),
)


def to_bytes(frame: Frame, *, key: bytes = KEY, key_id: int = 1) -> bytes:
    """The frame as the peer sends it."""
    return encode(frame, cluster=CLUSTER, key_id=key_id, key=key)


def take(data: bytes) -> Frame:
    """The datagram as node 0 reads it."""
    return decode(data, cluster=CLUSTER, keys={1: KEY}, me=0)


def signed(data: bytes) -> bytes:
    """The same bytes with a right signature: what only a bug or another version sends."""
    return data[:-32] + hmac.digest(KEY, data[:-32], "sha256")


def refusal(data: bytes) -> Refusal:
    """Why the datagram is refused."""
    with pytest.raises(DecodeError) as caught:
        take(data)
    assert str(caught.value) == caught.value.refusal
    return caught.value.refusal


def patched(offset: int, value: bytes) -> bytes:
    """A plain frame with some bytes replaced before it is signed."""
    data = to_bytes(PLAIN)
    return signed(data[:offset] + value + data[offset + len(value) :])


@given(FRAMES)
def test_round_trip(frame: Frame) -> None:
    """Every frame within the limits comes out as it went in, within 1,200 bytes."""
    data = to_bytes(frame)
    assert len(data) <= FRAME_BYTES_MAX
    assert take(data) == frame


@given(st.binary(max_size=1400))
def test_any_bytes(data: bytes) -> None:
    """Any bytes at all give a counted refusal: nothing unsigned is ever a frame."""
    assert refusal(data) in set(Refusal)


@given(st.binary(max_size=1100))
def test_any_signed_bytes(content: bytes) -> None:
    """Even rightly signed nonsense gives a frame or a refusal, and nothing else."""
    try:
        taken = take(signed(b"HAAG\x01\x01\x01" + content + bytes(32)))
    except DecodeError as error:
        assert error.refusal in set(Refusal)  # noqa: PT017 - either ending is right
    else:
        assert taken.sender == 1


@given(FRAMES, st.data())
def test_bit_flips(frame: Frame, data: st.DataObject) -> None:
    """No single flipped bit anywhere in a frame gets through."""
    good = bytearray(to_bytes(frame))
    bit = data.draw(st.integers(0, len(good) * 8 - 1))
    good[bit // 8] ^= 1 << bit % 8
    assert refusal(bytes(good)) in {
        Refusal.NOT_OURS,
        Refusal.VERSION,
        Refusal.UNKNOWN_KEY,
        Refusal.FORGED,
    }


@given(FRAMES, st.data())
def test_truncation(frame: Frame, data: st.DataObject) -> None:
    """A frame cut short is refused wherever it was cut."""
    good = to_bytes(frame)
    assert refusal(good[: data.draw(st.integers(0, len(good) - 1))])


def test_authenticated_before_parsed() -> None:
    """A forged frame with a malformed body is FORGED: its body was never looked at."""
    malformed = patched(90, b"\xff")
    assert refusal(malformed) is Refusal.MALFORMED
    assert refusal(malformed[:-1] + bytes([malformed[-1] ^ 1])) is Refusal.FORGED


def test_authenticated_before_sender_and_cluster() -> None:
    """Who sent it and for which cluster is not believed, or counted, of a forged frame."""
    for offset in (6, 24):
        data = bytearray(patched(offset, b"\x00"))
        data[-1] ^= 1
        assert refusal(bytes(data)) is Refusal.FORGED


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(bytes(FRAME_BYTES_MAX + 1), Refusal.TOO_LONG, id="too-long"),
        pytest.param(b"", Refusal.TOO_SHORT, id="empty"),
        pytest.param(to_bytes(PLAIN)[:121], Refusal.TOO_SHORT, id="too-short"),
        pytest.param(patched(0, b"XAAG"), Refusal.NOT_OURS, id="magic"),
        pytest.param(patched(4, b"\x02"), Refusal.VERSION, id="version"),
        pytest.param(patched(5, b"\x09"), Refusal.UNKNOWN_KEY, id="key"),
        pytest.param(to_bytes(PLAIN, key=b"other"), Refusal.FORGED, id="forged"),
        pytest.param(patched(24, b"otherone"), Refusal.OTHER_CLUSTER, id="cluster"),
        pytest.param(patched(6, b"\x00"), Refusal.OWN_ID, id="own-id"),
        pytest.param(patched(6, b"\x02"), Refusal.MALFORMED, id="third-node"),
        pytest.param(patched(8, bytes(8)), Refusal.MALFORMED, id="no-incarnation"),
        pytest.param(patched(42, b"\x00\x20"), Refusal.MALFORMED, id="unknown-flag"),
        pytest.param(patched(90, b"\x09"), Refusal.MALFORMED, id="too-many-links"),
        pytest.param(patched(91, b"\x09"), Refusal.MALFORMED, id="too-many-groups"),
        pytest.param(patched(90, b"\x08"), Refusal.MALFORMED, id="links-beyond-the-end"),
        pytest.param(patched(91, b"\x02"), Refusal.MALFORMED, id="groups-beyond-the-end"),
        pytest.param(patched(91, b"\x00"), Refusal.MALFORMED, id="bytes-left-over"),
        pytest.param(patched(102, b"\x21"), Refusal.MALFORMED, id="name-too-long"),
        pytest.param(patched(102, b"\x20"), Refusal.MALFORMED, id="name-beyond-the-end"),
        pytest.param(patched(103, b"\xff"), Refusal.MALFORMED, id="name-not-utf8"),
        pytest.param(patched(106, b"\x63"), Refusal.MALFORMED, id="unknown-role"),
        pytest.param(patched(107, b"\x40"), Refusal.MALFORMED, id="unknown-group-flag"),
    ],
)
def test_each_refusal(data: bytes, expected: Refusal) -> None:
    """Every way in which a datagram can be wrong has its own counter."""
    assert refusal(data) is expected


def test_fullest_frame_fits() -> None:
    """8 groups with names of 32 bytes and 8 links fit into 1,200 bytes."""
    group = replace(PLAIN.body.groups[0], name="n" * NAME_BYTES_MAX)
    fullest = replace(
        PLAIN,
        body=replace(
            PLAIN.body, links=(LinkReport(1, 1),) * LINKS_MAX, groups=(group,) * GROUPS_MAX
        ),
    )
    data = to_bytes(fullest)
    assert len(data) <= FRAME_BYTES_MAX
    assert take(data) == fullest


def test_key_rotation() -> None:
    """Accept both keys, then send the new one, then drop the old: no frame is lost on the way."""
    old, new = b"o" * 32, b"n" * 32
    sent_old = to_bytes(PLAIN, key=old, key_id=1)
    sent_new = to_bytes(PLAIN, key=new, key_id=2)
    both = {1: old, 2: new}
    for data in (sent_old, sent_new):
        assert decode(data, cluster=CLUSTER, keys=both, me=0) == PLAIN
    with pytest.raises(DecodeError, match=Refusal.UNKNOWN_KEY):
        decode(sent_old, cluster=CLUSTER, keys={2: new}, me=0)


def test_key_id_does_not_choose_the_secret() -> None:
    """A frame signed with one accepted key under the id of the other is forged."""
    data = to_bytes(PLAIN, key=b"o" * 32, key_id=2)
    with pytest.raises(DecodeError, match=Refusal.FORGED):
        decode(data, cluster=CLUSTER, keys={1: b"o" * 32, 2: b"n" * 32}, me=0)


def test_stall_is_capped() -> None:
    """A stall beyond what 16 bits hold is told as the most they hold, not as a crash."""
    frame = replace(PLAIN, body=replace(PLAIN.body, stall_ms=10**9))
    assert take(to_bytes(frame)).body.stall_ms == 0xFFFF


def test_layout() -> None:
    """The bytes lie where the module's table says, big-endian."""
    data = to_bytes(PLAIN)
    assert struct.unpack_from("!4sBBBBQQ8s", data) == (b"HAAG", 1, 1, 1, 0, 77, 5, CLUSTER)
    assert struct.unpack_from("!QH", data, 32) == (66, 3)
    assert data[68:88] == b"h" * 16 + b"\x01\x02\x00\x03"
    assert struct.unpack_from("!H", data, 88) == (34,)
    assert struct.unpack_from("!QH", data, 92) == (4, 12)
    assert data[102:106] == b"\x03web"


def test_holding_roles() -> None:
    """A role that may have resources running counts as holding; asking and promising do not."""
    assert {role for role in Role if not role.holds} == {
        Role.STANDBY,
        Role.WANTING,
        Role.YIELDED,
        Role.BLOCKED,
    }
