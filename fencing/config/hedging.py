# SPDX-License-Identifier: GPL-2.0-or-later
"""[timing] `hedge_after`, for whoever fences without reading the rest of the file."""

from __future__ import annotations

from pathlib import Path

from fencing.config import duration, forms
from fencing.config.problems import Problem
from fencing.config.tables import TableError
from fencing.config.toml_file import read_toml

HEDGE_AFTER = "2s"
"""The default of [timing] hedge_after (docs/configuration.md)."""
_HEDGE_AFTER = forms.span("0s", "5m")


def hedge_after_s(configuration: Path) -> float:
    """How many seconds a level has to read off before the next one begins beside it.

    Raises:
        TableError: What stands there is no such time.
    """
    raw = read_toml(configuration)
    timing = {} if isinstance(raw, Problem) else raw.get("timing", {})
    value = timing.get("hedge_after", HEDGE_AFTER) if isinstance(timing, dict) else HEDGE_AFTER
    try:
        return _HEDGE_AFTER(value) / duration.UNITS_NS["s"]
    except ValueError as error:
        problem = Problem("timing.hedge_after", value, str(error))
        raise TableError((problem,), configuration) from None
