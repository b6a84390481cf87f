# SPDX-License-Identifier: GPL-2.0-or-later
"""`haagent doctor` tells what is wrong with the file, the machine and the pair, and what to do."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_bench import STATUS, CannedAgent, good, haagent, status

sys.path.insert(0, str(Path(__file__).parents[1]))
from config_bench import Site, example, with_groups


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Keys and passwords in place."""
    return Site(tmp_path)


def ask(site: Site, text: str, data: dict[str, Any] | None = STATUS) -> tuple[int, list[str]]:
    """Exit code and lines, for a file with this text beside an agent with that status."""
    site.file.write_text(text)
    socket = site.folder / "socket"
    command = ("doctor", "--config", str(site.file), "--node", "alpha")
    if data is None:
        ended = haagent(*command, socket=socket)
    else:
        with CannedAgent(socket, {"status": good(data)}):
            ended = haagent(*command, socket=socket)
    assert not ended.stderr, ended.stderr
    return ended.returncode, ended.stdout.splitlines()


def test_all_is_well(site: Site) -> None:
    """Exit code 0 and nothing but lines that say ok."""
    code, lines = ask(site, example())
    assert code == 0, lines
    assert {line.split()[0] for line in lines} == {"ok"}
    assert any("takeover: would work right now" in line for line in lines)


def test_every_fault_is_a_line_with_its_remedy(site: Site) -> None:
    """A file that is refused, an agent that does not run: exit code 2, and what to do."""
    code, lines = ask(site, example().replace('kind = "direct"', 'kind = "drect"'), None)
    assert code == 2
    assert any(line.startswith("BAD") and "link.ring.kind" in line for line in lines)
    assert any("not running" in line and "systemctl start haagent" in line for line in lines)


def test_what_the_machine_refuses_is_bad(site: Site) -> None:
    """As check-config: here a stop program that is not on this node."""
    commands = "".join(f'{word} = ["/nonexistent"]\n' for word in ("start", "stop", "monitor"))
    group = (
        '[[group]]\nname = "web"\n[[group.resource]]\nkind = "command"\nname = "app"\n'
        f'{commands}[[group.vip]]\naddress = "192.0.2.10/24"\n'
    )
    code, lines = ask(site, with_groups(group))
    assert code == 2
    assert any(line.startswith("BAD") and "group.web.resource.app.stop" in line for line in lines)


def test_alarms_and_reasons_of_the_agent(site: Site) -> None:
    """What the running agent knows of the pair stands with the rest."""
    alarmed = status(alarms=[{"code": "late", "text": "this agent was late", "since_s": 3}])
    assert ask(site, example(), alarmed)[0] == 1
    reason = {"code": "fence_not_ready", "text": "cannot fence"}
    blocked = status(takeover={"possible": False, "reasons": [reason]})
    code, lines = ask(site, example(), blocked)
    assert code == 2
    assert "BAD      takeover: cannot fence (fence_not_ready)" in lines


def test_json(site: Site) -> None:
    """The same lines, for programs."""
    site.file.write_text(example())
    socket = site.folder / "socket"
    with CannedAgent(socket, {"status": good(STATUS)}):
        ended = haagent(
            "doctor", "--config", str(site.file), "--node", "alpha", "--json", socket=socket
        )
    lines = json.loads(ended.stdout)
    assert {line["verdict"] for line in lines} == {"ok"}
    assert {"configuration", "machine", "agent", "takeover"} == {line["what"] for line in lines}
