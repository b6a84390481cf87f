# SPDX-License-Identifier: GPL-2.0-or-later
"""`haagent doctor`: the file, this machine and the running agent, a checked line each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from haagent.cli import asking, client
from haagent.cli.options import DEFAULT_CONFIG, DEFAULT_SOCKET, JsonOption, NodeOption, SocketOption
from haagent.cli.verdict import Exit, part, rows
from haagent.errors import EdgeError


class Verdict(StrEnum):
    """What a line says."""

    OK = "ok"
    WARNING = "warning"
    BAD = "BAD"


@dataclass(frozen=True, slots=True)
class Line:
    """One precondition of a working pair."""

    verdict: Verdict
    what: str
    text: str
    """What was found; of what is not well also what to do."""


def doctor(
    config: Annotated[
        Path, typer.Option("--config", help="The configuration file.")
    ] = DEFAULT_CONFIG,
    node: NodeOption = None,
    *,
    as_json: JsonOption = False,
    socket: SocketOption = DEFAULT_SOCKET,
) -> None:
    """Check the configuration, this machine and the running agent; each line with its remedy.

    Nothing is changed. Exit codes: 0 all is well; 1 something needs attention; 2 a takeover would
    not work, or the agent would not start.
    """
    lines = [*_of_file(config, node), *_of_agent(socket)]
    if as_json:
        typer.echo(json.dumps([asdict(line) for line in lines]))
    else:
        for line in lines:
            typer.echo(f"{line.verdict.value:8} {line.what}: {line.text}")
    verdicts = {line.verdict for line in lines}
    code = Exit.CRITICAL if Verdict.BAD in verdicts else Exit.DEGRADED
    raise typer.Exit(Exit.FINE if verdicts == {Verdict.OK} else code)


def _of_file(file: Path, node: str | None) -> Iterator[Line]:
    """The configuration, and what this machine says to it: units, agents, programs."""
    from haagent.cli.machine import what_it_says  # noqa: PLC0415 asks systemd and agents
    from haagent.config import ConfigurationError, load  # noqa: PLC0415 pydantic is large

    try:
        configuration = load(file, node)
    except ConfigurationError as error:
        yield from (Line(Verdict.WARNING, "configuration", line) for line in error.warnings)
        yield from (Line(Verdict.BAD, "configuration", line) for line in error.errors)
        return
    digest = configuration.pair.configuration_hash.hex()
    me = configuration.node_names[configuration.pair.me]
    yield Line(Verdict.OK, "configuration", f"{file}: usable as node {me}; hash {digest}")
    for warning in configuration.warnings:
        yield Line(Verdict.WARNING, "configuration", warning)
    found = what_it_says(configuration)
    for problem in found:
        verdict = Verdict.BAD if problem.refuses else Verdict.WARNING
        yield Line(verdict, "machine", problem.line(file))
    if not found:
        yield Line(Verdict.OK, "machine", "units, agents and programs of the groups fit")


def _of_agent(socket: Path) -> Iterator[Line]:
    """What the agent says of the pair: its links, its fence devices, its groups."""
    try:
        reply = client.ask(socket, {"verb": "status"}, asking.READ_TIMEOUT_S)
        status = asking.status_data(reply)
    except EdgeError as error:
        yield Line(Verdict.BAD, "agent", f"{error}; systemctl start haagent")
        return
    yield Line(Verdict.OK, "agent", f"runs, version {status.get('version')}")
    takeover = part(status, "takeover")
    if takeover.get("possible"):
        yield Line(Verdict.OK, "takeover", "would work right now")
    for reason in rows(takeover, "reasons"):
        yield Line(Verdict.BAD, "takeover", f"{reason.get('text')} ({reason.get('code')})")
    for alarm in rows(status, "alarms"):
        yield Line(Verdict.WARNING, "alarm", f"{alarm.get('text')} ({alarm.get('code')})")
