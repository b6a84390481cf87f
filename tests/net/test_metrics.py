# SPDX-License-Identifier: GPL-2.0-or-later
"""Prometheus' view of a real pair through a failover, held against what the observers saw."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from haagent.metrics.failovers import PHASES
from hil.agent import Agent, role
from hil.lab import Lab
from hil.machine import Machine
from hil.network import VIP
from hil.pair import Options
from hil.prometheus import watching
from hil.proof import taken_over
from hil.scrape import PORT, Series, sample, scrape, series
from hil.watch import orders, wait_standby

Roles = tuple[Machine, Machine]
LIMIT_S = 60.0
ALERTS = "/run/disk/alerts"
DOCS = Path(__file__).parents[2] / "docs" / "monitoring"
SELECTOR = re.compile(r"\b(?:haagent_\w+|up|node_\w+)(?:{[^}]*})?")
GRAFANAS = {"$instance": ".+", "$__rate_interval": "1m", "$__range": "6h"}
"""What Grafana puts in."""
ABSENT = {
    "node_textfile_mtime_seconds",  # node_exporter's own
    "haagent_witness_answer",  # this pair has no witness,
    'haagent_alarm{code="watchdog"}',  # asks for no watchdog,
    'haagent_alarm{code=~"drill_due_.*"}',  # has no drills to make,
    "haagent_drill_passed_timestamp_seconds",
    "haagent_takeover_blocked",  # and is sound
}
"""What a selector begins with that finds nothing in this pair."""
BLOCKED = "Why no takeover would work"
EMPTY = {"Refused datagrams", "Age of the last drill", BLOCKED}
"""Titles of the panels that show nothing of it."""
OPTIONS = Options(
    timing={"max_fences": 100, "fence_retry": "1s"},
    check_every="1s",
    tables=f"""
[metrics]
port = {PORT}
address = "0.0.0.0"
textfile = "/run/disk/haagent.prom"
textfile_every = "1s"

[[alert]]
name = "log"
command = ["/bin/sh", "-c", "echo $HAAGENT_STATE $HAAGENT_CODE >> {ALERTS}"]
severity = "info"
after = "500ms"

[[alert]]
name = "dead"
url = "https://203.0.113.99/"
severity = "info"
timeout = "2s"

[[group]]
name = "web"
preferred = "alpha"
[[group.vip]]
address = "{VIP}/24"
""",
)
FLOOD = """
import socket, sys, time
made, held, end_s = 0, [], time.monotonic() + 3
while made < 200 or time.monotonic() < end_s:
    client = socket.socket()
    client.settimeout(0.01)
    try:
        client.connect(("127.0.0.1", int(sys.argv[1])))
        client.send(b"GET /metrics HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
    except OSError:
        pass
    made, held = made + 1, [*held[-50:], client]
"""
"""For three seconds, and longer where these make no flood. Each is held for the next fifty."""
CPU_S_MAX = 0.7
"""Of the agent, for all of it, and 0.2 are used; one that serves it takes all that it can get."""
FAILOVER = {"group": "web", "kind": "failover"}
COMPLETED = {**FAILOVER, "outcome": "completed"}


def wait(machine: Machine, wanted: Callable[[Series], bool], what: str) -> Series:
    """Scrape until it is so."""
    end_s = time.monotonic() + LIMIT_S
    while not wanted(known := series(scrape(machine))):
        assert time.monotonic() < end_s, f"{machine.name}: {what}"
        threading.Event().wait(0.2)  # the agent offers nothing to wait for
    return known


def value(of: Series, name: str, **labels: str) -> float:
    """A sample that must be there."""
    found = sample(of, name, **labels)
    assert found is not None, name
    return found


def announcements(lab: Lab, machine: Machine) -> int:
    """How often the observer saw the machine announce the address."""
    seen = lab.observer.sightings()
    return len([e for e in seen if e["mac"] == machine.mac and e["kind"] == "announcement"])


def told(machine: Machine, *lines: str) -> None:
    """Wait until the machine's agent has told these, in this order, others between them."""
    file = machine.path(ALERTS)
    end_s = time.monotonic() + LIMIT_S
    while True:
        rest = iter(file.read_text().splitlines() if file.exists() else [])
        if all(line in rest for line in lines):
            return
        assert time.monotonic() < end_s, file.read_text() if file.exists() else "nothing"
        threading.Event().wait(0.1)  # a file offers nothing to wait for


def asked_by_rules() -> list[str]:
    """The expression of each alert."""
    text = (DOCS / "haagent.rules.yml").read_text()
    return re.findall(r"expr: >-\n +(.*)", text)


def asked_by_panels() -> list[tuple[str, str, str]]:
    """Title, expression and legend of each query of the dashboard, with Grafana's variables."""
    found = []
    for panel in json.loads((DOCS / "haagent.dashboard.json").read_text())["panels"]:
        for target in panel.get("targets", ()):
            expr = str(target["expr"])
            for variable, value in GRAFANAS.items():
                expr = expr.replace(variable, value)
            found.append((str(panel["title"]), expr, str(target.get("legendFormat", ""))))
    return found


def test_a_failover_as_prometheus_sees_it(lab: Lab, roles: Roles) -> None:
    """Roles, fences, announcements and times of the metrics are those that others saw."""
    active, standby = roles
    before = {
        machine.name: wait(
            machine,
            lambda known, role=role: sample(known, "group_role", group="web", role=role) == 1,  # type: ignore[misc]
            role,
        )
        for machine, role in zip(roles, ("active", "standby"), strict=True)
    }
    for known in before.values():
        assert value(known, "takeover_possible") == 1
        assert value(known, "fence_ready") == 1
        assert value(known, "configuration_agrees") == 1
        for link in ("lan", "ring"):
            assert value(known, "link_state", link=link, state="up") == 1
            assert value(known, "link_last_heard_age_seconds", link=link) < 0.4
    announced = announcements(lab, standby)
    standby.path(ALERTS).unlink(missing_ok=True)

    frozen = active.freeze()
    first_ns = taken_over(lab, active, standby, frozen.at_ns)
    wait_standby(active)
    after = wait(
        standby,
        lambda known: value(known, "failover_phase_duration_seconds_count", phase="peer_back") > 0,
        "the peer's return in the histogram",
    )
    was = before[standby.name]

    def rise(name: str, **labels: str) -> float:
        return value(after, name, **labels) - value(was, name, **labels)

    assert value(after, "group_role", group="web", role="active") == 1
    assert rise("group_term", group="web") == 1
    assert rise("takeovers_total", **COMPLETED) == 1
    offs = [order for _, order in orders(lab, frozen.at_ns, active) if order == "power_off"]
    assert rise("fence_attempts_total", outcome="confirmed_off") == len(offs) == 1
    assert rise("fences_in_window") == 1
    assert time.time() - value(after, "fence_proved_timestamp_seconds") < LIMIT_S
    took_s = rise("takeover_duration_seconds_sum", **FAILOVER)
    assert abs(took_s - value(after, "last_failover_duration_seconds", group="web")) < 1e-6
    # From the last frame, which came before the freeze, to an address that others can see.
    last_ns = lab.observer.last_beat_ns(active.mac, first_ns)
    assert last_ns is not None
    assert abs(took_s - (first_ns - last_ns) / 1e9) < 0.25
    until_active = PHASES[: PHASES.index("active") + 1]
    phases_s = [rise("failover_phase_duration_seconds_sum", phase=phase) for phase in until_active]
    assert abs(sum(phases_s) - took_s) < 1e-3
    # With a receiver beside it that is dead, as the status says.
    told(standby, "happened fenced", "happened failover")
    after = wait(
        standby, lambda known: sample(known, "alarm", code="alert_dead") == 1, "its receiver dead"
    )
    assert value(after, "alert_failed_tries_total", alert="dead") > 0
    assert value(after, "alert_dropped_total", alert="log") == 0
    (record,) = [one for one in Agent(standby).history()[-1:] if one["kind"] == "failover"]
    assert abs(record["total_ms"] / 1e3 - took_s) < 1e-6
    end_s = time.monotonic() + LIMIT_S
    while rise("vip_announcements_total", interface="eth0") != (
        announcements(lab, standby) - announced
    ):
        assert time.monotonic() < end_s, "the observer saw another number of announcements"
        after = series(scrape(standby))


def test_a_lost_link_as_prometheus_sees_it(lab: Lab, roles: Roles) -> None:
    """Age grows while a link is silent; what was lost on it is counted when it is back."""
    _, standby = roles
    before = wait(
        standby, lambda known: sample(known, "link_state", link="ring", state="up") == 1, "up"
    )
    lab.network.lose_from(lab.other(standby).name, "ring")
    silent = wait(
        standby,
        lambda known: value(known, "link_last_heard_age_seconds", link="ring") > 1.0,
        "the ring to be silent",
    )
    assert value(silent, "link_state", link="ring", state="degraded") == 1
    assert value(silent, "link_heard_by_peer", link="ring") == 1
    assert value(silent, "alarm", code="link_ring") == 1
    assert value(silent, "condition", condition="degraded") == 1
    told(standby, "raised link_ring")
    lab.network.heal()
    healed = wait(
        standby, lambda known: value(known, "link_state", link="ring", state="up") == 1, "healed"
    )

    told(standby, "raised link_ring", "cleared link_ring")

    def rise(name: str, link: str) -> float:
        return value(healed, name, link=link) - value(before, name, link=link)

    assert rise("link_frames_lost_total", "ring") >= 10, "a second's worth at least"
    assert rise("link_frames_lost_total", "lan") == 0
    sent = rise("link_frames_received_total", "ring") + rise("link_frames_lost_total", "ring")
    assert abs(sent - rise("link_frames_received_total", "lan")) <= 2


def test_beats_are_counted_as_the_observer_counts_them(lab: Lab, roles: Roles) -> None:
    """Frames received and sent on the LAN, between two scrapes, are those that passed there."""
    active, standby = roles

    def beats(machine: Machine, since_ns: int, until_ns: int) -> int:
        record = lab.observer.record.since(since_ns)
        return len(
            [
                e
                for e in record
                if e["what"] == "beat" and e["mac"] == machine.mac and e["at_ns"] <= until_ns
            ]
        )

    since_ns, first = time.monotonic_ns(), series(scrape(standby))
    threading.Event().wait(3.0)  # so that there is something to count
    until_ns, last = time.monotonic_ns(), series(scrape(standby))
    for name, machine in (("received", active), ("sent", standby)):
        counted = value(last, f"link_frames_{name}_total", link="lan") - value(
            first, f"link_frames_{name}_total", link="lan"
        )
        assert abs(counted - beats(machine, since_ns, until_ns)) <= 5, name
        assert counted > 20


def test_a_flood_of_scrapers_disturbs_nobody(lab: Lab, roles: Roles) -> None:
    """Connections to a real active as fast as they can be made: it beats on time."""
    active, standby = roles
    before = series(scrape(active))
    since_ns = time.monotonic_ns()
    active.run("nice", "-n", "19", sys.executable, "-c", FLOOD, str(PORT))
    after = wait(active, lambda known: known != before, "an answer after the flood")

    def rise(**labels: str) -> float:
        name = "loop_lateness_seconds_bucket"
        return value(after, name, **labels) - value(before, name, **labels)

    cpu = ("process_cpu_seconds_total", frozenset[tuple[str, str]]())
    assert after[cpu] - before[cpu] < CPU_S_MAX, "the flood was served, not turned away"
    assert rise(le="+Inf") > 20
    assert rise(le="0.25") == rise(le="+Inf"), "a turn of the loop was late"
    assert orders(lab, since_ns) == []
    changes = [
        one
        for one in standby.agent_events()
        if one["event"] == "pair.changed" and int(str(one["at_ns"])) > since_ns
    ]
    assert changes == [], "the standby missed the heartbeats"


def test_promtool_and_the_textfile_agree(roles: Roles) -> None:
    """A real scrape is lint-clean, and the file has the same metrics; it goes with the agent."""
    active, _ = roles
    scraped = scrape(active)
    judged = subprocess.run(
        ["promtool", "check", "metrics"], input=scraped, capture_output=True, check=False, text=True
    )
    assert (judged.returncode, judged.stdout + judged.stderr) == (0, "")
    written = active.path("/run/disk/haagent.prom").read_text()

    def names(text: str) -> set[str]:
        return {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")}

    assert names(written) == names(scraped)


def test_rules_and_dashboard_ask_for_what_there_is(lab: Lab, roles: Roles, tmp_path: Path) -> None:
    """A real Prometheus, through a failover, has data for everything that docs/monitoring asks for.

    No rule fails; each selector of a rule or a panel finds series, and each panel shows some, with
    every label of its legend; but for what must not be there. The failover's own rule fires.
    """
    active, standby = roles
    with watching((standby, active), DOCS / "haagent.rules.yml", tmp_path) as prometheus:
        prometheus.wait(len(roles))
        frozen = active.freeze()
        taken_over(lab, active, standby, frozen.at_ns)
        wait_standby(active)
        prometheus.until('ALERTS{alertname="HaagentFailover",alertstate="firing"}')
        prometheus.wait(len(roles))
        assert [rule for rule in prometheus.rules() if rule["health"] != "ok"] == []
        panels = asked_by_panels()
        asked = [*asked_by_rules(), *(expression for _, expression, _ in panels)]
        selectors = {one for expression in asked for one in SELECTOR.findall(expression)}
        assert len(selectors) > 40
        absent = {one for one in selectors if not prometheus.query(one)}
        assert {one for one in absent if not one.startswith(tuple(ABSENT))} == set()
        shown = {title: prometheus.query(expression) for title, expression, _ in panels}
        empty = {title for title, found in shown.items() if not found}
        # A takeover may have been blocked for a moment, and then that one has something to show.
        assert empty | {BLOCKED} == EMPTY
        for title, _, legend in panels:
            wanted = set(re.findall(r"{{(\w+)}}", legend))
            assert all(wanted <= set(one) for one in shown[title]), title


def test_the_log_names_the_group_it_is_about(build: Callable[[Options], Lab]) -> None:
    """What a group's own tasks log has its name, and what they lead to for the pair has none."""
    # Nobody is heard: every turn follows from the one that the group's first task began.
    pair = build(Options(timing={"lone_start": "fence", "lone_start_after": "2s"}))
    pair.power_on("alpha")
    alone = pair.machines["alpha"]
    Agent(alone).wait(lambda s: role(s) == "active", 3 * LIMIT_S, "active")
    of_group = ("resource.stopped", "resource.started", "group.changed")
    of_pair = ("agent.started", "pair.changed", "fence.device_answered")
    about: dict[str, set[object]] = {}
    end_s = time.monotonic() + LIMIT_S
    while not about.keys() >= {*of_group, *of_pair}:
        assert time.monotonic() < end_s, about
        for event in alone.agent_events():
            about.setdefault(str(event["event"]), set()).add(event.get("group"))
    assert all(about[name] == {"web"} for name in of_group), about
    assert all(about[name] == {None} for name in of_pair), about
    assert about["core.took"] == {"web", None}
