# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the text of one scrape, a metric at a time, and opens the ways out that are configured."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from haagent.metrics import MetricsSettings
from haagent.metrics.families import families
from haagent.metrics.figures import Figures
from haagent.metrics.server import MetricsServer
from haagent.metrics.textfile import Textfile

FRESH_NS = 1_000_000_000
"""A text is given out for so long: whoever asks more often costs no more than that."""


class Publisher:
    """Nothing is gathered before somebody asks.

    Args:
        settings: Where to publish.
        figures: Gathers them, on the loop.
    """

    def __init__(self, settings: MetricsSettings, figures: Callable[[], Figures]) -> None:
        self._figures = figures
        self._text = b""
        self._made_ns = -FRESH_NS
        self._making = asyncio.Lock()
        self._server: MetricsServer | None = None
        self._textfile: Textfile | None = None
        if settings.port is not None:
            self._server = MetricsServer(settings.address, settings.port, self.text)
        if settings.textfile is not None:
            self._textfile = Textfile(settings.textfile, settings.textfile_every_s, self.text)

    def open(self) -> None:
        """Begin to publish; what cannot be opened now is tried again."""
        for way in (self._server, self._textfile):
            if way is not None:
                way.open()

    async def close(self) -> None:
        """Publish no more; harmless when repeated."""
        ways = (way for way in (self._server, self._textfile) if way is not None)
        await asyncio.gather(*(way.close() for way in ways))

    async def text(self) -> bytes:
        """Everything in Prometheus' text format, at most FRESH_NS old.

        The loop has its turn after each metric, so that no heartbeat waits for all of them.
        """
        async with self._making:
            if time.monotonic_ns() - self._made_ns >= FRESH_NS:
                self._made_ns = time.monotonic_ns()
                parts = []
                for family in families(self._figures()):
                    parts.append(generate_latest(_Only(family)))
                    await asyncio.sleep(0)
                self._text = b"".join(parts)
            return self._text


class _Only(Collector):
    """A registry of one metric."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterator[Metric]:
        """As the library asks for it."""
        yield self._family
