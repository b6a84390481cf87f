# SPDX-License-Identifier: GPL-2.0-or-later
"""`haagent drill`: practise a failover, and read what came of it."""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from haagent.cli import asking, client
from haagent.cli.loading import load_or_exit
from haagent.cli.options import DEFAULT_CONFIG, DEFAULT_SOCKET, JsonOption, NodeOption, SocketOption
from haagent.cli.verdict import Exit
from haagent.errors import EdgeError

if TYPE_CHECKING:
    from haagent.config import Configuration
    from haagent.drill.archive import Archive
    from haagent.drill.run import Wish

SEEDS = 1_000_000
"""Short enough to be typed again."""
Fault = Literal[
    "switchover",
    "agent-kill",
    "agent-freeze",
    "ring-loss",
    "fence-standby",
    "crash-active",
    "partition",
    "fence-active",
]
"""Kinds that have an effect."""
ConfigOption = Annotated[Path, typer.Option("--config", help="The configuration file.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask for the node's name.")]
DespiteOption = Annotated[
    list[str] | None,
    typer.Option("--despite", help="Begin all the same: calendar, rested or stable."),
]

drill = typer.Typer(
    name="drill",
    help="Practise: a failover that is never practised does not work. See docs/drills.md.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


class Ended(IntEnum):
    """Exit codes of `drill run`."""

    PASSED = 0
    FAILED = 1
    SKIPPED = 2
    NOT_RUNNING = 3
    ABORTED = 4


@drill.command()
def run(  # noqa: PLR0913  # every option is a parameter
    kind: Annotated[
        Literal["check", Fault],
        typer.Argument(help="In the order of their levels: each risks more than the one before."),
    ],
    *,
    yes: YesOption = False,
    despite: DespiteOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    node: NodeOption = None,
    socket: SocketOption = DEFAULT_SOCKET,
) -> None:
    """Run one drill on the running pair: checklist, fault, what came of it, rollback, report.

    What happens goes to stderr, the report to stdout. Exit codes: 0 passed; 1 failed: something
    was not as it must be; 2 not begun, with the reasons; 3 no agent; 4 aborted.
    """
    from haagent.drill.kinds import Kind  # noqa: PLC0415 only this command needs all of it
    from haagent.drill.run import Wish  # noqa: PLC0415

    wish = Wish(Kind(kind), config, socket, _soft(despite))
    _run_for_a_person(wish, node, yes=yes, as_json=as_json)


@drill.command()
def chaos(  # noqa: PLR0913  # every option is a parameter
    *,
    for_: Annotated[str, typer.Option("--for", help='How long, such as "2h".')],
    max_level: Annotated[
        Fault,
        typer.Option("--max-level", help="The hardest kind of fault; all below it come as well."),
    ],
    apart: Annotated[
        str, typer.Option("--apart", help="Nothing happens for at least so long between two.")
    ] = "30s",
    seed: Annotated[
        int | None, typer.Option("--seed", help="Draw again what was drawn with it.")
    ] = None,
    yes: YesOption = False,
    despite: DespiteOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    node: NodeOption = None,
    socket: SocketOption = DEFAULT_SOCKET,
) -> None:
    """Make random faults on the running pair until the first deviation. For benches and the brave.

    Each is a drill of its kind, undone and held against the steady state before the next. The seed
    is printed. Exit codes as of `drill run`.
    """
    from haagent.drill.kinds import Chaos, Kind  # noqa: PLC0415 only this command needs all of it
    from haagent.drill.run import Wish  # noqa: PLC0415

    seed = secrets.randbelow(SEEDS) if seed is None else seed
    plan = Chaos(_seconds("--for", for_), Kind(max_level), _seconds("--apart", apart), seed)
    wish = Wish(Kind.CHAOS, config, socket, _soft(despite), chaos=plan)
    _run_for_a_person(wish, node, yes=yes, as_json=as_json)


@drill.command()
def scheduled(
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    node: NodeOption = None,
    socket: SocketOption = DEFAULT_SOCKET,
) -> None:
    """Run the configured drill if it is due and may begin; say why if not. For haagent-drill.timer.

    Exit codes as of `drill run`, and 0 if none is due.
    """
    from haagent.drill.run import Wish  # noqa: PLC0415 only this command needs all of it
    from haagent.drill.schedule import why_not  # noqa: PLC0415

    configuration = load_or_exit(config, node)
    here = asking.status(socket)
    now = datetime.now().astimezone()
    reason = why_not(configuration, _archive(configuration).entries(), here, now)
    if reason is not None:
        typer.echo(f"no drill now: {reason}")
        return
    level = configuration.drill.practice.level
    assert level is not None, "a drill without a kind is never due"
    wish = Wish(level, config, socket, by="timer")
    record = _run(wish, configuration, lambda _: True)
    typer.echo(_text(configuration, record))
    raise typer.Exit(Ended[str(record["verdict"]).upper()])


def _soft(despite: list[str] | None) -> frozenset[str]:
    """Items of the checklist that a person may pass over."""
    from haagent.drill.preconditions import SOFT  # noqa: PLC0415 only a drill needs all of it

    if set(despite or ()) - SOFT:
        raise typer.BadParameter(f"--despite takes one of: {', '.join(sorted(SOFT))}")
    return frozenset(despite or ())


def _seconds(option: str, text: str) -> float:
    from fencing.config import duration  # noqa: PLC0415 only a drill needs it

    try:
        value_s = duration.parse(text) / duration.UNITS_NS["s"]
    except duration.DurationError as error:
        raise typer.BadParameter(f"{option}: {error}") from None
    if value_s <= 0:
        raise typer.BadParameter(f"{option}: must be longer than nothing")
    return value_s


def _run_for_a_person(wish: Wish, node: str | None, *, yes: bool, as_json: bool) -> NoReturn:
    configuration = load_or_exit(wish.config, node)
    asking.status(wish.socket)  # Ends here, with its own exit code, if no agent answers.
    record = _run(wish, configuration, lambda name: yes or _typed(name))
    typer.echo(json.dumps(record) if as_json else _text(configuration, record))
    raise typer.Exit(Ended[str(record["verdict"]).upper()])


def _run(
    wish: Wish, configuration: Configuration, confirm: Callable[[str], bool]
) -> dict[str, Any]:
    """Run a drill, telling what happens on stderr."""
    from fencing.console.output import Output  # noqa: PLC0415 only a drill needs all of it
    from haagent.drill.kinds import ROLLBACK, Kind  # noqa: PLC0415
    from haagent.drill.run import Drill  # noqa: PLC0415

    output = Output.standard()
    plan = wish.kind.plan
    output.say(f"drill {wish.kind}: {wish.method}")
    output.say(f"expected: {plan.expects}")
    if wish.level is not Kind.CHECK:
        output.say(f"afterwards: {ROLLBACK}")

    def door(request: Mapping[str, object], timeout_s: float) -> Mapping[str, Any]:
        return client.ask(wish.socket, request, timeout_s)

    def confirmed(name: str) -> bool:
        output.flush()
        return confirm(name)

    record = asyncio.run(Drill(wish, configuration, door, output.say, confirmed).run())
    output.flush()
    return record


@drill.command()
def report(
    identity: Annotated[
        str | None, typer.Argument(metavar="ID", help="The drill; the last one if left out.")
    ] = None,
    *,
    form: Annotated[
        Literal["text", "json", "html"],
        typer.Option("--form", help="html: one page that needs nothing else."),
    ] = "text",
    config: ConfigOption = DEFAULT_CONFIG,
    node: NodeOption = None,
) -> None:
    """Show the report of a drill, run from either node."""
    configuration = load_or_exit(config, node)
    record = _record(_archive(configuration), identity)
    if form == "html":
        from haagent.drill.page import page  # noqa: PLC0415

        typer.echo(page(record, _earlier(_archive(configuration), record)), nl=False)
        return
    typer.echo(json.dumps(record) if form == "json" else _text(configuration, record))


@drill.command("list")
def list_(
    *,
    as_json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    node: NodeOption = None,
) -> None:
    """List the drills that are known here, newest last."""
    from haagent.drill.text import table  # noqa: PLC0415

    entries = _archive(load_or_exit(config, node)).entries()
    if as_json:
        rows = [
            {"id": e.id, "kind": e.kind, "verdict": e.verdict, "began": e.began.isoformat()}
            for e in entries
        ]
        typer.echo(json.dumps(rows))
        return
    typer.echo(table(entries) or "No drill was run yet.")


def _typed(name: str) -> bool:
    """Have the name of the node typed whose power is, or may be, cut."""
    # Ctrl-C is an answer here, and the loop's own handler would wait for the end of the line.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        typer.echo(f"The power of {name} is cut, or may be.", err=True)
        return bool(typer.prompt(f"Type the name of that node ({name})", err=True) == name)
    except (typer.Abort, KeyboardInterrupt):
        typer.echo(err=True)
        return False
    finally:
        signal.signal(signal.SIGINT, handler)


def _archive(configuration: Configuration) -> Archive:
    from haagent.drill.archive import Archive  # noqa: PLC0415

    return Archive(configuration.state_dir)


def _record(archive: Archive, identity: str | None) -> dict[str, Any]:
    entries = archive.entries()
    if not entries:
        _fail("no drill was run yet")
    try:
        return archive.load(identity or entries[-1].id)
    except EdgeError as error:
        _fail(str(error))


def _text(configuration: Configuration, record: Mapping[str, Any]) -> str:
    from haagent.drill.text import text  # noqa: PLC0415

    return text(record, _earlier(_archive(configuration), record))


def _earlier(archive: Archive, record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Drills of the same kind, oldest first; what cannot be read is left out."""
    found = []
    for entry in archive.entries():
        if entry.kind == record.get("kind") and entry.id != record.get("id"):
            try:
                found.append(archive.load(entry.id))
            except EdgeError:
                continue
    return found


def _fail(text: str) -> NoReturn:
    asking.fail(text, Exit.DEGRADED)
