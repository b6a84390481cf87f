# SPDX-License-Identifier: GPL-2.0-or-later
"""What an operator orders: groups to move, to stop and to freeze, nodes to stand by."""

from __future__ import annotations

import json
import time
from typing import Annotated, Literal

import typer

from haagent.cli.asking import ORDER_TIMEOUT_S, ask, fail, order, refuse_failed, status
from haagent.cli.client import Reply
from haagent.cli.options import DEFAULT_SOCKET, JsonOption, SocketOption
from haagent.cli.verdict import Exit


def add_to(app: typer.Typer) -> None:
    """Make these commands of an application."""
    for command in (switchover, failover, standby, unstandby, maintenance, confirm_off):
        app.command()(command)
    app.command("group")(group_)


def switchover(
    group: Annotated[
        str | None, typer.Argument(help="The group to move; all of them if left out.")
    ] = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check, and say.")] = False,
    as_json: JsonOption = False,
    socket: SocketOption = DEFAULT_SOCKET,
) -> None:
    """Move a group to the other node in peace: stopped here, proved stopped, started there.

    Every change of a role is printed as it happens; --json prints each as a line, and the reply.
    Exit codes: 0 done, 1 refused or failed, 3 the agent is not running, 4 still running: no
    answer within a minute, look at the status.
    """
    request = {"verb": "switchover", "group": group, "dry_run": dry_run}
    begun_s = time.monotonic()

    def show(change: Reply) -> None:
        if as_json:
            typer.echo(json.dumps(change))
            return
        spent_s = time.monotonic() - begun_s
        words = f"{change.get('group')}: {change.get('role')} on {change.get('node')}"
        typer.echo(f"{spent_s:8.3f} s  {words}")

    reply = ask(request, socket, ORDER_TIMEOUT_S, show)
    if as_json:
        typer.echo(json.dumps(reply))
        raise typer.Exit(Exit.FINE if reply.get("ok") else Exit.DEGRADED)
    refuse_failed(reply)
    typer.echo(str(reply.get("message") or "done"))


def failover(
    group: Annotated[
        str | None, typer.Argument(help="The group; all that this node does not hold if left out.")
    ] = None,
    *,
    accept_data_loss: Annotated[
        bool, typer.Option("--accept-data-loss", help="Take the old data, and lose the rest.")
    ] = False,
    socket: SocketOption = DEFAULT_SOCKET,
) -> None:
    """Start a group here although its data is older than max_lag allows: what is newer is lost.

    Every other rule stands: the peer has to be proved off first. Exit codes as of `switchover`.
    """
    if not accept_data_loss:
        fail("data would be lost; say --accept-data-loss if that is meant", Exit.DEGRADED)
    order({"verb": "failover", "group": group}, socket)


def standby(
    node: Annotated[str | None, typer.Argument(help="The node; this one if left out.")] = None,
    socket: SocketOption = DEFAULT_SOCKET,
) -> None:
    """Put a node on standby: it gives away what the other can hold, and takes nothing."""
    order({"verb": "standby", "node": node, "on": True}, socket)


def unstandby(
    node: Annotated[str | None, typer.Argument(help="The node; this one if left out.")] = None,
    socket: SocketOption = DEFAULT_SOCKET,
) -> None:
    """Take a node back from standby: it may hold groups again."""
    order({"verb": "standby", "node": node, "on": False}, socket)


def group_(
    what: Annotated[
        Literal["stop", "start", "freeze", "unfreeze"],
        typer.Argument(help="stop: run nowhere; freeze: stay as it is, whatever happens."),
    ],
    name: Annotated[str, typer.Argument(help="The group.")],
    socket: SocketOption = DEFAULT_SOCKET,
) -> None:
    """Stop or start one group on both nodes, or freeze it as it is and unfreeze it."""
    order({"verb": "group", "group": name, "what": what}, socket)


def maintenance(
    state: Annotated[Literal["on", "off"], typer.Argument(help="on or off.")],
    socket: SocketOption = DEFAULT_SOCKET,
) -> None:
    """Let the pair alone while you work on it (on), and give it back its job (off)."""
    order({"verb": "maintenance", "on": state == "on"}, socket)


def confirm_off(
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Even though something still speaks for its life.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for the peer's name.")] = False,
    socket: SocketOption = DEFAULT_SOCKET,
) -> None:
    """State, on your own authority, that the peer is powered off: this node may then take over.

    If it is not off, both nodes will hold the service and its data may be destroyed. Go and look.
    """
    peer = str(status(socket).get("peer"))
    if not yes:
        typer.echo(f"You state that {peer} is powered off. If it is not, data will be destroyed.")
        if typer.prompt(f"Type the name of the node that is off ({peer})") != peer:
            fail("that is not its name; nothing was done", Exit.DEGRADED)
    order({"verb": "confirm-off", "peer": peer, "force": force}, socket)
