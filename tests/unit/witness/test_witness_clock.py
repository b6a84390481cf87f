# SPDX-License-Identifier: GPL-2.0-or-later
"""The takeover lock in a real etcd whose members' wall clocks are set while it is held."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from haagent.witness import Word
from hil.etcd import Etcd
from witness.loop import looped
from witness.test_witness_etcd import LEASE_S, TERMS, until, witness

DAY_S = 86_400.0
SLACK_S = 10.0
HELD_S = 2.0


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    """Three members, each with a clock that can be set."""
    with Etcd(tmp_path_factory.mktemp("clocks"), clocks=True) as running:
        yield running


def step(etcd: Etcd, *days: float) -> None:
    """Set the clocks of all members; each sees its own."""
    now = datetime.now(UTC)
    for member, endpoint, by in zip(etcd.members, etcd.endpoints, days, strict=True):
        assert member.clock is not None
        before = wall(endpoint)
        member.clock.step(by * DAY_S)
        assert abs(wall(endpoint) - before - timedelta(days=by)) < timedelta(minutes=5)
    assert abs(datetime.now(UTC) - now) < timedelta(minutes=5), "and nobody else's"


def wall(endpoint: str) -> datetime:
    """What a member takes for the time."""
    with closing(HTTPConnection(urlsplit(endpoint).netloc, timeout=SLACK_S)) as asking:
        asking.request("GET", "/version")
        return parsedate_to_datetime(asking.getresponse().headers["Date"])


@looped
async def test_clock_that_is_set_ends_no_lease(etcd: Etcd) -> None:
    """A year later, for its leader or for all, the holder still has the lock, and renews it."""
    async with witness(etcd) as alpha, witness(etcd, "beta") as beta:
        assert (await alpha.claim(TERMS)).word is Word.YES
        for days in ((365.0, -365.0, 1.0), (-365.0, 365.0, 365.0)):
            await asyncio.to_thread(step, etcd, *days)
            end_s = time.monotonic() + HELD_S
            while time.monotonic() < end_s:
                assert (await beta.claim(TERMS)).word is not Word.YES
                assert (await alpha.claim(TERMS)).word is not Word.NO
                await asyncio.sleep(0.1)
            await until(lambda: alpha.claim(TERMS), Word.YES)
            await until(lambda: beta.claim(TERMS), Word.NO)
        await alpha.release()


@looped
async def test_clock_that_is_set_back_keeps_no_dead_holder(etcd: Etcd) -> None:
    """The lock of a node that died runs out in its time, whatever day the members think it is."""
    async with witness(etcd, "beta") as beta:
        async with witness(etcd) as alpha:
            assert (await alpha.claim(TERMS)).word is Word.YES
            begin_s = time.monotonic()
        await asyncio.to_thread(step, etcd, -30.0, -30.0, -30.0)
        await until(lambda: beta.claim(TERMS), Word.YES)
        assert LEASE_S / 2 < time.monotonic() - begin_s < LEASE_S + SLACK_S
        await beta.release()
