# SPDX-License-Identifier: GPL-2.0-or-later
"""`haagent postgres`: makes a pair of one existing PostgreSQL server."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from haagent.cli.loading import load_or_exit
from haagent.cli.options import DEFAULT_CONFIG, NodeOption

if TYPE_CHECKING:
    from haagent.postgres.layout import PostgresSettings

postgres = typer.Typer(name="postgres", help="Make a pair of one PostgreSQL server.")


@postgres.callback()
def _group() -> None:
    """Make a pair of one PostgreSQL server."""


@postgres.command()
def setup(
    *,
    config: Annotated[Path, typer.Option(help="The configuration file.")] = Path(DEFAULT_CONFIG),
    node: NodeOption = None,
    resource: Annotated[
        str | None, typer.Option(help="Name of the resource, where there are several.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Give up the data that this node has.")
    ] = False,
) -> None:
    """Prepare the primary for its standby, or copy it: run it on its node first, then on the other.

    What it changes it says, a line each. Exit codes: 0 done, 1 not done, 78 configuration refused.
    """
    from haagent.errors import EdgeError  # noqa: PLC0415  # with what follows
    from haagent.postgres import preparing  # noqa: PLC0415  # `status` starts fast without it

    settings = _chosen(config, node, resource)
    try:
        if asyncio.run(preparing.primary_here(settings)):
            asyncio.run(_prepare(settings))
        else:
            asyncio.run(_copy(settings, overwrite=overwrite))
    except (EdgeError, OSError) as error:
        typer.echo(f"not done: {error}", err=True)
        raise typer.Exit(1) from None


def _chosen(config: Path, node: str | None, name: str | None) -> PostgresSettings:
    from haagent.postgres.layout import PostgresSettings  # noqa: PLC0415  # see setup

    configuration = load_or_exit(config, node)
    found = [
        one
        for group in configuration.groups
        for one in group.resources
        if isinstance(one, PostgresSettings) and name in {None, one.name}
    ]
    if len(found) != 1:
        names = ", ".join(one.name for one in found) or "none"
        typer.echo(f"not done: which resource? --resource; there is {names}", err=True)
        raise typer.Exit(1)
    return found[0]


async def _prepare(settings: PostgresSettings) -> None:
    from haagent.postgres import preparing  # noqa: PLC0415  # see setup

    typer.echo(f"the server of {settings.node} is primary; made ready for {settings.peer}:")
    async for line in preparing.prepare(settings):
        typer.echo(f"  {line}")
    typer.echo(f"done; now `haagent postgres setup` on {settings.peer}")


async def _copy(settings: PostgresSettings, *, overwrite: bool) -> None:
    from rich.progress import (  # noqa: PLC0415  # see setup
        BarColumn,
        DownloadColumn,
        Progress,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    from haagent.postgres import preparing  # noqa: PLC0415  # see setup

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns) as bar:
        task = bar.add_task("copy", total=None)
        changed = await preparing.copy(
            settings,
            lambda done, of: bar.update(task, completed=done, total=of),
            overwrite=overwrite,
        )
    for line in changed:
        typer.echo(f"  {line}")
    typer.echo(f"{settings.layout.data} is a copy of {settings.peer}'s; the agent starts it")
