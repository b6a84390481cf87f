# SPDX-License-Identifier: GPL-2.0-or-later
"""Every metric with its name, its meaning and its labels. docs/monitoring.md lists them.

Names follow Prometheus' conventions (https://prometheus.io/docs/practices/naming/): base units, in
the plural, `_total` for what only rises. What has one of several states is one series for each of
them, 1 or 0, so that none vanishes. Ages and not times: no wall clock is believed here.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import get_args

from prometheus_client import ProcessCollector
from prometheus_client.metrics_core import Metric

from haagent import __version__
from haagent.core.phases import PairPhase
from haagent.core.wire import Refusal
from haagent.metrics.figures import Figures
from haagent.metrics.forms import Row, counter, gauge, histogram, one, present, seconds, states
from haagent.metrics.service_families import fences, groups, proofs, takeovers

CONDITIONS = ("fine", "degraded", "critical")
PEER_STATES = tuple(kind.__name__.lower() for kind in get_args(PairPhase))
LINK_STATES = ("up", "degraded", "down")

_process = ProcessCollector(registry=None)


def families(figures: Figures) -> Iterator[Metric]:
    """Each metric in turn; whoever asks may do something else between two."""
    return chain(
        _agent(figures),
        _peer(figures),
        _links(figures),
        _alerts(figures),
        fences(figures),
        proofs(figures),
        groups(figures),
        takeovers(figures),
        _process.collect(),
    )


def _agent(figures: Figures) -> Iterator[Metric]:
    status, counts = figures.status, figures.counts
    python = platform.python_version()
    rows: list[Row] = [((__version__, python), 1)]
    yield gauge("build_info", "What runs here.", ("version", "python"), rows)
    rows = [((status["cluster"], status["node"], status["peer"]), 1)]
    yield gauge("node_info", "Whose numbers these are.", ("cluster", "node", "peer"), rows)
    text = "What `haagent status` says: fine, degraded or critical."
    yield states("condition", text, "condition", CONDITIONS, status["condition"])
    possible = status["takeover"]["possible"]
    yield one("takeover_possible", "A takeover would work right now.", possible)
    reasons = {reason["code"] for reason in status["takeover"]["reasons"]}
    text = "Why a takeover would not work, one series for each reason that holds."
    yield present("takeover_blocked", text, "reason", reasons)
    text = "What a person should look at, one series for each alarm that stands."
    yield present("alarm", text, "code", {alarm["code"] for alarm in status["alarms"]})
    yield one("maintenance", "Automatic takeover is switched off.", status["maintenance"])
    nodes = (status["node"], status["peer"])
    rows = [((node,), node in status["standby_nodes"]) for node in nodes]
    yield gauge("node_standby", "An operator put that node on standby.", ("node",), rows)
    agrees = figures.configuration_agrees
    yield one("configuration_agrees", "Both nodes run the same configuration.", agrees)
    text = "How long after its deadline the loop turned to it."
    yield histogram("loop_lateness_seconds", text, (), [((), counts.lateness)])
    stall_s = status["stall_ms_max"] / 1e3
    yield one("stall_seconds", "Worst lateness of this agent of late.", stall_s)
    yield one("watchdog_armed", "A watchdog guards this machine.", figures.watchdog_armed)
    text = "Unfed for so long it resets the machine."
    yield one("watchdog_timeout_seconds", text, figures.watchdog_timeout_s or None)
    text = "Events that the black box did not record."
    lost = status["counters"].get("unrecorded", 0)
    yield counter("black_box_lost", text, (), [((), lost)])
    text = "Events that never got their hook."
    yield counter("hooks_dropped", text, (), [((), figures.hooks_dropped)])


def _peer(figures: Figures) -> Iterator[Metric]:
    peer = figures.status["peer_state"]
    text = "What is known of the peer."
    yield states("peer_state", text, "state", PEER_STATES, peer["phase"])
    text = "Since the peer's last frame, on any link."
    yield one("peer_last_heard_age_seconds", text, seconds(peer["heard_ms_ago"]))
    yield one("heard_by_peer", "The peer says that it hears this node.", peer["hears_us"])
    text = "Worst lateness of the peer's agent of late, as it says."
    yield one("peer_stall_seconds", text, seconds(peer["stall_ms"]))
    counts = figures.counts.frames
    told = figures.status["counters"]
    rows = [((kind.value,), told.get(f"refused_{kind.value}", 0)) for kind in Refusal]
    yield counter("frames_refused", "Datagrams that were not believed.", ("kind",), rows)
    text = "Frames that did not fit into the inbox."
    yield counter("frames_dropped", text, (), [((), counts["dropped"])])


def _alerts(figures: Figures) -> Iterator[Metric]:
    couriers = figures.couriers.items()

    def count(name: str, text: str, values: Iterable[int]) -> Metric:
        rows = [((alert,), value) for (alert, _), value in zip(couriers, values, strict=True)]
        return counter(name, text, ("alert",), rows)

    every = figures.couriers.values()
    text = "Notices that were delivered."
    yield count("alert_delivered", text, (one.delivered for one in every))
    text = "Tries to deliver a notice that failed."
    yield count("alert_failed_tries", text, (one.failed for one in every))
    text = "Notices that were given up, or pushed out of a full queue."
    yield count("alert_dropped", text, (one.dropped for one in every))
    rows: list[Row] = [((alert,), one.waiting) for alert, one in couriers]
    yield gauge("alert_waiting", "Notices that are not delivered yet.", ("alert",), rows)


def _links(figures: Figures) -> Iterator[Metric]:
    links = figures.status["links"]
    labels = ("link", "interface", "kind", "transport")
    rows = [(tuple(link[key] for key in ("name", *labels[1:])), 1) for link in links]
    yield gauge("link_info", "What each link is.", labels, rows)
    rows = [
        ((link["name"], state), link["state"] == state) for link in links for state in LINK_STATES
    ]
    text = "Up in both directions, degraded, or down here."
    yield gauge("link_state", text, ("link", "state"), rows)

    def each(name: str, text: str, key: str, factor: float = 1.0) -> Metric:
        rows = [((one["name"],), None if one[key] is None else one[key] * factor) for one in links]
        return gauge(name, text, ("link",), rows)

    text = "Since the peer's last frame on this link."
    yield each("link_last_heard_age_seconds", text, "heard_ms_ago", 1e-3)
    text = "The peer says that it hears this node on this link."
    yield each("link_heard_by_peer", text, "peer_hears_us")

    def count(name: str, text: str, values: Iterable[float]) -> Metric:
        rows = [((link["name"],), value) for link, value in zip(links, values, strict=True)]
        return counter(name, text, ("link",), rows)

    text = "The peer's frames that arrived and were believed."
    yield count("link_frames_received", text, (link["received"] for link in links))
    text = "The peer's frames that were missing between two that arrived."
    yield count("link_frames_lost", text, (link["lost"] for link in links))
    text = "Frames sent to the peer."
    yield count("link_frames_sent", text, (one.sent for one in figures.links))
    text = "Frames that could not be sent."
    yield count("link_send_errors", text, (one.send_failed for one in figures.links))
    text = "Frames that the kernel dropped because they were not fetched in time."
    yield count("link_receive_overruns", text, (one.receive_overrun for one in figures.links))
