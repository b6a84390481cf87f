# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the configuration for a command: usable, or the command ends with every reason why not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

if TYPE_CHECKING:
    from haagent.config import Configuration
    from haagent.config.load import Places

Loaded = TypeVar("Loaded")


def load_or_exit(file: Path, node: str | None) -> Configuration:
    """The configuration; of one that is refused the lines that say so, and exit code 78."""
    from haagent.config import load  # noqa: PLC0415 pydantic is large

    return _loaded(load, file, node)


def places_or_exit(file: Path, node: str | None) -> Places:
    """The same, of what can be known without a secret."""
    from haagent.config.load import load_places  # noqa: PLC0415 pydantic is large

    return _loaded(load_places, file, node)


def _loaded(load: Callable[[Path, str | None], Loaded], file: Path, node: str | None) -> Loaded:
    from haagent.config import EXIT_CODE, ConfigurationError  # noqa: PLC0415 pydantic is large

    try:
        return load(file, node)
    except ConfigurationError as error:
        for line in error.warnings:
            typer.echo(f"warning: {line}", err=True)
        for line in error.errors:
            typer.echo(line, err=True)
        raise typer.Exit(EXIT_CODE) from None
