# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands of `haagent`. What is large is imported by the command that needs it."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from haagent.cli import fence
from haagent.cli.client import (
    BrokenReplyError,
    NotAllowedError,
    NotRunningError,
    Reply,
    StillRunningError,
    ask,
)
from haagent.cli.options import DEFAULT_SOCKET, JsonOption, NodeOption, SocketOption
from haagent.cli.verdict import Exit, Status, exit_code
from haagent.errors import EdgeError

if TYPE_CHECKING:
    from haagent.config import Configuration

READ_TIMEOUT_S = 5.0
"""Status and history are answered from memory; longer than this and the agent hangs."""
ORDER_TIMEOUT_S = 60.0
"""A switchover stops and starts a service; the command waits that long for its end."""
WATCH_PAUSE_S = 1.0

app = typer.Typer(
    name="haagent",
    help="High availability for a pair of servers: proof of power-off before takeover.",
    no_args_is_help=True,
    add_completion=False,
    # Its tracebacks show local variables, and with them secrets.
    pretty_exceptions_enable=False,
)

app.command(cls=fence.FenceCommand)(fence.fence)


@app.command()
def run(
    config: Annotated[Path, typer.Option("--config", help="The configuration file.")],
    node: NodeOption = None,
) -> None:
    """Run the agent of this node in the foreground, as its systemd unit does.

    Exit codes: 78 the configuration is refused, 1 the machine lacks what the agent needs.
    """
    import structlog  # noqa: PLC0415 only the agent needs it

    from haagent import agent, log  # noqa: PLC0415 same: `status` starts fast without the agent

    configuration = _load(config, node)
    log.setup(configuration.log)
    for warning in configuration.warnings:
        structlog.get_logger().warning("config.warning", finding=warning)
    try:
        code = agent.run(configuration)
    except EdgeError as error:
        structlog.get_logger().error("agent.cannot_run", reason=str(error))
        code = 1
    raise typer.Exit(code)


@app.command()
def check_config(
    file: Annotated[Path, typer.Argument(help="The configuration file.")],
    node: NodeOption = None,
) -> None:
    """Say everything that is wrong with a configuration file, or that nothing is.

    Exit codes: 0 usable (there may be warnings), 78 refused.
    """
    configuration = _load(file, node)
    for warning in configuration.warnings:
        typer.echo(f"warning: {warning}", err=True)
    me = configuration.node_names[configuration.pair.me]
    digest = configuration.pair.configuration_hash.hex()
    typer.echo(f"{file}: usable as node {me} of {configuration.cluster}; hash {digest}")
    typer.echo("The hash must be the same on both nodes.")


@app.command()
def keygen(file: Annotated[Path, typer.Argument(help="Where the key goes.")]) -> None:
    """Make a key for the heartbeat: 32 random bytes as text, readable by its owner only."""
    from haagent.cli.keys import write_new_key  # noqa: PLC0415 its random source loads OpenSSL

    try:
        write_new_key(file)
    except EdgeError as error:
        _fail(str(error), Exit.DEGRADED)
    typer.echo(f"{file}: written; copy it to the other node over a safe way")


@app.command()
def status(
    *,
    as_json: JsonOption = False,
    watch: Annotated[bool, typer.Option("--watch", help="Again every second.")] = False,
    socket: SocketOption = DEFAULT_SOCKET,
) -> None:
    """Say whether a takeover would work right now and, if not, why not; then everything else.

    Exit codes: 0 fine; 1 degraded: a takeover would work, but something needs attention;
    2 no takeover is possible, or a group is active on neither node; 3 the agent is not running
    or does not answer.
    """
    if not watch:
        raise typer.Exit(_status_once(socket, as_json=as_json))
    code = Exit.FINE
    try:
        while True:
            if not as_json:
                _clear_terminal()
            code = _status_once(socket, as_json=as_json)
            sys.stdout.flush()
            time.sleep(WATCH_PAUSE_S)
    except KeyboardInterrupt:
        raise typer.Exit(code) from None


@app.command()
def switchover(
    group: Annotated[
        str | None, typer.Argument(help="The group to move; all of them if left out.")
    ] = None,
    socket: SocketOption = DEFAULT_SOCKET,
) -> None:
    """Move a group to the other node in peace: stopped here, proved stopped, started there.

    Exit codes: 0 done, 1 refused or failed, 3 the agent is not running, 4 still running: no
    answer within a minute, look at the status.
    """
    _order({"verb": "switchover", "group": group}, socket)


@app.command()
def maintenance(
    state: Annotated[Literal["on", "off"], typer.Argument(help="on or off.")],
    socket: SocketOption = DEFAULT_SOCKET,
) -> None:
    """Let the pair alone while you work on it (on), and give it back its job (off)."""
    _order({"verb": "maintenance", "on": state == "on"}, socket)


@app.command()
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
    peer = str(_status(socket).get("peer"))
    if not yes:
        typer.echo(f"You state that {peer} is powered off. If it is not, data will be destroyed.")
        if typer.prompt(f"Type the name of the node that is off ({peer})") != peer:
            _fail("that is not its name; nothing was done", Exit.DEGRADED)
    _order({"verb": "confirm-off", "peer": peer, "force": force}, socket)


@app.command()
def history(
    *,
    as_json: JsonOption = False,
    count: Annotated[int, typer.Option("-n", min=1, max=1000, help="How many, newest last.")] = 10,
    socket: SocketOption = DEFAULT_SOCKET,
) -> None:
    """Show the last role changes, and how long each phase of them took."""
    reply = _ask({"verb": "history", "limit": count}, socket, READ_TIMEOUT_S)
    _refuse_failed(reply)
    data = reply.get("data")
    found = data if isinstance(data, list) else []
    records = [record for record in found if isinstance(record, dict)]
    if as_json:
        typer.echo(json.dumps(records))
        return
    from haagent.cli.render import console, history_view  # noqa: PLC0415 rich is large

    console().print(history_view(records))


def _load(file: Path, node: str | None) -> Configuration:
    from haagent.config import EXIT_CODE, ConfigurationError, load  # noqa: PLC0415 pydantic is large

    try:
        return load(file, node)
    except ConfigurationError as error:
        for line in error.warnings:
            typer.echo(f"warning: {line}", err=True)
        for line in error.errors:
            typer.echo(line, err=True)
        raise typer.Exit(EXIT_CODE) from None


def _status_once(socket: Path, *, as_json: bool) -> Exit:
    """Print one status; the exit code it stands for."""
    try:
        data = _status_data(ask(socket, {"verb": "status"}, READ_TIMEOUT_S))
    except EdgeError as error:
        typer.echo(f"haagent: {error}", err=True)
        return Exit.NOT_RUNNING
    if as_json:
        typer.echo(json.dumps(data))
    else:
        from haagent.cli.render import console, status_view  # noqa: PLC0415 rich is large

        console().print(status_view(data))
    return exit_code(data)


def _clear_terminal() -> None:
    from haagent.cli.render import console  # noqa: PLC0415 rich is large

    console().clear()


def _status(socket: Path) -> Status:
    try:
        return _status_data(_ask({"verb": "status"}, socket, READ_TIMEOUT_S))
    except BrokenReplyError as error:
        _fail(str(error), Exit.DEGRADED)


def _status_data(reply: Reply) -> Status:
    data = reply.get("data")
    if not reply.get("ok") or not isinstance(data, dict):
        raise BrokenReplyError(str(reply.get("message") or "the reply holds no status"))
    return data


def _order(request: dict[str, object], socket: Path) -> None:
    reply = _ask(request, socket, ORDER_TIMEOUT_S)
    _refuse_failed(reply)
    typer.echo(str(reply.get("message") or "done"))


def _refuse_failed(reply: Reply) -> None:
    if not reply.get("ok"):
        _fail(str(reply.get("message") or "refused without a reason"), Exit.DEGRADED)


def _ask(request: dict[str, object], socket: Path, timeout_s: float) -> Reply:
    """The reply; every other ending ends the command with its own exit code."""
    try:
        return ask(socket, request, timeout_s)
    except NotRunningError as error:
        _fail(str(error), Exit.NOT_RUNNING)
    except StillRunningError as error:
        _fail(f"still running: {error}; see `haagent status`", Exit.STILL_RUNNING)
    except (NotAllowedError, BrokenReplyError) as error:
        _fail(str(error), Exit.DEGRADED)


def _fail(text: str, code: Exit) -> NoReturn:
    typer.echo(f"haagent: {text}", err=True)
    raise typer.Exit(code)
