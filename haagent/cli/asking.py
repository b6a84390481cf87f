# SPDX-License-Identifier: GPL-2.0-or-later
"""Asks the agent for a command: an answer, or the command ends with the exit code that fits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import typer

from haagent.cli import client
from haagent.cli.client import (
    BrokenReplyError,
    NotAllowedError,
    NotRunningError,
    Progress,
    Reply,
    StillRunningError,
)
from haagent.cli.verdict import Exit, Status

READ_TIMEOUT_S = 5.0
"""Status and history are answered from memory; longer than this and the agent hangs."""
ORDER_TIMEOUT_S = 60.0
"""A switchover stops and starts a service; the command waits that long for its end."""


def status(socket: Path) -> Status:
    """What the agent says of itself."""
    try:
        return status_data(ask({"verb": "status"}, socket, READ_TIMEOUT_S))
    except BrokenReplyError as error:
        fail(str(error), Exit.DEGRADED)


def status_data(reply: Reply) -> Status:
    """The status in a reply.

    Raises:
        BrokenReplyError: There is none.
    """
    data = reply.get("data")
    if not reply.get("ok") or not isinstance(data, dict):
        raise BrokenReplyError(str(reply.get("message") or "the reply holds no status"))
    return data


def order(request: Mapping[str, object], socket: Path) -> None:
    """Have it carried out, and print what the agent says."""
    reply = ask(request, socket, ORDER_TIMEOUT_S)
    refuse_failed(reply)
    typer.echo(str(reply.get("message") or "done"))


def refuse_failed(reply: Reply) -> None:
    """End the command if the agent refused."""
    if not reply.get("ok"):
        fail(str(reply.get("message") or "refused without a reason"), Exit.DEGRADED)


def ask(
    request: Mapping[str, object],
    socket: Path,
    timeout_s: float,
    on_progress: Progress | None = None,
) -> Reply:
    """The reply; every other ending ends the command with its own exit code."""
    try:
        return client.ask(socket, request, timeout_s, on_progress)
    except NotRunningError as error:
        fail(str(error), Exit.NOT_RUNNING)
    except StillRunningError as error:
        fail(f"still running: {error}; see `haagent status`", Exit.STILL_RUNNING)
    except (NotAllowedError, BrokenReplyError) as error:
        fail(str(error), Exit.DEGRADED)


def fail(text: str, code: Exit) -> NoReturn:
    """End the command with a line that says why."""
    typer.echo(f"haagent: {text}", err=True)
    raise typer.Exit(code)
