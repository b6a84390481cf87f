# SPDX-License-Identifier: GPL-2.0-or-later
"""Alert rules and dashboard of docs/monitoring, as Prometheus itself judges them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[3] / "docs" / "monitoring"
RULES = FOLDER / "haagent.rules.yml"
DASHBOARD = FOLDER / "haagent.dashboard.json"
ALERTS = re.findall(r"- alert: (\w+)", RULES.read_text())

INTERVAL_S = 15
ONCE = "0x4 1x2000"
"""A counter that rises by one after a minute."""
ROLE = 'haagent_group_role{role="active",group="web",'
LATE = 'haagent_loop_lateness_seconds_bucket{instance="alpha",'
VARIABLES = {"$instance": ".+", "$__rate_interval": "1m", "$__range": "6h"}
"""What Grafana puts in."""
Series = Mapping[str, str]
FIRES: Mapping[str, tuple[Series, int]] = {
    "HaagentDown": ({'up{job="haagent",instance="alpha"}': "0x2000"}, 2),
    "HaagentTextfileOld": ({'node_textfile_mtime_seconds{file="/a/haagent.prom"}': "0x2000"}, 5),
    "HaagentTakeoverImpossible": ({'haagent_takeover_possible{instance="alpha"}': "0x2000"}, 2),
    "HaagentGroupActiveNowhere": (
        {ROLE + 'instance="alpha"}': "0x2000", ROLE + 'instance="beta"}': "0x2000"},
        2,
    ),
    "HaagentGroupActiveTwice": (
        {ROLE + 'instance="alpha"}': "1x2000", ROLE + 'instance="beta"}': "1x2000"},
        2,
    ),
    "HaagentFenceUnconfirmed": ({'haagent_fence_attempts_total{outcome="unknown"}': ONCE}, 3),
    "HaagentFencesUsedUp": (
        {"haagent_fences_in_window": "3x2000", "haagent_fences_in_window_limit": "3x2000"},
        1,
    ),
    "HaagentCommitsAtRisk": ({'haagent_group_commits_at_risk{group="web"}': "1x2000"}, 1),
    "HaagentFailover": (
        {'haagent_takeovers_total{kind="failover",outcome="completed",group="web"}': ONCE},
        3,
    ),
    "HaagentFenceDeviceNotReady": ({'haagent_fence_device_ready{device="a"}': "0x2000"}, 6),
    "HaagentFenceReadingOld": (
        {'haagent_fence_device_reading_age_seconds{device="a"}': "301x2000"},
        6,
    ),
    "HaagentLinkDegraded": ({'haagent_link_state{link="lan",state="up"}': "0x2000"}, 2),
    "HaagentLinkLoss": (
        {
            'haagent_link_frames_lost_total{link="lan"}': "0+10x2000",
            'haagent_link_frames_received_total{link="lan"}': "0+140x2000",
        },
        7,
    ),
    "HaagentConfigurationDiffers": ({"haagent_configuration_agrees": "0x2000"}, 6),
    "HaagentGroupRestless": (
        {
            'haagent_group_moves_in_window{group="web"}': "6x2000",
            'haagent_group_moves_in_window_limit{group="web"}': "6x2000",
        },
        1,
    ),
    "HaagentResourceFailed": ({'haagent_resource_state{state="failed"}': "1x2000"}, 2),
    "HaagentLate": (
        {
            LATE + 'le="0.1"}': "0x2000",
            LATE + 'le="0.5"}': "0+9x2000",
            LATE + 'le="+Inf"}': "0+9x2000",
        },
        7,
    ),
    "HaagentFramesRefused": ({'haagent_frames_refused_total{kind="forged"}': "0+15x2000"}, 7),
    "HaagentAnnouncementsFail": (
        {'haagent_vip_announcement_errors_total{interface="eth0"}': "0+1x2000"},
        7,
    ),
    "HaagentAlertsDropped": ({'haagent_alert_dropped_total{alert="pager"}': ONCE}, 3),
    "HaagentUnguarded": ({'haagent_alarm{code="watchdog"}': "1x2000"}, 11),
    "HaagentWitnessAway": (
        {'haagent_witness_answer{answer="yes",witness="quorum"}': "0x2000"},
        6,
    ),
    "HaagentDrillDue": ({'haagent_alarm{code="drill_due_crash"}': "1x2000"}, 61),
    "HaagentMaintenance": ({"haagent_maintenance": "1x2000"}, 241),
    "HaagentDegraded": ({'haagent_condition{condition="fine"}': "0x2000"}, 31),
}
"""For each alert: series in which it must fire, and after how many minutes."""
QUIET: Series = {
    'up{job="haagent",instance="alpha"}': "1x2000",
    'node_textfile_mtime_seconds{file="/a/haagent.prom"}': "0+15x2000",
    'haagent_takeover_possible{instance="alpha"}': "1x2000",
    'haagent_takeover_possible{instance="gamma"}': "0x2000",
    'haagent_maintenance{instance="gamma"}': "1x200 0x1800",
    ROLE + 'instance="alpha"}': "1x2000",
    ROLE + 'instance="beta"}': "0x2000",
    'haagent_group_role{role="active",group="shut",instance="alpha"}': "0x2000",
    'haagent_group_stopped{group="shut",instance="alpha"}': "1x2000",
    'haagent_fence_attempts_total{outcome="unknown"}': "3x2000",
    'haagent_fence_attempts_total{outcome="confirmed_off"}': ONCE,
    "haagent_fences_in_window": "2x2000",
    "haagent_fences_in_window_limit": "3x2000",
    'haagent_group_commits_at_risk{group="web"}': "0x2000",
    'haagent_takeovers_total{kind="failover",outcome="completed"}': "1x2000",
    'haagent_takeovers_total{kind="switchover",outcome="completed"}': "0+1x2000",
    'haagent_fence_device_ready{device="a"}': "1x20 0x10 1x1970",
    'haagent_fence_device_reading_age_seconds{device="a"}': "30x2000",
    'haagent_link_state{link="lan",state="up"}': "1x20 0x2 1x1978",
    'haagent_link_frames_lost_total{link="lan"}': "0+1x2000",
    'haagent_link_frames_received_total{link="lan"}': "0+149x2000",
    "haagent_configuration_agrees": "1x20 0x10 1x1970",
    'haagent_group_moves_in_window{group="web"}': "5x2000",
    'haagent_group_moves_in_window_limit{group="web"}': "6x2000",
    'haagent_resource_state{state="failed"}': "0x2000",
    LATE + 'le="0.1"}': "0+9x2000",
    LATE + 'le="+Inf"}': "0+9x2000",
    'haagent_frames_refused_total{kind="forged"}': "7x2000",
    'haagent_frames_refused_total{kind="wrong_link"}': "0+50x2000",
    'haagent_vip_announcement_errors_total{interface="eth0"}': "4x2000",
    'haagent_alert_dropped_total{alert="pager"}': "4x2000",
    'haagent_witness_answer{answer="yes",witness="quorum"}': "1x2000",
    'haagent_condition{condition="fine"}': "1x2000",
}
"""A day on which nobody is to be called, with all the small things that happen on one."""


def promtool(*words: str | Path) -> str:
    """What it says when it is content; fails with what it says when it is not."""
    done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def firing(folder: Path, series: Series, minutes: int, alert: str, wanted: int) -> None:
    """Hold what fires after so many minutes of these series against what should."""
    expression = f'count(ALERTS{{alertname=~"{alert}",alertstate="firing"}})'
    samples = [{"labels": "{}", "value": wanted}] if wanted else []
    check = {"expr": expression, "eval_time": f"{minutes}m", "exp_samples": samples}
    test: dict[str, Any] = {
        "rule_files": [str(RULES)],
        "evaluation_interval": f"{INTERVAL_S}s",
        "tests": [
            {
                "interval": f"{INTERVAL_S}s",
                "input_series": [{"series": s, "values": v} for s, v in series.items()],
                "promql_expr_test": [check],
            }
        ],
    }
    file = folder / "test.yml"
    file.write_text(json.dumps(test))  # JSON is YAML.
    promtool("test", "rules", file)


def test_promtool_accepts_the_rules() -> None:
    """Each is well-formed, and none is there twice."""
    assert f"{len(ALERTS)} rules found" in promtool("check", "rules", RULES)
    assert sorted(ALERTS) == sorted(set(ALERTS))


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_fires(tmp_path: Path, alert: str) -> None:
    """It fires in time when what it is about happens."""
    series, minutes = FIRES[alert]
    firing(tmp_path, series, minutes, alert, 1)


def test_nobody_is_called_for_nothing(tmp_path: Path) -> None:
    """On a quiet day no alert fires: not for maintenance, a stopped group, or what is soon over."""
    for minutes in (2, 4, 9, 45):
        firing(tmp_path, QUIET, minutes, ".*", 0)


def test_the_page_lists_them() -> None:
    """With the severity and the time that each has."""
    page = (FOLDER.parent / "monitoring.md").read_text()
    for rule in RULES.read_text().split("- alert: ")[1:]:
        severity = re.search(r"severity: (\w+)", rule)
        after = re.search(r"for: (\S+)", rule)
        assert severity is not None
        row = f"| `{rule.split()[0]}` | {severity[1]} | {after[1] if after else 'at once'} |"
        assert row in page


def panels() -> list[dict[str, Any]]:
    """Of the dashboard, the rows left out."""
    found = json.loads(DASHBOARD.read_text())["panels"]
    return [panel for panel in found if panel["type"] != "row"]


def test_the_dashboard_asks_what_prometheus_understands(tmp_path: Path) -> None:
    """Every expression in it is one, once Grafana has put its variables in."""
    asked = [target["expr"] for panel in panels() for target in panel["targets"]]
    assert len(asked) > 15
    rules = [
        {"record": f"panel:{number}", "expr": _filled(expression)}
        for number, expression in enumerate(asked)
    ]
    file = tmp_path / "dashboard.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(asked)} rules found" in promtool("check", "rules", file)


def _filled(expression: str) -> str:
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    return expression


def test_the_dashboard_is_whole() -> None:
    """Ids are unique, panels do not overlap, and each says what it shows and asks its source."""
    whole = json.loads(DASHBOARD.read_text())
    ids = [panel["id"] for panel in whole["panels"]]
    assert len(ids) == len(set(ids))
    covered: set[tuple[int, int]] = set()
    for panel in whole["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert covered.isdisjoint(cells), panel["title"]
        assert max(x for x, _ in cells) < 24, panel["title"]
        covered |= cells
    for panel in panels():
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}", panel["title"]
