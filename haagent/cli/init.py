# SPDX-License-Identifier: GPL-2.0-or-later
"""`haagent init`: from two fresh machines to a configuration, a key and what to do next."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from haagent.cli import asking
from haagent.cli.options import DEFAULT_CONFIG, DEFAULT_SOCKET
from haagent.cli.verdict import Exit
from haagent.errors import EdgeError

if TYPE_CHECKING:
    from haagent.initial.answers import Answers


def init(
    config: Annotated[
        Path, typer.Option("--config", help="Where the configuration goes; never overwritten.")
    ] = DEFAULT_CONFIG,
) -> None:
    """Ask what the pair is to be, write its configuration, key and passwords, and examine it.

    Run it as root on one node, at a terminal. Nothing is written before the last question, and
    nothing is enabled or started. Exit codes: 0 written (read what the doctor says then), 1 not.
    """
    from haagent.initial.discovery import discover  # noqa: PLC0415 asks the machine
    from haagent.initial.interview import interview  # noqa: PLC0415 same
    from haagent.initial.writing import occupied, write  # noqa: PLC0415 same

    if obstacle := occupied(config):
        asking.fail(obstacle, Exit.DEGRADED)
    if not sys.stdin.isatty():
        asking.fail("asks questions: run it at a terminal", Exit.DEGRADED)
    typer.echo("haagent init: nothing is written before the last question; Ctrl-C ends it.")
    try:
        answers = interview(discover())
        _refuse_unusable(answers)
        typer.echo("")
        if not typer.confirm(f"Write {config}, its key and passwords?", default=True):
            asking.fail("nothing was written", Exit.DEGRADED)
        for path in write(answers, config):
            typer.echo(f"  written: {path}")
    except (EdgeError, ValueError) as error:
        asking.fail(str(error), Exit.DEGRADED)
    _next_steps(config, answers)
    _examine(config, answers.nodes[0])


def _refuse_unusable(answers: Answers) -> None:
    """The answers may be sound one by one and not together: `check-config` knows.

    Raises:
        EdgeError: every reason, a line each.
    """
    from haagent.config import ConfigurationError, load  # noqa: PLC0415 pydantic is large
    from haagent.initial.writing import write  # noqa: PLC0415 same as its caller's

    with tempfile.TemporaryDirectory(prefix="haagent-init-") as folder:
        trial = Path(folder) / "haagent.toml"
        write(answers, trial)
        try:
            load(trial, answers.nodes[0])
            load(trial, answers.nodes[1])
        except ConfigurationError as error:
            lines = [line.removeprefix(f"{trial}: ") for line in error.errors]
            raise EdgeError("\n".join(["the answers do not fit:", *lines])) from None


def _next_steps(config: Path, answers: Answers) -> None:
    second = answers.nodes[1]
    folder = config.parent
    steps = [
        f"Copy the folder, as it is, to {second}:  scp -p {folder}/* root@{second}:{folder}/",
        *(
            f"On both:  systemctl disable --now {unit}  (from now on the agent starts it)"
            for unit in answers.group.units
        ),
        f"On {second}:  haagent doctor",
        "On both:  systemctl enable --now haagent",
        "On both:  haagent doctor  and  haagent status",
        f"Prove it:  haagent switchover there and back, then  haagent fence cycle {second}",
    ]
    typer.echo("")
    typer.secho("What is to be done now", bold=True)
    for number, step in enumerate(steps, 1):
        typer.echo(f"  {number}. {step}")


def _examine(config: Path, node: str) -> None:
    """The doctor's lines; of an agent that nobody has started yet nothing is made."""
    from haagent.cli.doctor import LISTEN_S, examination, show  # noqa: PLC0415 same

    typer.echo("")
    typer.secho("The doctor says", bold=True)
    show(examination(config, node, DEFAULT_SOCKET, LISTEN_S), as_json=False)
