# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands of `haagent`. What is large is imported by the command that needs it."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from haagent import __version__
from haagent.cli import asking, client, fence, install, orders
from haagent.cli.doctor import doctor
from haagent.cli.drill import drill
from haagent.cli.explain import explain
from haagent.cli.init import init
from haagent.cli.loading import load_or_exit
from haagent.cli.observe import observe
from haagent.cli.options import DEFAULT_SOCKET, JsonOption, NodeOption, SocketOption
from haagent.cli.postgres import postgres
from haagent.cli.reload import reload
from haagent.cli.replay import replay
from haagent.cli.verdict import Exit, exit_code
from haagent.cli.watch import watch
from haagent.errors import EdgeError

if TYPE_CHECKING:
    from haagent.config import Configuration

WATCH_PAUSE_S = 1.0

app = typer.Typer(
    name="haagent",
    no_args_is_help=True,
    add_completion=False,
    # Its tracebacks show local variables, and with them secrets.
    pretty_exceptions_enable=False,
)


def _say_version(wanted: bool) -> None:  # noqa: FBT001  # as typer calls it
    if wanted:
        typer.echo(f"haagent {__version__}")
        raise typer.Exit


@app.callback()
def haagent(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_say_version, is_eager=True, help="Say which version this is."
        ),
    ] = False,
) -> None:
    """High availability for a pair of servers: proof of power-off before takeover."""


app.command(cls=fence.FenceCommand)(fence.fence)
orders.add_to(app)
app.command()(init)
app.command()(doctor)
app.command()(explain)
app.command()(replay)
app.command()(reload)
app.command()(watch)
app.add_typer(drill)
app.add_typer(postgres)
app.command()(observe)
install.add_to(app)


@app.command()
def run(
    config: Annotated[Path, typer.Option("--config", help="The configuration file.")],
    node: NodeOption = None,
) -> None:
    """Run the agent of this node in the foreground, as its systemd unit does.

    Exit codes: 78 the configuration is refused, or its groups would fail in the confinement that
    this process is in; 1 the machine lacks what the agent needs; 75 another agent is to take its
    place (SIGUSR1).
    """
    import structlog  # noqa: PLC0415 only the agent needs it

    from haagent import agent, confinement, log  # noqa: PLC0415 same: `status` starts fast
    from haagent.config import EXIT_CODE  # noqa: PLC0415 same
    from haagent.reload import Source  # noqa: PLC0415 same

    configuration = load_or_exit(config, node)
    me = configuration.node_names[configuration.pair.me]
    log.setup(configuration.log, constants={"cluster": configuration.cluster, "node": me})
    if refusal := confinement.refusal(configuration):
        opened = confinement.is_opened_by_a_reload()
        structlog.get_logger().error("agent.confined", reason=refusal, opened=opened)
        # systemd starts us again, as the unit is now.
        raise typer.Exit(Exit.DEGRADED if opened else EXIT_CODE)
    for warning in configuration.warnings:
        structlog.get_logger().warning("config.warning", finding=warning)
    try:
        code = agent.run(configuration, Source(config, node))
    except EdgeError as error:
        structlog.get_logger().error("agent.cannot_run", reason=str(error))
        code = 1
    raise typer.Exit(code)


@app.command()
def check_config(
    file: Annotated[Path, typer.Argument(help="The configuration file.")],
    node: NodeOption = None,
    *,
    file_only: Annotated[
        bool, typer.Option("--file-only", help="Do not ask this machine: it is none of the pair.")
    ] = False,
) -> None:
    """Say everything that is wrong with a configuration file, or that nothing is.

    This machine is asked too: for its units, OCF agents and programs. Nothing is changed.
    Exit codes: 0 usable (there may be warnings), 78 refused.
    """
    configuration = load_or_exit(file, node)
    for warning in configuration.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if not file_only:
        _ask_machine(configuration, file)
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
        asking.fail(str(error), Exit.DEGRADED)
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
def history(
    *,
    as_json: JsonOption = False,
    count: Annotated[int, typer.Option("-n", min=1, max=1000, help="How many, newest last.")] = 10,
    socket: SocketOption = DEFAULT_SOCKET,
) -> None:
    """Show the last role changes, and how long each phase of them took."""
    request = {"verb": "history", "limit": count}
    reply = asking.ask(request, socket, asking.READ_TIMEOUT_S)
    asking.refuse_failed(reply)
    data = reply.get("data")
    found = data if isinstance(data, list) else []
    records = [record for record in found if isinstance(record, dict)]
    if as_json:
        typer.echo(json.dumps(records))
        return
    from haagent.cli.render import console, history_view  # noqa: PLC0415 rich is large

    console().print(history_view(records))


def _ask_machine(configuration: Configuration, file: Path) -> None:
    """Print what this machine says to the configuration; ends the command if that refuses it."""
    from haagent.cli.machine import what_it_says  # noqa: PLC0415 only this needs all of it
    from haagent.config import EXIT_CODE  # noqa: PLC0415

    found = what_it_says(configuration)
    for problem in found:
        typer.echo(f"{'' if problem.refuses else 'warning: '}{problem.line(file)}", err=True)
    if any(problem.refuses for problem in found):
        raise typer.Exit(EXIT_CODE)


def _status_once(socket: Path, *, as_json: bool) -> Exit:
    """Print one status; the exit code it stands for."""
    request = {"verb": "status"}
    try:
        data = asking.status_data(client.ask(socket, request, asking.READ_TIMEOUT_S))
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
