# SPDX-License-Identifier: GPL-2.0-or-later
"""A real Prometheus inside one machine of the pair, which scrapes both."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hil.processes import end, spawn
from hil.scrape import PORT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from hil.machine import Machine

LISTEN = "127.0.0.1:9090"
EVERY_S = 1
SCRAPES = 3
"""A rate needs two, and the rules are looked at after each."""
LIMIT_S = 60.0
POLL_S = 0.1


class Prometheus:
    """What it says when it is asked."""

    def __init__(self, machine: Machine) -> None:
        """Made by `watching`."""
        self._machine = machine

    def query(self, expression: str) -> list[Mapping[str, str]]:
        """The labels of each series that this has now."""
        found = self._ask("query", "--data-urlencode", f"query={expression}")["result"]
        return [one["metric"] for one in found]

    def rules(self) -> list[Mapping[str, Any]]:
        """Each alert rule with its health."""
        groups = self._ask("rules")["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def wait(self, targets: int) -> None:
        """Until each of so many targets was scraped a few times, and all rules were looked at."""
        scraped = f'count(count_over_time(up{{job="haagent"}}[1m]) >= {SCRAPES}) == {targets}'
        self.until(scraped)

    def until(self, expression: str) -> None:
        """Wait until this has series."""
        end_s = time.monotonic() + LIMIT_S
        while not (self._is_up() and self.query(expression)):
            assert time.monotonic() < end_s, f"Prometheus has nothing for {expression}"
            threading.Event().wait(POLL_S)  # it offers nothing to wait for

    def _is_up(self) -> bool:
        done = self._machine.run("curl", "-sf", f"http://{LISTEN}/-/ready", check=False)
        return done.returncode == 0

    def _ask(self, what: str, *more: str) -> Any:
        url = f"http://{LISTEN}/api/v1/{what}"
        done = self._machine.run("curl", "-sS", "--get", "--max-time", "10", url, *more)
        answer = json.loads(done.stdout)
        assert answer["status"] == "success", answer
        return answer["data"]


@contextmanager
def watching(machines: Sequence[Machine], rules: Path, folder: Path) -> Iterator[Prometheus]:
    """One at work in the first of these, with these rules; it ends with the context.

    Args:
        machines: Their agents serve metrics on their addresses in the LAN.
        rules: A file of rules.
        folder: Where it keeps what it gathers.
    """
    configuration = folder / "prometheus.yml"
    job = {
        "job_name": "haagent",
        "static_configs": [{"targets": [f"{one.address}:{PORT}" for one in machines]}],
    }
    every = f"{EVERY_S}s"
    text = {
        "global": {"scrape_interval": every, "evaluation_interval": every},
        "rule_files": [str(rules)],
        "scrape_configs": [job],
    }
    configuration.write_text(json.dumps(text))  # JSON is YAML
    (first, *_) = machines
    options = (
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address={LISTEN}",
    )
    with (folder / "prometheus.log").open("wb") as log:
        # It must not starve the agents that it looks at.
        process = spawn([*first.inside, "nice", "-n", "19", "prometheus", *options], stderr=log)
    try:
        yield Prometheus(first)
    finally:
        end(process)
