# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures of a node on the core's bench, and their text as a scraper reads it."""

from __future__ import annotations

import asyncio
from typing import Any

from core.harness import Bench
from status_bench import status

from haagent.alerts import Receiver
from haagent.alerts.courier import Courier
from haagent.alerts.notice import Sender
from haagent.links.loss import Loss
from haagent.links.path import Counters
from haagent.metrics import MetricsSettings
from haagent.metrics.counts import Counts
from haagent.metrics.failovers import Failovers
from haagent.metrics.figures import Figures, Limited
from haagent.metrics.publisher import Publisher
from haagent.vip.announcer import Announced

DRILLS = {
    "under_way": None,
    "proven": {"switchover": {"when": "2026-01-02T03:04:05+00:00", "id": "a"}},
}
SENDER = Sender("test", "alpha", "beta")


def figures(
    bench: Bench,
    records: list[dict[str, Any]] | None = None,
    *,
    measured_unix_s: float | None = None,
    **more: Any,
) -> Figures:
    """What a scrape would be made of now."""
    groups = [group.settings.name for group in bench.state.groups]
    counts = Counts(Loss(len(bench.state.links)), Failovers(groups, []))
    counts.failovers.take(records or [])
    counts.loss.tallies[0].received, counts.loss.tallies[0].lost = 1000, 7
    return Figures(
        status=status(bench, tallies=counts.loss.tallies, **more) | {"drills": DRILLS},
        counts=counts,
        links=[Counters(sent=42, send_failed=1) for _ in bench.state.links],
        announced={"eth0": Announced(sent=18, failed=2)},
        fence_ready=bench.state.fence_ready,
        fences=Limited(1, 3),
        moves={name: Limited(2, 6) for name in groups},
        configuration_agrees=True,
        watchdog_armed=True,
        watchdog_timeout_s=10,
        couriers={"pager": Courier(Receiver("pager", ("/bin/true",)), SENDER, lambda _: None)},
        hooks_dropped=3,
        records=records or [],
        measured_unix_s=measured_unix_s,
    )


def text(of: Figures) -> str:
    """One scrape."""
    return asyncio.run(Publisher(MetricsSettings(), lambda: of).text()).decode()
