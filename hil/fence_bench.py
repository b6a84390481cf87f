# SPDX-License-Identifier: GPL-2.0-or-later
"""How long one fence takes by itself: from the order to the proof, against `ipmi_sim`."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from fencing import DeviceSettings, FenceOutcome, Secret
from fencing.level import FenceReport
from fencing.levels import Fence
from hil.bmc import IpmiSim
from hil.figure import Figure

PORT = 9623
WARM_LIMIT_MS, COLD_LIMIT_MS = 100.0, 1_200.0
"""What the median may be on loopback. Source: docs/figures.md."""


def fence_figures(runs: int) -> list[Figure]:
    """Fence `runs` times with a warm session, and as often with a worker yet to be started.

    Args:
        runs: At least 1.

    Returns:
        ms from the request to the proof of three readings; off_settle is 0, as an honest emulator
        needs none.
    """
    with (
        tempfile.TemporaryDirectory() as directory,
        IpmiSim(Path(directory) / "bmc", port=PORT) as bmc,
    ):
        device = DeviceSettings(
            name="bmc",
            driver="ipmi",
            address=bmc.address,
            user=bmc.user,
            password=Secret(bmc.password.encode()),
            off_settle_s=0.0,
            options={"port": bmc.port},
        )
        warm = asyncio.run(_warm(device, bmc, runs))
        cold = [asyncio.run(_cold(device, bmc)) for _ in range(runs)]
    return [
        Figure("fence, warm: order to proof (median)", "ms", warm, WARM_LIMIT_MS, judged="median"),
        Figure("fence, cold: start to proof (median)", "ms", cold, COLD_LIMIT_MS, judged="median"),
    ]


async def _warm(device: DeviceSettings, bmc: IpmiSim, runs: int) -> list[float]:
    fence = Fence([device], on_readiness=lambda _: None)
    await fence.start()
    try:
        await fence.checked()
        times_ms = []
        for _ in range(runs):
            bmc.power = "on"
            times_ms.append(_proved_ms(await fence.off()))
        return times_ms
    finally:
        await fence.close()


async def _cold(device: DeviceSettings, bmc: IpmiSim) -> float:
    bmc.power = "on"
    fence = Fence([device], on_readiness=lambda _: None)
    try:
        return _proved_ms(await fence.off())
    finally:
        await fence.close()


def _proved_ms(report: FenceReport) -> float:
    assert report.outcome is FenceOutcome.CONFIRMED_OFF, report.detail
    (step,) = report.steps
    return (step.finished_ns - step.started_ns) / 1e6
