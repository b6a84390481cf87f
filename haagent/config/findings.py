# SPDX-License-Identifier: GPL-2.0-or-later
"""What is wrong with a configuration file: one line each, all of them at once."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final

EXIT_CODE = 78
"""Exit code of a refused configuration. Source: sysexits.h, EX_CONFIG."""

VALUE_CHARACTERS_MAX = 60
"""A value longer than this is shown shortened: a line must stay a line that one reads."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}|#[0-9]{1,4}")


class NoValue(Enum):
    """Why a line shows no value."""

    ABSENT = "-"
    HIDDEN = "(not shown)"


ABSENT: Final = NoValue.ABSENT
HIDDEN: Final = NoValue.HIDDEN


class ConfigurationError(Exception):
    """The configuration is refused.

    `errors` has one line each, "file: key.path: value: what is wrong; hint"; `warnings` has what
    was found besides, in the same form.
    """

    def __init__(self, errors: tuple[str, ...], warnings: tuple[str, ...] = ()) -> None:
        assert errors, "a refusal without a reason"
        super().__init__("\n".join(errors))
        self.errors = errors
        self.warnings = warnings


@dataclass(frozen=True, slots=True)
class Findings:
    """Collects errors and warnings about one file."""

    file: Path
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def error(self, where: str, value: object, text: str) -> None:
        """Refuse the file because of `value` at the key path `where`."""
        self._add(self.errors, where, value, text)

    def warning(self, where: str, value: object, text: str) -> None:
        """Accept the file, but say what its author should know."""
        self._add(self.warnings, where, value, text)

    def raise_errors(self) -> None:
        """End here if anything was wrong.

        Raises:
            ConfigurationError: there was at least one error.
        """
        if self.errors:
            raise ConfigurationError(tuple(self.errors), tuple(self.warnings))

    def _add(self, lines: list[str], where: str, value: object, text: str) -> None:
        line = f"{printable(str(self.file))}: {where}: {show(value)}: {text}"
        if line not in lines:
            lines.append(line)


def join(*parts: object) -> str:
    """Key path of nested keys; a key that TOML would have to quote is quoted here too."""
    texts = (str(part) for part in parts)
    return ".".join(text if _BARE_KEY.fullmatch(text) else json.dumps(text[:64]) for text in texts)


def show(value: object) -> str:
    """`value` in at most 60 characters of one line; tables and arrays only by their kind."""
    match value:
        case NoValue():
            return value.value
        case bool():
            return str(value).lower()
        case int() if value.bit_length() > 64:
            return "(a huge number)"
        case dict():
            return "(a table)"
        case list() | tuple():
            return "(an array)"
        case str():
            text = json.dumps(value[: VALUE_CHARACTERS_MAX + 1], ensure_ascii=False)
        case _:
            text = str(value)
    text = printable(text)
    return text if len(text) <= VALUE_CHARACTERS_MAX else text[: VALUE_CHARACTERS_MAX - 3] + "..."


def printable(text: str) -> str:
    """`text` with everything that could break a line or drive a terminal replaced by "?"."""
    return "".join(char if char.isprintable() else "?" for char in text)
