# SPDX-License-Identifier: GPL-2.0-or-later
"""`haagent doctor` tells what is wrong with the file, the machine and the pair, and what to do.

In an empty network namespace, so that nothing is sent to the networks of the machine it runs on;
whole pairs are examined in tests/net/test_doctor.py.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_bench import STATUS, CannedAgent, good, haagent, status

from haagent.cli.doctor import exit_of
from haagent.cli.verdict import Exit
from haagent.doctor import bad, ok, unknown, warning

sys.path.insert(0, str(Path(__file__).parents[1]))
from config_bench import Site, example, with_groups

ALONE = ("unshare", "--net")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Keys and passwords in place."""
    return Site(tmp_path)


def ask(
    site: Site, text: str, data: dict[str, Any] | None = STATUS, *options: str
) -> tuple[int, str]:
    """Exit code and lines, for a file with this text beside an agent with that status."""
    site.file.write_text(text)
    socket = site.folder / "socket"
    command = ("doctor", "--config", str(site.file), "--node", "alpha", "--listen", "0.1", *options)
    if data is None:
        ended = haagent(*command, socket=socket, prefix=ALONE)
    else:
        with CannedAgent(socket, {"status": good(data)}):
            ended = haagent(*command, socket=socket, prefix=ALONE)
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended.returncode, ended.stdout


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ([ok("a", "b")], Exit.FINE),
        ([ok("a", "b"), unknown("a", "b")], Exit.FINE),
        ([ok("a", "b"), warning("a", "b", "c"), unknown("a", "b")], Exit.DEGRADED),
        ([bad("a", "b", "c"), warning("a", "b", "c")], Exit.CRITICAL),
    ],
)
def test_exit_codes(lines: list[Any], code: Exit) -> None:
    """The worst line decides; what cannot be told counts neither way."""
    assert exit_of(lines) is code


def test_every_fault_is_a_line_with_its_remedy(site: Site) -> None:
    """A file that is refused, an agent that does not run: exit code 2, and what to do."""
    code, said = ask(site, example().replace('kind = "direct"', 'kind = "drect"'), None)
    assert code == 2
    assert "BAD      configuration: " in said
    assert "link.ring.kind" in said
    assert "not running" in said
    assert "-> systemctl enable --now haagent" in said


def test_what_the_machine_refuses_is_bad(site: Site) -> None:
    """As check-config: here a stop program that is not on this node."""
    commands = "".join(f'{word} = ["/nonexistent"]\n' for word in ("start", "stop", "monitor"))
    group = (
        '[[group]]\nname = "web"\n[[group.resource]]\nkind = "command"\nname = "app"\n'
        f'{commands}[[group.vip]]\naddress = "192.0.2.10/24"\n'
    )
    code, said = ask(site, with_groups(group))
    assert code == 2
    assert any(
        line.startswith("BAD") and "group.web.resource.app.stop" in line
        for line in said.splitlines()
    )


def test_alarms_and_reasons_of_the_agent(site: Site) -> None:
    """What the running agent knows of the pair stands with the rest, and nothing twice."""
    late = {"code": "late", "text": "this agent was late", "since_s": 3}
    link = {"code": "link_lan", "text": "told by a line of its own", "since_s": 3}
    _, said = ask(site, example(), status(alarms=[late, link]))
    assert "warning  alarm: this agent was late (late)" in said
    assert "told by a line of its own" not in said
    reason = {"code": "fence_not_ready", "text": "cannot fence"}
    code, said = ask(site, example(), status(takeover={"possible": False, "reasons": [reason]}))
    assert code == 2
    assert "BAD      takeover: cannot fence (fence_not_ready)" in said


def test_a_machine_without_its_networks(site: Site) -> None:
    """Interfaces that are not there are named, for links and for addresses."""
    code, said = ask(site, example().replace('"eth0"', '"nic7"'))
    assert code == 2
    assert "BAD      link lan: there is no interface nic7" in said
    assert "BAD      address 192.0.2.10: there is no interface nic7" in said


def test_json_and_bundle(site: Site) -> None:
    """The same lines, for programs, and in an archive for a bug report."""
    target = site.folder / "report.tar.gz"
    code, said = ask(site, example(), STATUS, "--json", "--bundle", str(target))
    lines = json.loads(said)
    assert code == 2
    assert {"ok", "BAD", "unknown"} <= {line["verdict"] for line in lines}
    assert set(lines[0]) == {"verdict", "what", "text", "remedy"}
    assert {"configuration", "agent", "takeover", "disk", "realtime", "watchdog", "last proof"} <= {
        line["what"] for line in lines
    }
    assert target.stat().st_size > 1000
