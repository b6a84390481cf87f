# SPDX-License-Identifier: GPL-2.0-or-later
"""`haagent replay`: does this release's core decide what the recorded one decided?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from haagent.cli.verdict import EXIT_DATA, Exit

if TYPE_CHECKING:
    from haagent.blackbox.replay import Difference, Verdict


def replay(
    file: Annotated[Path, typer.Argument(help="A recording: a file, or a black box's directory.")],
) -> None:
    """Run recorded events through the core again, and see that it decides the same.

    Nothing is asked of a running agent, and nothing is changed. Exit codes: 0 it decides the same;
    1 it decides otherwise, and the first difference is shown; 65 the file cannot be read.
    """
    from haagent.blackbox import RecordingError  # noqa: PLC0415 the core is large
    from haagent.blackbox.reading import segments  # noqa: PLC0415 same
    from haagent.blackbox.replay import replay as run_again  # noqa: PLC0415 same

    try:
        verdict = run_again(segments(file))
    except RecordingError as error:
        typer.echo(f"haagent: {error}", err=True)
        raise typer.Exit(EXIT_DATA) from None
    for line in _lines(verdict):
        typer.echo(line)
    if verdict.difference is not None:
        for line in _difference(verdict.difference):
            typer.echo(line)
        raise typer.Exit(Exit.DEGRADED)
    typer.echo("The core decides the same.")


def _lines(verdict: Verdict) -> list[str]:
    lines = [f"{verdict.steps} steps in {verdict.segments} segments were decided as recorded."]
    if verdict.lost:
        lines.append(f"{verdict.lost} entries were never recorded: queue full, or disk failing.")
    lines += [f"Torn, and read up to there: {torn}." for torn in verdict.torn]
    if verdict.unknown:
        names = ", ".join(sorted(verdict.unknown))
        lines.append(f"Recorded, and unknown to this release: {names}.")
    return lines


def _difference(difference: Difference) -> list[str]:
    from haagent.blackbox.story import tell_until  # noqa: PLC0415 needed for this alone

    segment = difference.segment
    when = segment.wall(difference.at_ns).isoformat(timespec="milliseconds")
    return [
        *tell_until(segment, difference.at_ns),
        "",
        f"The core decides otherwise in {segment.name}, entry {difference.place}, {when}",
        f"(recorded by {segment.text('node')}, {segment.release}), at {difference.event}:",
        *(f"  {field}" for field in difference.fields),
    ]
