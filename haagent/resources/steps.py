# SPDX-License-Identifier: GPL-2.0-or-later
"""One step of one resource, bounded in time: what whoever runs a group's resources is made of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Protocol

from haagent.resources import Condition, Reading, ResourceError, Times

OVERRUN_S = 10.0
"""A resource keeps its own limit, and may need some seconds more to end what it runs; one that is
this late hangs, and is given up."""


class StepFailedError(Exception):
    """A resource did not get to where it should be."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


class Looked(Protocol):
    """The part of a resource that a look needs."""

    @property
    def times(self) -> Times:
        """Limits and interval."""

    async def monitor(self) -> Reading:
        """Look at it now."""


async def bounded(name: str, work: Awaitable[None], verb: str, limit_s: float) -> None:
    """Await a step of a resource, which keeps its limit by itself unless it hangs.

    Raises:
        StepFailedError: It did not get there, or hangs.
    """
    try:
        async with asyncio.timeout(limit_s + OVERRUN_S):
            await work
    except TimeoutError:
        raise StepFailedError(name, f"{verb} hangs") from None
    except ResourceError as error:
        raise StepFailedError(name, str(error)) from error


async def look(resource: Looked) -> Reading:
    """What it is now; a look that hangs or fails is FAILED, never an error."""
    try:
        async with asyncio.timeout(resource.times.monitor_s + OVERRUN_S):
            return await resource.monitor()
    except TimeoutError:
        return Reading(Condition.FAILED, "monitor hangs")
    except ResourceError as error:
        return Reading(Condition.FAILED, str(error))
