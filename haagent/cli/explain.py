# SPDX-License-Identifier: GPL-2.0-or-later
"""`haagent explain`: the last failover, or the one that did not happen, as a story."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from haagent.cli import asking, client
from haagent.cli.options import DEFAULT_SOCKET, SocketOption
from haagent.cli.verdict import EXIT_DATA, Exit
from haagent.errors import EdgeError

DEFAULT_BOX = Path("/var/lib/haagent/blackbox")


def explain(
    number: Annotated[
        int | None,
        typer.Argument(metavar="[ID]", help="Of `haagent history`; the last one if left out."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="A recording, or a black box's directory.")
    ] = None,
    socket: SocketOption = DEFAULT_SOCKET,
) -> None:
    """Tell a failover, or one that did not happen, with its times, gates and their answers.

    The black box of this node is read; --file reads another one, and needs no agent.
    Exit codes: 0 told; 1 there is nothing to tell, or no such number; 3 no agent and no black box
    in its usual place; 65 the file cannot be read.
    """
    from haagent.blackbox import RecordingError  # noqa: PLC0415 the core is large
    from haagent.blackbox.episodes import newest  # noqa: PLC0415 same
    from haagent.blackbox.story import tell  # noqa: PLC0415 same

    path = file or _of_this_node(socket)
    try:
        episode = newest(path, number)
    except RecordingError as error:
        typer.echo(f"haagent: {error}", err=True)
        raise typer.Exit(EXIT_DATA) from None
    if episode is None:
        what = "nothing has happened" if number is None else f"there is no number {number}"
        asking.fail(f"{path}: {what} as far as this recording goes", Exit.DEGRADED)
    for line in tell(episode):
        typer.echo("".join(char if char.isprintable() else "?" for char in line))


def _of_this_node(socket: Path) -> Path:
    """The directory of the agent's black box, written up to now; the usual one without an agent."""
    try:
        reply = client.ask(socket, {"verb": "black-box"}, asking.READ_TIMEOUT_S)
    except client.NotRunningError as error:
        if not DEFAULT_BOX.is_dir():
            asking.fail(f"{error}; --file needs none", Exit.NOT_RUNNING)
        typer.echo(f"haagent: {error}; told from {DEFAULT_BOX}", err=True)
        return DEFAULT_BOX
    except EdgeError as error:
        asking.fail(str(error), Exit.DEGRADED)
    asking.refuse_failed(reply)
    data = reply.get("data")
    directory = data.get("directory") if isinstance(data, dict) else None
    if not isinstance(directory, str):
        asking.fail("nothing is recorded: black_box_mib is 0", Exit.DEGRADED)
    return Path(directory)
