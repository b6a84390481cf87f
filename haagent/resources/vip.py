# SPDX-License-Identifier: GPL-2.0-or-later
"""Virtual addresses as one resource among others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from haagent.errors import EdgeError
from haagent.resources import Condition, Reading, ResourceError, Times
from haagent.vip import Vip
from haagent.vip.holder import ClaimTimes, VipHolder

TIMES = Times(start_s=5.0, stop_s=5.0, monitor_s=5.0, interval_s=10.0)
"""The kernel takes a millisecond. The interval is for the readings alone: `VipHolder` hears of an
address that somebody takes away at once, and puts it back."""


class VipResource:
    """Addresses that come and go together; see `Resource` for what each method promises."""

    def __init__(
        self,
        name: str,
        vips: Sequence[Vip],
        holder: VipHolder,
        on_times: Callable[[ClaimTimes], None],
        times: Times = TIMES,
    ) -> None:
        """Nothing is claimed yet.

        Args:
            name: Unique in its group.
            vips: At least one.
            holder: Opened before, closed after this; tells its own caller of an address lost.
            on_times: Called on the loop after each start, with when it had got how far.
            times: Limits and interval.
        """
        assert vips, "no address"
        self._name = name
        self._vips = tuple(vips)
        self._holder = holder
        self._on_times = on_times
        self._times = times

    @property
    def name(self) -> str:
        """Unique in its group."""
        return self._name

    @property
    def times(self) -> Times:
        """Limits and interval."""
        return self._times

    async def start(self) -> None:
        """Add and announce every address; one that is there already counts as added."""
        try:
            async with asyncio.timeout(self._times.start_s):
                reached = await self._holder.claim(self._vips)
        except TimeoutError:
            raise ResourceError(f"not added after {self._times.start_s:g} s") from None
        except EdgeError as error:
            raise ResourceError(str(error)) from error
        self._on_times(reached)

    async def stop(self) -> None:
        """Remove every address, and read back that it is gone (S2, S7)."""
        try:
            async with asyncio.timeout(self._times.stop_s):
                await self._holder.release(self._vips)
        except TimeoutError:
            raise ResourceError(f"not seen removed after {self._times.stop_s:g} s") from None
        except EdgeError as error:
            raise ResourceError(str(error)) from error

    async def monitor(self) -> Reading:
        """ACTIVE with all of them configured here, STOPPED with none."""
        try:
            async with asyncio.timeout(self._times.monitor_s):
                present = await self._holder.present(self._vips)
        except TimeoutError:
            return Reading(Condition.FAILED, "nobody can tell: the kernel does not answer")
        except EdgeError as error:
            return Reading(Condition.FAILED, f"nobody can tell: {error}")
        if not present:
            return Reading(Condition.STOPPED)
        missing = [str(vip.address) for vip in self._vips if vip not in present]
        if missing:
            return Reading(Condition.FAILED, f"missing: {', '.join(missing)}")
        return Reading(Condition.ACTIVE)

    async def retire(self) -> None:
        """Nothing is left to do: stop() leaves nothing."""

    async def close(self) -> None:
        """Addresses stay; the holder is its opener's to close."""
