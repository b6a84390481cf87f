# SPDX-License-Identifier: GPL-2.0-or-later
"""Who answers for each virtual address: never two (S1)."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from haagent.bugs import die_of_bugs
from haagent.drill.client import Clients
from haagent.errors import EdgeError
from haagent.netlink import Netlink
from haagent.vip import Vip
from haagent.vip.frames import FrameShelf
from haagent.vip.prober import VipProber

LOOK_EVERY_S = 0.2
WINDOW_S = 0.02


class Holders:
    """Probes the addresses, which claims nothing, and compares with what is configured here."""

    def __init__(self, netlink: Netlink, vips: tuple[Vip, ...], clients: Clients) -> None:
        self._vips = vips
        self._clients = clients
        self._frames = FrameShelf(netlink, vips)
        self._prober = VipProber(netlink, self._frames)
        self._looking: asyncio.Task[None] | None = None
        self.twice = ""
        """An address that two had, and who; empty as long as none was seen."""

    async def start(self) -> None:
        """Begin to look.

        Raises:
            EdgeError: No packet sockets.
        """
        await self._frames.open()
        self._prober.start(self._vips)
        self._looking = asyncio.get_running_loop().create_task(self._look())
        self._looking.add_done_callback(die_of_bugs)

    async def close(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking
        self._prober.close()
        self._frames.close()

    async def _look(self) -> None:
        while self._vips:
            await asyncio.sleep(LOOK_EVERY_S)
            before = {vip for vip in self._vips if self._clients.here(vip)}
            try:
                answers = await self._prober.probe(self._vips, WINDOW_S)
            except EdgeError:
                continue  # An interface is down: nobody is seen on it.
            for vip in self._vips:
                macs = {answer.mac.hex(":") for answer in answers if answer.vip == vip}
                # Here before and after the question: it was here when somebody else answered.
                here = vip in before and self._clients.here(vip)
                if len(macs) + here > 1 and not self.twice:
                    who = " and ".join([*(["this node"] if here else []), *sorted(macs)])
                    self.twice = f"{vip.address.ip} is held by {who}"
