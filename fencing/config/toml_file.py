# SPDX-License-Identifier: GPL-2.0-or-later
"""A configuration file as TOML understands it, or the one problem that keeps it from being read."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from fencing.config.problems import ABSENT, Problem

FILE_BYTES_MAX = 1_000_000
"""A pair's configuration has some hundred lines; a larger file is the wrong one."""
REASON_CHARACTERS_MAX = 200
"""Longest part of the TOML reader's own words that is passed on."""


def read_toml(file: Path) -> dict[str, Any] | Problem:
    """The top level of `file`; nothing is raised, however hostile the content."""
    try:
        with file.open("rb") as stream:
            content = stream.read(FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return Problem("-", ABSENT, f"cannot be read: {reason}; is the path right?")
    if len(content) > FILE_BYTES_MAX:
        return Problem("-", ABSENT, f"larger than {FILE_BYTES_MAX} bytes; is the path right?")
    try:
        return tomllib.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        text = f"not UTF-8 at byte {error.start}; TOML is UTF-8 text"
    except RecursionError:
        text = "nested too deeply; docs/configuration.md shows the form"
    except ValueError as error:
        reason = " ".join(str(error).split())[:REASON_CHARACTERS_MAX]
        text = f"not TOML: {reason}; see toml.io"
    return Problem("-", ABSENT, text)
