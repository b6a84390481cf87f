# SPDX-License-Identifier: GPL-2.0-or-later
"""The screen of `haagent watch`; imported by that command alone, for textual is large.

It asks the agent once a second, over and over, whatever becomes of the agent meanwhile: a screen
that is to be believed says how old it is, and that its agent is gone.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from haagent.cli import client, panels
from haagent.cli.asking import status_data
from haagent.cli.feed import Feed
from haagent.cli.verdict import rows
from haagent.errors import EdgeError

PAUSE_S = 1.0
ANSWER_S = 2.0
"""An agent that takes longer is as good as none; the next question follows at once."""
REMEMBERED = 20


class Screen(App[None]):
    """Shows one agent until it is told to quit.

    Args:
        socket: Where the agent answers.
    """

    ENABLE_COMMAND_PALETTE = False
    # The terminal's own colours, whatever they are, and none of ours below the words.
    CSS = """
    Screen, #head, #body, #events, #keys { background: ansi_default; color: ansi_default; }
    #head { height: 2; }
    #body { height: 1fr; scrollbar-size-vertical: 1; }
    #events { height: 6; border-top: ascii ansi_default; }
    #keys { height: 1; text-style: dim; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", priority=True),
        Binding("ctrl+c", "quit", priority=True),
    ]

    def __init__(self, socket: Path) -> None:
        super().__init__(ansi_color=True)
        self._socket = socket
        self.feed = Feed()

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        yield Static(id="head", markup=False)
        with VerticalScroll(id="body"):
            yield Static(id="state", markup=False)
        yield Static(id="events", markup=False)
        yield Static("q quit   arrows scroll   `haagent status` has all of it", id="keys")

    def on_mount(self) -> None:
        """Begin to ask, and to show how time passes."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.exit)
        self.run_worker(self._watch())
        self.set_interval(PAUSE_S / 2, self._draw)

    async def _watch(self) -> None:
        remembered = False
        while True:
            try:
                if not remembered:
                    history = await self._ask({"verb": "history", "limit": REMEMBERED})
                    self.feed.remember(list(rows(history, "data")))
                    remembered = True
                status = status_data(await self._ask({"verb": "status"}))
            except EdgeError as error:
                self.feed.miss(str(error), _clock())
            else:
                self.feed.take(status, time.monotonic(), _clock())
            self._draw()
            await asyncio.sleep(PAUSE_S)

    async def _ask(self, request: Mapping[str, object]) -> Mapping[str, Any]:
        return await asyncio.to_thread(client.ask, self._socket, request, ANSWER_S)

    def _draw(self) -> None:
        clock = _clock()
        self.query_one("#head", Static).update(panels.head(self.feed, time.monotonic(), clock))
        self.query_one("#state", Static).update(panels.body(self.feed))
        newest = self.query_one("#events", Static)
        shown = islice(reversed(self.feed.events), max(newest.size.height, 0))
        newest.update(panels.events(shown, clock))


def _clock() -> datetime:
    """Wall time with its zone, for people."""
    return datetime.now().astimezone()
