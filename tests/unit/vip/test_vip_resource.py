# SPDX-License-Identifier: GPL-2.0-or-later
"""Virtual addresses as a resource, in a real kernel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_interface

import pytest

from haagent.netlink import Netlink
from haagent.resources import Condition, ResourceError, Times
from haagent.resources.vip import VipResource
from haagent.vip import Vip
from haagent.vip.frames import FrameShelf
from haagent.vip.holder import ClaimTimes, VipHolder
from vip.netns import Lan, run

FIRST = Vip(ip_interface("192.0.2.150/24"), "eth0")
SECOND = Vip(ip_interface("192.0.2.151/24"), "eth0")
SHORT = Times(start_s=0.1, stop_s=0.1, monitor_s=0.1)
NOWHERE = Vip(ip_interface("192.0.2.12/24"), "eth7")


@asynccontextmanager
async def resource(*vips: Vip) -> AsyncIterator[tuple[VipResource, list[ClaimTimes]]]:
    """One, opened in this thread's namespace, and the times that it tells."""
    netlink = Netlink()
    await netlink.open()
    frames = FrameShelf(netlink, vips)
    holder = VipHolder(netlink, frames, lambda _vip, _reason: None)
    holder.open()
    times: list[ClaimTimes] = []
    try:
        yield VipResource("vip", vips, holder, times.append), times
    finally:
        holder.close()
        frames.close()
        netlink.close()


def test_life_of_a_vip(lan: Lan) -> None:
    """Stopped, started, started again, stopped, stopped again: the kernel says the same."""

    async def main() -> None:
        async with resource(FIRST, SECOND) as (vip, times):
            assert (await vip.monitor()).condition is Condition.STOPPED
            await vip.start()
            assert (await vip.monitor()).condition is Condition.ACTIVE
            assert "192.0.2.150/24" in shown(lan)
            assert "192.0.2.151/24" in shown(lan)
            await vip.start()
            assert len(times) == 2
            assert times[0].added_ns < times[1].added_ns
            await vip.stop()
            assert "192.0.2.15" not in shown(lan)
            assert (await vip.monitor()).condition is Condition.STOPPED
            await vip.stop()
            await vip.retire()

    lan.a.run(main)


def test_what_an_earlier_agent_left_is_active(lan: Lan) -> None:
    """It is seen without being claimed, and a stop removes it all the same."""

    async def main() -> None:
        run("ip", "-n", lan.a.netns, "address", "add", "192.0.2.150/24", "dev", "eth0")
        async with resource(FIRST) as (vip, _):
            assert (await vip.monitor()).condition is Condition.ACTIVE
            await vip.stop()
            assert (await vip.monitor()).condition is Condition.STOPPED

    lan.a.run(main)


def test_half_of_them_is_failed(lan: Lan) -> None:
    """One address of two is neither stopped nor serving, and the missing one is named."""

    async def main() -> None:
        run("ip", "-n", lan.a.netns, "address", "add", "192.0.2.150/24", "dev", "eth0")
        async with resource(FIRST, SECOND) as (vip, _):
            reading = await vip.monitor()
            assert reading.condition is Condition.FAILED
            assert "192.0.2.151/24" in reading.detail
            await vip.stop()

    lan.a.run(main)


def test_what_cannot_be_added_is_told(lan: Lan) -> None:
    """No such interface: the start fails in words, and the stop says that nothing is left."""

    async def main() -> None:
        async with resource(NOWHERE) as (vip, times):
            with pytest.raises(ResourceError, match="eth7"):
                await vip.start()
            assert times == []
            await vip.stop()

    lan.a.run(main)


def test_limits_are_kept(lan: Lan) -> None:
    """Whatever hangs, start and stop end in an error when their time is up."""

    async def main() -> None:
        async with resource(FIRST) as (patient, _):
            vip = VipResource("vip", (FIRST,), patient._holder, lambda _: None, SHORT)
            release = asyncio.Event()
            loop = asyncio.get_running_loop()

            def hang(_route: object) -> None:
                asyncio.run_coroutine_threadsafe(release.wait(), loop).result()

            hanging = asyncio.create_task(vip._holder._netlink.call(hang))
            await asyncio.sleep(0)
            for work in (vip.start, vip.stop):
                with pytest.raises(ResourceError, match=r"0\.1 s"):
                    await work()
            assert (await vip.monitor()).condition is Condition.FAILED
            release.set()
            await hanging
            await vip.stop()
            assert (await vip.monitor()).condition is Condition.STOPPED

    lan.a.run(main)


def shown(lan: Lan) -> str:
    """What `ip` says of the interface."""
    return run("ip", "-n", lan.a.netns, "-4", "address", "show", "dev", "eth0")
