# SPDX-License-Identifier: GPL-2.0-or-later
"""What the command line says of itself: commands, their options and their words."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

import typer
import typer.core

from haagent.cli.app import app


@dataclass(frozen=True, slots=True)
class Parameter:
    """One option or argument."""

    name: str
    """An argument's name as it is written in a synopsis."""
    options: tuple[str, ...]
    """How an option is written; empty for an argument."""
    help: str
    takes_value: bool
    required: bool
    repeats: bool
    choices: tuple[str, ...]
    """All values it can have, if there are few."""
    is_path: bool
    default: str
    variable: str
    """The environment variable that stands for it, or empty."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command, or the program with all of its commands."""

    name: str
    help: str
    parameters: tuple[Parameter, ...]
    commands: tuple[Command, ...] = ()

    @property
    def summary(self) -> str:
        """Its first sentence's line, without the full stop."""
        return self.help.partition("\n\n")[0].replace("\n", " ").rstrip(".")


def program() -> Command:
    """`haagent` as a whole, its commands in the order of their names."""
    group: Any = typer.main.get_command(app)
    commands = sorted(group.commands.items())
    return Command(
        "haagent",
        inspect.cleandoc(group.help or ""),
        tuple(_parameter(one, None) for one in group.params),
        tuple(_command(name, one) for name, one in commands if not one.hidden),
    )


def _command(name: str, command: Any) -> Command:
    if isinstance(command, typer.core.TyperGroup):
        return _group(name, command)
    hints = get_type_hints(inspect.unwrap(command.callback))
    found = (_parameter(one, hints.get(one.name)) for one in command.params)
    return Command(name, inspect.cleandoc(command.help or ""), tuple(found))


def _group(name: str, group: Any) -> Command:
    """A command whose first word says what: the words, and the options of all of them."""
    parts = [_command(word, one) for word, one in group.commands.items() if not one.hidden]
    what = Parameter(
        name="COMMAND",
        options=(),
        help=" ".join(f"{part.name}: {part.summary}." for part in parts),
        takes_value=True,
        required=True,
        repeats=False,
        choices=tuple(part.name for part in parts),
        is_path=False,
        default="",
        variable="",
    )
    further = {
        one.options or (one.name,): replace(one, required=False)
        for part in parts
        for one in part.parameters
    }
    return Command(name, inspect.cleandoc(group.help or ""), (what, *further.values()))


def _parameter(one: Any, hint: Any) -> Parameter:
    option = one.param_type_name == "option"
    literal = _literal(hint)
    default = one.default
    return Parameter(
        name=(one.metavar or one.name).upper().replace("_", "-"),
        options=tuple(one.opts) if option else (),
        help=one.help or "",
        takes_value=not (option and one.is_flag),
        required=one.required,
        repeats=one.multiple or one.nargs == -1,
        choices=literal,
        is_path="Path" in str(hint),
        default="" if default in (None, False, ()) else str(default),
        variable=one.envvar or "",
    )


def _literal(hint: Any) -> tuple[str, ...]:
    """The words of a Literal, wherever it stands in the hint."""
    if get_origin(hint) is Literal:
        return tuple(map(str, get_args(hint)))
    return next((found for part in get_args(hint) if (found := _literal(part))), ())
