# SPDX-License-Identifier: GPL-2.0-or-later
"""Linter, formatter and type checker are tests like all others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACES = [name for name in ("haagent", "fencing", "hil", "tests") if (ROOT / name).is_dir()]


def run(*command: str) -> None:
    """The command has nothing to say against the project."""
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize(
    "command", [("ruff", "check"), ("ruff", "format", "--check")], ids=["check", "format"]
)
def test_ruff(command: tuple[str, ...]) -> None:
    """Every file is clean by ruff, and formatted by it."""
    run(*command, "--no-cache", *PLACES)


def test_mypy() -> None:
    """Every file is typed, strictly."""
    run("mypy", *PLACES)


def test_license_headers() -> None:
    """Every Python file names its licence in its first line."""
    for place in PLACES:
        for path in (ROOT / place).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            if not text:
                continue  # An empty __init__.py has nothing to license.
            first = text.splitlines()[0]
            assert first == "# SPDX-License-Identifier: GPL-2.0-or-later", path
