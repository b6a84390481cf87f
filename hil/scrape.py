# SPDX-License-Identifier: GPL-2.0-or-later
"""The metrics of an agent, as Prometheus scrapes and reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from hil.machine import Machine

PORT = 7073
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(machine: Machine) -> str:
    """One scrape, made inside the machine."""
    done = machine.run("curl", "-sS", "--max-time", "10", f"http://127.0.0.1:{PORT}/metrics")
    return str(done.stdout)


def series(scraped: str) -> Series:
    """Each sample by its name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(scraped)
        for sample in family.samples
    }


def sample(of: Series, name: str, **labels: str) -> float | None:
    """One of them, by its name without the prefix that all have; None if it is not there."""
    return of.get((f"haagent_{name}", frozenset(labels.items())))
