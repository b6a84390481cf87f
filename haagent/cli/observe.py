# SPDX-License-Identifier: GPL-2.0-or-later
"""`haagent observe`: a witness on a third machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from haagent.cli.options import DEFAULT_CONFIG
from haagent.errors import EdgeError


def observe(
    config: Annotated[
        Path, typer.Option("--config", help="The pair's configuration file.")
    ] = DEFAULT_CONFIG,
    name: Annotated[
        str | None, typer.Option("--name", help="Of its [[witness]]; the host's name by default.")
    ] = None,
) -> None:
    """Run an observer in the foreground, as its systemd unit does: a witness of the pair.

    It needs the pair's configuration and heartbeat keys, no passwords, and no root.
    Exit codes: 78 the configuration is refused, 1 its address cannot be had.
    """
    import structlog  # noqa: PLC0415 only what runs for long needs it

    from haagent import log  # noqa: PLC0415 same
    from haagent.config import EXIT_CODE, ConfigurationError  # noqa: PLC0415 pydantic is large
    from haagent.config.observing import load_observer  # noqa: PLC0415 same
    from haagent.observer.run import run  # noqa: PLC0415 same

    try:
        configuration = load_observer(config, name)
    except ConfigurationError as error:
        for line in error.errors:
            typer.echo(line, err=True)
        raise typer.Exit(EXIT_CODE) from None
    log.setup(configuration.log)
    try:
        code = run(configuration)
    except EdgeError as error:
        structlog.get_logger().error("observer.cannot_run", reason=str(error))
        code = 1
    raise typer.Exit(code)
