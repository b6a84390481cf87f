# SPDX-License-Identifier: GPL-2.0-or-later
"""The metrics say what the status says, in the form that Prometheus asks for."""

from __future__ import annotations

import subprocess
from typing import Any

from core.harness import active, standby
from status_bench import DEAD, settled

from haagent.core.events import SyncRead
from haagent.core.settings import S
from haagent.resources import Condition, Reading
from hil.scrape import sample, series
from metrics.figures_bench import figures, text

FAILOVER: dict[str, Any] = {
    "id": 7,
    "kind": "failover",
    "group": "web",
    "outcome": "completed",
    "phases": [{"name": "suspect", "ms": 400.0}, {"name": "active", "ms": 850.0}],
    "total_ms": 1250.0,
    "when": "2026-01-02T03:04:05.678+00:00",
}


def test_promtool_finds_nothing_to_say() -> None:
    """Names, types and help texts keep to the conventions, on a good day and on a bad one."""
    for scraped in (
        text(figures(settled(standby()))),
        text(figures(settled(active()), [FAILOVER], device=DEAD, up=False)),
    ):
        judged = subprocess.run(
            ["promtool", "check", "metrics"],
            input=scraped,
            capture_output=True,
            check=False,
            text=True,
        )
        assert (judged.returncode, judged.stdout + judged.stderr) == (0, "")


def test_a_good_day() -> None:
    """Condition, roles, links, devices: the same words as in the status."""
    known = series(text(figures(settled(standby()))))
    assert sample(known, "takeover_possible") == 1
    assert sample(known, "condition", condition="fine") == 1
    assert sample(known, "condition", condition="critical") == 0
    assert sample(known, "group_role", group="web", role="standby") == 1
    assert sample(known, "group_role", group="web", role="active") == 0
    assert sample(known, "group_term", group="web") == 0
    assert sample(known, "peer_state", state="alive") == 1
    assert sample(known, "heard_by_peer") == 1
    assert sample(known, "link_state", link="lan", state="up") == 1
    assert sample(known, "link_frames_received_total", link="lan") == 1000
    assert sample(known, "link_frames_lost_total", link="lan") == 7
    assert sample(known, "link_frames_sent_total", link="ring") == 42
    age_s = sample(known, "link_last_heard_age_seconds", link="lan")
    assert age_s is not None
    assert 0 <= age_s < 1
    assert sample(known, "fence_device_ready", device="alpha-bmc", level="1", node="alpha") == 1
    assert sample(known, "fence_device_power", device="alpha-bmc", power="on") == 1
    assert sample(known, "fence_device_reading_age_seconds", device="alpha-bmc") == 11
    assert sample(known, "frames_refused_total", kind="forged") == 0
    assert sample(known, "vip_announcements_total", interface="eth0") == 18
    assert sample(known, "fences_in_window") == 1
    assert sample(known, "fences_in_window_limit") == 3
    assert sample(known, "group_moves_in_window", group="web") == 2
    assert sample(known, "watchdog_armed") == 1
    assert sample(known, "hooks_dropped_total") == 3
    assert not [key for key in known if key[0] in {"haagent_alarm", "haagent_takeover_blocked"}]


def test_a_bad_day() -> None:
    """What is wrong has its series: alarms, reasons, findings, resources."""
    readings = {"db": Reading(Condition.FAILED, "no answer")}
    known = series(text(figures(settled(standby()), device=DEAD, up=False, readings=[readings])))
    assert sample(known, "takeover_possible") == 0
    assert sample(known, "condition", condition="critical") == 1
    assert sample(known, "takeover_blocked", reason="fence_not_ready") == 1
    assert sample(known, "alarm", code="link_lan") == 1
    assert sample(known, "link_state", link="lan", state="down") == 1
    assert sample(known, "fence_ready") == 0
    labels = {"device": "alpha-bmc", "finding": "unreachable", "blocks": "true"}
    assert sample(known, "fence_device_finding", **labels) == 1
    assert sample(known, "resource_state", group="web", resource="db", state="failed") == 1
    assert sample(known, "group_healthy", group="web") == 0


def test_commits_at_a_risk() -> None:
    """A holder whose commits go on alone without proof has a series of its own for it."""
    bench = active(sync=True, sync_wait_ns=3 * S, sync_continue=True)
    known = series(text(figures(settled(bench))))
    assert sample(known, "group_commits_at_risk", group="web") == 0
    bench.feed(SyncRead(0, 1, complete=False))
    bench.watch(4 * S)
    known = series(text(figures(bench)))
    assert sample(known, "group_commits_at_risk", group="web") == 1
    assert sample(known, "alarm", code="sync_risk_web") == 1


def test_failovers() -> None:
    """Histograms have the failover and its phases, and the last one is there with its time."""
    known = series(text(figures(settled(active()), [FAILOVER])))
    ended = {"group": "web", "kind": "failover", "outcome": "completed"}
    assert sample(known, "takeovers_total", **ended) == 1
    phase = {"phase": "suspect"}
    assert sample(known, "failover_phase_duration_seconds_bucket", le="0.25", **phase) == 0
    assert sample(known, "failover_phase_duration_seconds_bucket", le="0.5", **phase) == 1
    assert sample(known, "failover_phase_duration_seconds_sum", **phase) == 0.4
    kind = {"group": "web", "kind": "failover"}
    assert sample(known, "takeover_duration_seconds_count", **kind) == 1
    assert sample(known, "last_failover_duration_seconds", group="web") == 1.25
    assert sample(known, "last_failover_timestamp_seconds", group="web") == 1767323045.678


def test_the_last_proof() -> None:
    """The last time that the peer read off: in a failover, or measured in a drill or by hand."""

    def proved_s(records: list[dict[str, Any]], measured_unix_s: float | None) -> float | None:
        of = figures(settled(active()), records, measured_unix_s=measured_unix_s)
        return sample(series(text(of)), "fence_proved_timestamp_seconds")

    marked = FAILOVER | {"marks_ns": {"suspect": 1, "confirmed_off": 2}}
    assert proved_s([FAILOVER | {"marks_ns": {"suspect": 1}}], None) is None
    assert proved_s([marked], None) == 1767323045.678
    assert proved_s([marked], 1767323046.0) == 1767323046.0
    assert proved_s([marked], 1.0) == 1767323045.678


def test_what_is_not_known_is_left_out() -> None:
    """A peer never heard has no age, and a group without data no position: never a made-up zero."""
    known = series(text(figures(standby())))
    assert sample(known, "link_last_heard_age_seconds", link="ring") is None
    assert sample(known, "group_data_position", group="web") is None
    assert sample(known, "last_failover_timestamp_seconds", group="web") is None
