# SPDX-License-Identifier: GPL-2.0-or-later
"""Does a program of the operator's say that the service answers?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from haagent.probes import Answer
from haagent.resources import ResourceError
from haagent.resources.process import Program, Programs


class CommandProbe:
    """The service answers when the program ends with exit status 0.

    Args:
        name: For the log, e.g. "web.probe".
        argv: The program and its arguments; no shell, unless it is one.
        timeout_s: For one run, seconds; ending one that is late may take
            `process.ENDING_S` more.
        environment: Added to what every program of ours gets.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        timeout_s: float,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._programs = Programs(name)
        self._program = Program(tuple(argv), "probe", environment or {}, quiet=True)
        self._timeout_s = timeout_s

    async def answers(self) -> Answer:
        """Run it once; what it said last is the detail when it says no."""
        try:
            done = await self._programs.run(self._program, self._timeout_s)
        except ResourceError as error:
            return Answer(ok=False, detail=str(error))
        return Answer(done.status == 0, f"{self._program.argv[0]}: {done}")
