# SPDX-License-Identifier: GPL-2.0-or-later
"""A takeover's evidence is there in time, whatever a probe does."""

from __future__ import annotations

import asyncio
import time

import pytest

from haagent.probes import Answer
from haagent.probes.command import CommandProbe
from haagent.probes.evidence import EvidenceProbes

LIMIT_S = 0.2
DEAF = ("/bin/sh", "-c", "trap '' TERM; while :; do sleep 0.1; done")


class Canned:
    """A probe that answers at once."""

    def __init__(self, answer: Answer | None) -> None:
        self._answer = answer

    async def answers(self) -> Answer:
        """As told; None is a bug."""
        if self._answer is None:
            raise ZeroDivisionError
        return self._answer


@pytest.mark.parametrize("ok", [True, False])
def test_the_answer_counts(*, ok: bool) -> None:
    """A service that answers serves, one that refuses does not."""

    async def main() -> None:
        probes = EvidenceProbes(LIMIT_S)
        assert await probes.serves(Canned(Answer(ok, ""))) is ok
        await probes.close()

    asyncio.run(main())


def test_a_command_that_heeds_no_signal_is_not_waited_for() -> None:
    """It takes seconds to be killed; the answer is there at the limit, and it is no."""

    async def main() -> None:
        probes = EvidenceProbes(LIMIT_S)
        command = CommandProbe("web.probe", DEAF, 10.0)
        begun_s = time.monotonic()
        for _ in range(2):
            assert not await probes.serves(command)
        took_s = time.monotonic() - begun_s
        await probes.close()
        ended_s = time.monotonic() - begun_s
        assert took_s < ended_s, "it was killed after the answers"
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_a_bug_is_no_answer() -> None:
    """What a probe raises is a bug of ours, and is not kept quiet."""

    async def main() -> None:
        bugs: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, bug: bugs.append(bug))
        probes = EvidenceProbes(LIMIT_S)
        with pytest.raises(ZeroDivisionError):
            await probes.serves(Canned(None))
        await asyncio.sleep(0)
        assert bugs
        await probes.close()

    asyncio.run(main())
