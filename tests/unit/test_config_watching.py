# SPDX-License-Identifier: GPL-2.0-or-later
"""[metrics]: from the file to the settings, or refused."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest
from config_bench import Site, example

from haagent.metrics import LOCALHOST, MetricsSettings

GIVEN = 'port = 7073\naddress = "127.0.0.1"\n'


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Keys and passwords in place."""
    return Site(tmp_path)


def test_off_by_default(site: Site) -> None:
    """Without [metrics] nothing is served or written, and a port alone is on localhost only."""
    head, _, tail = example().partition("[metrics]")
    without = head + tail[tail.index("[[node]]") :]
    assert site.load(without).metrics == MetricsSettings()
    assert site.load(without + "\n[metrics]\nport = 7073\n").metrics.address == LOCALHOST


def test_metrics(site: Site) -> None:
    """Everything that is written is in force, and it is not in the hash."""
    plain = site.changed()
    assert plain.metrics == MetricsSettings(
        7073, LOCALHOST, Path("/var/lib/prometheus/node-exporter/haagent.prom"), 15.0
    )
    other = site.changed(
        (GIVEN, 'port = 9100\naddress = "::"\n'), ('textfile_every = "15s"', "# none")
    )
    assert (other.metrics.port, other.metrics.address) == (9100, ip_address("::"))
    assert other.pair.configuration_hash == plain.pair.configuration_hash


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ((GIVEN, 'address = "0.0.0.0"\n'), "metrics.address: 0.0.0.0: without effect; a port"),
        (('address = "127.0.0.1"', 'address = "alpha"'), 'metrics.address: "alpha": not an IP'),
        (("haagent.prom", "haagent.txt"), 'does not end in ".prom"'),
        (("port = 7073", "port = 0"), "metrics.port: 0: "),
        (('"15s"', '"0s"'), "out of range"),
    ],
)
def test_refused(site: Site, change: tuple[str, str], refusal: str) -> None:
    """What cannot be meant is refused with its key."""
    (line,) = site.refusal(change)
    assert refusal in line
