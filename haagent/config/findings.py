# SPDX-License-Identifier: GPL-2.0-or-later
"""What is wrong with a configuration file: one line each, all of them at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from fencing.config.problems import Problem

EXIT_CODE = 78
"""Exit code of a refused configuration. Source: sysexits.h, EX_CONFIG."""


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

    def add(self, problem: Problem) -> None:
        """Take down one problem; one that was said already is not said again."""
        lines = self.errors if problem.refuses else self.warnings
        line = problem.line(self.file)
        if line not in lines:
            lines.append(line)

    def error(self, where: str, value: object, text: str) -> None:
        """Refuse the file because of `value` at the key path `where`."""
        self.add(Problem(where, value, text))

    def warning(self, where: str, value: object, text: str) -> None:
        """Accept the file, but say what its author should know."""
        self.add(Problem(where, value, text, refuses=False))

    def raise_errors(self) -> None:
        """End here if anything was wrong.

        Raises:
            ConfigurationError: there was at least one error.
        """
        if self.errors:
            raise ConfigurationError(tuple(self.errors), tuple(self.warnings))
