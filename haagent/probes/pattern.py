# SPDX-License-Identifier: GPL-2.0-or-later
"""Does a line of a text match a regular expression? grep says so, in a process of its own.

Python's engine keeps the interpreter to itself while it matches, and there are short patterns and
texts over which it sits for hours: the heartbeat would stop, and a healthy node would be shot.
"""

from __future__ import annotations

import os

from haagent.errors import EdgeError
from haagent.resources import ResourceError
from haagent.resources.process import Finished, Program, Programs

LIMIT_S = 10.0
"""For grep, which takes milliseconds unless the pattern has back-references."""
MATCHED, UNMATCHED = 0, 1
"""Exit status. Source: POSIX.1-2017, grep."""


class PatternError(EdgeError):
    """Nobody can say whether it matches: no such expression, or no end in time."""


async def matches(pattern: str, text: bytes) -> bool:
    """Whether some line of `text` has a match of the extended regular expression.

    Raises:
        PatternError: not an expression, or too slow.
    """
    # In memory, and by a path: what we run reads nothing from us.
    body = os.memfd_create("body")
    try:
        os.write(body, text)
        path = f"/proc/{os.getpid()}/fd/{body}"
        done = await _grep(pattern, path)
    finally:
        os.close(body)
    return done.status == MATCHED


async def check_pattern(pattern: str) -> None:
    """Find out whether `matches` will take it: for `check-config`.

    Raises:
        PatternError: not an extended regular expression.
    """
    await _grep(pattern, "/dev/null")


async def _grep(pattern: str, path: str) -> Finished:
    argv = ("grep", "--extended-regexp", "--quiet", "--text", f"--regexp={pattern}", path)
    try:
        done = await Programs("pattern").run(Program(argv, "match", quiet=True), LIMIT_S)
    except ResourceError as error:
        raise PatternError(str(error)) from error
    if done.status not in (MATCHED, UNMATCHED):
        raise PatternError(str(done))
    return done
