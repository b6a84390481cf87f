# SPDX-License-Identifier: GPL-2.0-or-later
"""`haagent doctor`: file, machine, wires and running agent, a checked line each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from haagent.cli import asking, client
from haagent.cli.options import DEFAULT_CONFIG, DEFAULT_SOCKET, JsonOption, NodeOption, SocketOption
from haagent.cli.verdict import Exit, Status, part, rows
from haagent.doctor import Line, Subject, Verdict, bad, ok, warning
from haagent.errors import EdgeError

if TYPE_CHECKING:
    from haagent.config import Configuration

LISTEN_S = 2.0
"""Twenty heartbeats; switches and queriers speak more rarely, and the lines about them say so."""
TOLD_ELSEWHERE = ("link_", "fence_", "watchdog", "witness_", "configuration_differs")
"""Alarms of which a line of its own says more."""
COLOURS = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.BAD: "red"}


def doctor(  # noqa: PLR0913  # options of a command
    config: Annotated[
        Path, typer.Option("--config", help="The configuration file.")
    ] = DEFAULT_CONFIG,
    node: NodeOption = None,
    *,
    listen: Annotated[
        float,
        typer.Option(
            "--listen",
            min=0.1,
            max=600.0,
            help="Seconds to listen to the wires; 31 hears the switches, 130 the querier.",
        ),
    ] = LISTEN_S,
    bundle: Annotated[
        Path | None,
        typer.Option("--bundle", help="Write all that a bug report needs there, less secrets."),
    ] = None,
    as_json: JsonOption = False,
    socket: SocketOption = DEFAULT_SOCKET,
) -> None:
    """Check everything that a working pair needs, a line each with its remedy.

    Run it as root, on both nodes. Nothing is changed. "unknown" is what cannot be told from here
    and counts neither way. Exit codes: 0 all is well; 1 something needs attention; 2 a takeover
    would not work, or the agent would not start.
    """
    lines = show(examination(config, node, socket, listen), as_json=as_json)
    if bundle is not None:
        _bundle(bundle, config, node, lines, socket)
    raise typer.Exit(exit_of(lines))


def examination(file: Path, node: str | None, socket: Path, listen_s: float) -> Iterator[Line]:
    """Every line, as it is found."""
    from haagent.config import ConfigurationError, load  # noqa: PLC0415 pydantic is large

    try:
        configuration = load(file, node)
    except ConfigurationError as error:
        yield from (warning("configuration", line, "") for line in error.warnings)
        yield from (bad("configuration", line, "") for line in error.errors)
        yield from _of_agent(*_status(socket))
        return
    yield from _of_file(configuration, file)
    status, trouble = _status(socket)
    yield from _of_agent(status, trouble)
    from haagent.doctor.examination import examine  # noqa: PLC0415 loads what the agent loads

    pid = client.agent_pid(socket) if status else None
    yield from examine(Subject(configuration, status, pid, listen_s))


def show(found: Iterable[Line], *, as_json: bool) -> list[Line]:
    """Print the lines, each as soon as it is found; all of them for who asks further."""
    lines: list[Line] = []
    for line in found:
        lines.append(line)
        if not as_json:
            _print(line)
    typer.echo(json.dumps([asdict(line) for line in lines]) if as_json else _summary(lines))
    return lines


def exit_of(lines: Iterable[Line]) -> Exit:
    """What the worst line means."""
    verdicts = {line.verdict for line in lines}
    if Verdict.BAD in verdicts:
        return Exit.CRITICAL
    return Exit.DEGRADED if Verdict.WARNING in verdicts else Exit.FINE


def _print(line: Line) -> None:
    """One line, and a second one with what to do; coloured only on a terminal."""
    word = typer.style(f"{line.verdict.value:8}", fg=COLOURS.get(line.verdict))
    typer.echo(f"{word} {line.what}: {line.text}")
    if line.remedy:
        typer.echo(f"{'':8}   -> {line.remedy}")


def _summary(lines: Sequence[Line]) -> str:
    counts = [
        f"{sum(line.verdict is verdict for line in lines)} {verdict.value}" for verdict in Verdict
    ]
    return ", ".join(counts)


def _of_file(configuration: Configuration, file: Path) -> Iterator[Line]:
    """The configuration, and what this machine says to it: units, agents, programs."""
    from haagent.cli.machine import what_it_says  # noqa: PLC0415 asks systemd and agents

    digest = configuration.pair.configuration_hash.hex()
    me = configuration.node_names[configuration.pair.me]
    yield ok("configuration", f"{file}: usable as node {me}; hash {digest}")
    for text in configuration.warnings:
        yield warning("configuration", text, "")
    found = what_it_says(configuration)
    for problem in found:
        yield (bad if problem.refuses else warning)("machine", problem.line(file), "")
    if not found:
        yield ok("machine", "units, agents and programs of the groups fit")


def _status(socket: Path) -> tuple[Status, str]:
    """What the running agent says; empty, and why, if none does."""
    try:
        reply = client.ask(socket, {"verb": "status"}, asking.READ_TIMEOUT_S)
        return asking.status_data(reply), ""
    except EdgeError as error:
        return {}, str(error)


def _of_agent(status: Status, trouble: str) -> Iterator[Line]:
    """What the agent says of the pair: would a takeover work, and what else is wrong."""
    if trouble:
        yield bad("agent", trouble, "systemctl enable --now haagent")
        return
    yield ok("agent", f"runs, version {status.get('version')}")
    takeover = part(status, "takeover")
    if takeover.get("possible"):
        yield ok("takeover", "would work right now")
    for reason in rows(takeover, "reasons"):
        yield bad("takeover", f"{reason.get('text')} ({reason.get('code')})", "docs/operating.md")
    for alarm in rows(status, "alarms"):
        if not str(alarm.get("code")).startswith(TOLD_ELSEWHERE):
            text = f"{alarm.get('text')} ({alarm.get('code')})"
            yield warning("alarm", text, "haagent status")


def _bundle(
    target: Path, config: Path, node: str | None, lines: Sequence[Line], socket: Path
) -> None:
    from haagent.doctor.bundle import write  # noqa: PLC0415 only who asks for one

    try:
        write(target, config=config, node=node, lines=lines, status=_status(socket)[0])
    except EdgeError as error:
        asking.fail(str(error), Exit.DEGRADED)
    typer.echo(f"{target}: written; read it before you send it", err=True)
