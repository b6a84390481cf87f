# SPDX-License-Identifier: GPL-2.0-or-later
"""`haagent reload`: has the running agent go by what the file says now."""

from __future__ import annotations

from typing import Annotated

import typer

from haagent.cli.asking import READ_TIMEOUT_S, ask, fail
from haagent.cli.options import DEFAULT_SOCKET, SocketOption
from haagent.cli.verdict import Exit

RELOAD_TIMEOUT_S = 4 * READ_TIMEOUT_S
"""The agent reads its files from a disk that may be slow."""
BAD = 78
"""As of `check-config`. Source: sysexits.h, EX_CONFIG."""


def reload(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would change, or why it is refused.")
    ] = False,
    socket: SocketOption = DEFAULT_SOCKET,
) -> None:
    """Have the agent take in its configuration file anew, without a restart: whole or not at all.

    Nothing is stopped or started by it. `systemctl reload haagent` does the same.
    Exit codes: 0 done, 78 the file is bad, 1 something in it needs a restart or cannot be done
    just now, 3 the agent is not running. Whenever it is not 0, nothing was changed.
    """
    reply = ask({"verb": "reload", "dry_run": dry_run}, socket, RELOAD_TIMEOUT_S)
    message = str(reply.get("message") or "refused without a reason")
    if reply.get("ok"):
        typer.echo(message)
        return
    data = reply.get("data")
    if isinstance(data, dict) and data.get("bad") is True:
        typer.echo(message, err=True)
        raise typer.Exit(BAD)
    fail(message, Exit.DEGRADED)
