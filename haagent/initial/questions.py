# SPDX-License-Identifier: GPL-2.0-or-later
"""Asks on the terminal, one thing at a time, until the answer can be used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import typer

T = TypeVar("T")


def ask(question: str, read: Callable[[str], T], default: str | None = None) -> T:
    """The answer as `read` takes it; what it refuses is asked for again, with its reason.

    Args:
        question: Ends without a mark.
        read: Raises ValueError, with a sentence for the operator.
        default: What an empty answer stands for; None: there is none.
    """
    while True:
        said = str(typer.prompt(question, default=default, show_default=default != "")).strip()
        try:
            return read(said)
        except ValueError as error:
            typer.secho(f"  {error}", fg="red")


def choose(question: str, choices: Sequence[str], default: str) -> str:
    """One of the choices, by its number or its first letters."""

    def read(said: str) -> str:
        if said.isdecimal() and 1 <= int(said) <= len(choices):
            return choices[int(said) - 1]
        found = [one for one in choices if one == said] or [
            one for one in choices if said and one.startswith(said)
        ]
        if len(found) != 1:
            raise ValueError(f"one of: {', '.join(choices)}")
        return found[0]

    return ask(f"{question} ({', '.join(choices)})", read, default)


def agree(question: str, *, default: bool) -> bool:
    """Yes or no."""
    return typer.confirm(question, default=default)


def hidden(question: str, read: Callable[[str], T]) -> T:
    """As `ask`, typed twice and not shown."""
    while True:
        said = str(typer.prompt(question, hide_input=True, confirmation_prompt=True))
        try:
            return read(said)
        except ValueError as error:
            typer.secho(f"  {error}", fg="red")


def heading(text: str) -> None:
    """What the next questions are about."""
    typer.echo("")
    typer.secho(text, bold=True)


def say(text: str) -> None:
    """A line of what was found, or why it is asked."""
    typer.echo(f"  {text}")
