# SPDX-License-Identifier: GPL-2.0-or-later
"""A lab with a memory: what a scenario did, what was seen of it, and whether it held."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.timeline import Check, Moment

if TYPE_CHECKING:
    from rich.console import Console

    from hil.lab import Lab


class Stage:
    """Where a scenario plays. It collects moments and checks; the demo shows them."""

    def __init__(self, lab: Lab, console: Console) -> None:
        self.lab = lab
        self.console = console
        self.moments: list[Moment] = []
        self.checks: list[Check] = []
        self.phases: list[tuple[str, float]] = []

    def say(self, text: str) -> None:
        """Tell the audience what is done now."""
        self.console.print(f"[bold yellow]▶[/] {text}")

    def note(self, at_ns: int | None, source: str, text: str) -> None:
        """Remember a moment; one that was never seen is left out."""
        if at_ns is not None:
            self.moments.append(Moment(at_ns, source, text))

    def check(self, held: bool, text: str, detail: str = "") -> None:  # noqa: FBT001  # a sentence
        """Remember something that had to hold."""
        self.checks.append(Check(held, text, detail))
