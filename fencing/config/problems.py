# SPDX-License-Identifier: GPL-2.0-or-later
"""What is wrong with a configuration file: values, each of which becomes one line for a person."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from pathlib import Path
from typing import Final

VALUE_CHARACTERS_MAX = 60
"""A value longer than this is shown shortened: a line must stay a line that one reads."""
NAME_CHARACTERS_MAX = 64
"""A key or name longer than this is cut where it is shown; nothing allowed is as long."""

_BARE_KEY = re.compile(rf"[A-Za-z0-9_-]{{1,{NAME_CHARACTERS_MAX}}}|#[0-9]{{1,4}}")


class NoValue(Enum):
    """Why a line shows no value."""

    ABSENT = "-"
    HIDDEN = "(not shown)"


ABSENT: Final = NoValue.ABSENT
HIDDEN: Final = NoValue.HIDDEN


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, with which value, and what would be right."""

    where: str
    """Key path, e.g. "fence.alpha-bmc.options.port"."""
    value: object
    """What stands there; ABSENT, or HIDDEN where it may be a secret."""
    text: str
    refuses: bool = True
    """Whether the file is refused for it; else it is allowed but unwise."""

    def line(self, file: Path) -> str:
        """The one line that is printed: "file: where: value: text"."""
        return f"{printable(str(file))}: {self.where}: {show(self.value)}: {self.text}"


def join(*parts: object) -> str:
    """Key path of nested keys; a key that TOML would have to quote is quoted here too."""
    texts = (str(part) for part in parts)
    return ".".join(
        text if _BARE_KEY.fullmatch(text) else json.dumps(text[:NAME_CHARACTERS_MAX])
        for text in texts
    )


def entry_paths(key: str, values: Sequence[object]) -> list[str]:
    """Key path of every entry: by its name if that is one and the only one, else by number."""
    names = [value.get("name") if isinstance(value, dict) else None for value in values]
    return [
        join(key, name)
        if isinstance(name, str) and 0 < len(name) <= NAME_CHARACTERS_MAX and names.count(name) == 1
        else join(key, f"#{number}")
        for number, name in enumerate(names, start=1)
    ]


def nearest(word: object, known: Iterable[str], otherwise: str) -> str:
    """Ask whether the most similar of `known` was meant, or say `otherwise`."""
    near = get_close_matches(str(word)[:NAME_CHARACTERS_MAX], list(known), n=1)
    return f"did you mean {near[0]}?" if near else otherwise


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
