# SPDX-License-Identifier: GPL-2.0-or-later
"""`fence_haagent`: our levels and our proof of power-off, for a Pacemaker cluster.

A fence agent by the contract of ClusterLabs: told what to do on stdin, or on the command line if
there are arguments. Exit status 0: done, and proved; for `status`: on. 1: not proved, for whatever
reason. 2: `status` alone, and only when a whole level of devices reads off.
"""

from __future__ import annotations

import sys

from fencing.fence_agent.contract import (
    FAILED,
    OK,
    RefusedError,
    Request,
    from_arguments,
    from_lines,
    metadata,
)


def main() -> int:
    """Carry out one action; returns the exit status."""
    try:
        arguments = sys.argv[1:]
        request = from_arguments(arguments) if arguments else from_lines(sys.stdin)
        if request.action == "metadata":
            sys.stdout.write(metadata())
            return OK
        return _carry_out(request)
    except RefusedError as refused:
        for line in refused.lines:
            sys.stderr.write(f"ERROR: {line}\n")
        return FAILED


def _carry_out(request: Request) -> int:
    # Metadata must be there in a second, and whatever else is wrong: they load none of this.
    from fencing.fence_agent.actions import carry_out  # noqa: PLC0415

    return carry_out(request)
