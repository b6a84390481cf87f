# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands, each as its own process against a real control server."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_bench import RECORD, STATUS, CannedAgent, good, haagent, status

from haagent import __version__

PEER_GONE = {"code": "peer_not_there", "text": "the peer is not there (silent)"}
FENCE_LATE = {"code": "fence_not_ready", "text": "cannot fence: beta-bmc does not answer"}


def test_the_program_says_its_version() -> None:
    """`haagent --version` needs neither an agent nor a configuration."""
    ended = haagent("--version")
    assert (ended.returncode, ended.stdout) == (0, f"haagent {__version__}\n")


@pytest.mark.parametrize(
    ("data", "code", "first_line"),
    [
        (STATUS, 0, "Takeover possible: beta would take over from alpha right now."),
        (status(condition="degraded"), 1, "Takeover possible: "),
        (
            status(
                condition="critical",
                takeover={"possible": False, "reasons": [PEER_GONE, FENCE_LATE]},
            ),
            2,
            "NO TAKEOVER possible: the peer is not there (silent) (and 1 more)",
        ),
    ],
    ids=["fine", "degraded", "critical"],
)
def test_status_answers_first(
    tmp_path: Path, data: dict[str, Any], code: int, first_line: str
) -> None:
    """The first line says whether a takeover would work; the exit code says the same."""
    with CannedAgent(tmp_path / "socket", {"status": good(data)}):
        ended = haagent("status", socket=tmp_path / "socket")
    assert ended.returncode == code, ended.stderr
    assert ended.stdout.splitlines()[0].startswith(first_line)
    for word in ("web", "192.0.2.10/24", "lan", "beta-bmc", "1 d 1 h"):
        assert word in ended.stdout


def test_status_json_is_the_agents_own(tmp_path: Path) -> None:
    """--json prints the status as one line of JSON, unchanged."""
    with CannedAgent(tmp_path / "socket", {"status": good(STATUS)}) as agent:
        ended = haagent("status", "--json", "--socket", str(tmp_path / "socket"))
    assert json.loads(ended.stdout) == STATUS
    assert ended.returncode == 0
    assert agent.requests == [{"verb": "status"}]


def test_status_without_an_agent(tmp_path: Path) -> None:
    """Exit code 3 and one line, whether the socket is missing or stale."""
    ended = haagent("status", socket=tmp_path / "socket")
    assert ended.returncode == 3
    assert len(ended.stderr.splitlines()) == 1
    assert "not running" in ended.stderr


def test_status_watch_ends_with_the_last_exit_code(tmp_path: Path) -> None:
    """--watch repeats until interrupted; the process's exit code is the last status's."""
    with CannedAgent(tmp_path / "socket", {"status": good(status(condition="degraded"))}) as agent:
        command = [sys.executable, "-m", "haagent", "status", "--watch", "--json"]
        process = subprocess.Popen(
            [*command, "--socket", str(agent.path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        with process.stdout:
            lines = [process.stdout.readline() for _ in range(2)]
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 1
    assert [json.loads(line)["condition"] for line in lines] == ["degraded"] * 2


ORDERS = [
    (("switchover", "web"), {"verb": "switchover", "group": "web", "dry_run": False}),
    (("switchover",), {"verb": "switchover", "group": None, "dry_run": False}),
    (("switchover", "--dry-run"), {"verb": "switchover", "group": None, "dry_run": True}),
    (("maintenance", "on"), {"verb": "maintenance", "on": True}),
    (("maintenance", "off"), {"verb": "maintenance", "on": False}),
    (("standby",), {"verb": "standby", "node": None, "on": True}),
    (("standby", "beta"), {"verb": "standby", "node": "beta", "on": True}),
    (("unstandby", "beta"), {"verb": "standby", "node": "beta", "on": False}),
    (("group", "freeze", "web"), {"verb": "group", "group": "web", "what": "freeze"}),
    (("failover", "--accept-data-loss"), {"verb": "failover", "group": None}),
    (("failover", "web", "--accept-data-loss"), {"verb": "failover", "group": "web"}),
]


@pytest.mark.parametrize(("arguments", "request_"), ORDERS)
def test_orders_are_sent_as_agreed(
    tmp_path: Path, arguments: tuple[str, ...], request_: dict[str, Any]
) -> None:
    """Each order reaches the agent with its arguments; the agent's message is printed."""
    answers = {str(request_["verb"]): good(message="accepted")}
    with CannedAgent(tmp_path / "socket", answers) as agent:
        ended = haagent(*arguments, socket=agent.path)
    assert (ended.returncode, ended.stdout) == (0, "accepted\n")
    streams = {"stream": True} if request_["verb"] == "switchover" else {}
    assert agent.requests == [{**request_, **streams}]


@pytest.mark.parametrize("arguments", [("maintenance", "perhaps"), ("group", "burn", "web")])
def test_an_order_that_does_not_exist_is_wrong_usage(arguments: tuple[str, ...]) -> None:
    """Nobody is asked."""
    assert haagent(*arguments).returncode == 2


def test_lost_data_has_to_be_accepted_in_words(tmp_path: Path) -> None:
    """`failover` alone does nothing: what it costs must be said."""
    with CannedAgent(tmp_path / "socket", {}) as agent:
        ended = haagent("failover", "web", socket=agent.path)
    assert ended.returncode == 1
    assert "--accept-data-loss" in ended.stderr
    assert agent.requests == []


def test_a_switchover_is_shown_as_it_happens(tmp_path: Path) -> None:
    """Each change of a role is a line with its time, in the agent's order; then the end."""
    told: list[dict[str, object]] = [
        {"group": "web", "node": "alpha", "role": "releasing", "before": "active"},
        {"group": "web", "node": "beta", "role": "active", "before": "taking_over"},
    ]
    with CannedAgent(tmp_path / "socket", {"switchover": good(message="web: active")}) as agent:
        agent.progress = [*told]
        ended = haagent("switchover", socket=agent.path)
        assert ended.returncode == 0, ended.stderr
        first, second, last = ended.stdout.splitlines()
        assert first.endswith(" s  web: releasing on alpha")
        assert second.endswith(" s  web: active on beta")
        assert last == "web: active"
        ended = haagent("switchover", "--json", socket=agent.path)
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert lines == [*told, good(message="web: active")]


def test_a_refused_order_is_an_error(tmp_path: Path) -> None:
    """The agent's reason goes to stderr, with exit code 1."""
    refusal = {"ok": False, "message": "no group of that name", "data": None}
    with CannedAgent(tmp_path / "socket", {"switchover": refusal}) as agent:
        ended = haagent("switchover", "mail", socket=agent.path)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "haagent: no group of that name\n"


def test_confirm_off_wants_the_peers_name(tmp_path: Path) -> None:
    """Only the peer's name, typed, lets the order go; a wrong name or none sends nothing."""
    answers = {"status": good(STATUS), "confirm-off": good(message="taken as off")}
    with CannedAgent(tmp_path / "socket", answers) as agent:
        for typed in ("alpha\n", "yes\n", ""):
            assert haagent("confirm-off", socket=agent.path, typed=typed).returncode == 1
        assert all(request["verb"] == "status" for request in agent.requests)
        assert haagent("confirm-off", socket=agent.path, typed="beta\n").returncode == 0
        assert agent.requests[-1] == {"verb": "confirm-off", "peer": "beta", "force": False}
        assert haagent("confirm-off", "--yes", "--force", socket=agent.path).returncode == 0
        assert agent.requests[-1] == {"verb": "confirm-off", "peer": "beta", "force": True}


def test_history(tmp_path: Path) -> None:
    """Each role change is shown with its phases; --json gives the records."""
    with CannedAgent(tmp_path / "socket", {"history": good([RECORD])}) as agent:
        ended = haagent("history", "-n", "3", socket=agent.path)
        assert ended.returncode == 0, ended.stderr
        assert "#4  2026-11-22T03:00:00+00:00  failover of web to beta  completed" in ended.stdout
        assert "silence 1000 ms > fence 2100 ms" in ended.stdout
        assert agent.requests == [{"verb": "history", "limit": 3}]
        assert json.loads(haagent("history", "--json", socket=agent.path).stdout) == [RECORD]


def test_keygen_makes_a_private_key_and_keeps_it(tmp_path: Path) -> None:
    """32 random bytes as hexadecimal text, mode 0600, never the same, never overwritten."""
    first, second = tmp_path / "key.1", tmp_path / "key.2"
    for path in (first, second):
        assert haagent("keygen", str(path)).returncode == 0
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert len(bytes.fromhex(path.read_text())) == 32
    before = first.read_text()
    assert before != second.read_text()
    again = haagent("keygen", str(first))
    assert (again.returncode, first.read_text()) == (1, before)
    assert "never overwritten" in again.stderr


def test_check_config_and_run_refuse_with_78(tmp_path: Path) -> None:
    """A bad file ends both with exit code 78 and only the lines that say why."""
    path = tmp_path / "haagent.toml"
    path.write_text('cluster = "shop"\n')
    for arguments in (("check-config", str(path)), ("run", "--config", str(path))):
        ended = haagent(*arguments)
        assert (ended.returncode, ended.stdout) == (78, "")
        assert all(line.startswith(f"{path}: ") for line in ended.stderr.splitlines())
        assert len(ended.stderr.splitlines()) == 5


def test_status_help_tells_the_exit_codes() -> None:
    """--help documents what a monitoring system relies on."""
    text = " ".join(haagent("status", "--help").stdout.split())
    for meaning in ("0 fine", "1 degraded", "2 no takeover is possible", "3 the agent is not"):
        assert meaning in text


def test_assertions_cannot_be_switched_off() -> None:
    """Running with `python -O` is refused: assertions guard the agent's safety."""
    ended = subprocess.run(
        [sys.executable, "-O", "-m", "haagent", "status"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert "assertions" in ended.stderr


def test_client_commands_leave_the_agent_alone() -> None:
    """`status` starts fast: no part of the agent is imported for it."""
    code = (
        "import sys; import haagent.cli.app;"
        "print([name for name in sys.modules if name.startswith(('haagent', 'fencing', 'rich.'))])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = ended.stdout
    for heavy in ("haagent.agent", "haagent.config", "haagent.control", "fencing", "rich.table"):
        assert f"'{heavy}" not in loaded
