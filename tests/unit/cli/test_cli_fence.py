# SPDX-License-Identifier: GPL-2.0-or-later
"""`haagent fence` against real BMCs, beside a real control server or without one."""

from __future__ import annotations

import json
import re
import shlex
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cli_bench import STATUS, CannedAgent, good, haagent, status

from fencing.console import exits
from fencing.console.exits import Exit
from haagent.cli.fence import USAGE
from hil.bmc import IpmiSim
from hil.person import Person
from hil.ports import free_port

PAGE = Path(__file__).parents[3] / "docs" / "fencing-console.md"
FENCE = """
[[fence]]
name = "{node}-bmc"
node = "{node}"
driver = "ipmi"
address = "127.0.0.1"
user = "{bmc.user}"
password_file = "password"
off_settle = "0s"
deadline = "5s"
options = {{ port = {bmc.port} }}
"""
THERE = status(
    groups=[
        {**STATUS["groups"][0], "role": "standby", "peer_role": "active"},
        {**STATUS["groups"][0], "name": "db", "role": "active", "peer_role": None},
    ]
)
TAKEN = {"status": good(STATUS), "fence-proof": good(message="the peer counts as off")}


@dataclass(frozen=True, slots=True)
class Site:
    """Two nodes with a BMC each, their configuration, and where the agent of alpha listens."""

    folder: Path
    file: Path
    alpha: IpmiSim
    beta: IpmiSim

    @property
    def socket(self) -> Path:
        """The control socket."""
        return self.folder / "control.sock"

    def options(self) -> list[str]:
        """Who and where we are."""
        return ["--config", str(self.file), "--node", "alpha", "--socket", str(self.socket)]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `haagent fence` with nobody at the terminal."""
        return haagent("fence", *arguments, *self.options())

    def told(self, *arguments: str) -> dict[str, Any]:
        """Run it with --json."""
        done = self.run(*arguments, "--json")
        found = json.loads(done.stdout)
        assert isinstance(found, dict)
        assert found["exit"] == done.returncode
        return found

    def person(self, *arguments: str) -> Person:
        """Run it at a terminal."""
        command = [sys.executable, "-m", "haagent", "fence", *arguments, *self.options()]
        return Person(command)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site whose BMCs are up and whose agent is not."""
    alpha, beta = (IpmiSim(tmp_path / name, port=free_port()) for name in ("alpha", "beta"))
    alpha.guid = UUID(int=beta.guid.int + 1)
    secret = tmp_path / "password"
    secret.touch(mode=0o600)
    secret.write_text(f"{beta.password}\n")
    file = tmp_path / "haagent.toml"
    file.write_text(FENCE.format(node="alpha", bmc=alpha) + FENCE.format(node="beta", bmc=beta))
    with alpha, beta:
        yield Site(tmp_path, file, alpha, beta)


def test_the_proof_goes_to_the_agent(site: Site) -> None:
    """A proved off is offered with its moment and measurements; the agent's answer is shown."""
    before_ns = time.monotonic_ns()
    with CannedAgent(site.socket, TAKEN) as agent:
        done = site.run("off", "--yes")
    assert done.returncode == 0
    assert done.stdout == (
        "beta: proved off, by beta-bmc (level 1); haagent takes the proof: the peer counts as off\n"
    )
    asked, offered = agent.requests
    assert asked == {"verb": "status"}
    assert (offered["verb"], offered["peer"]) == ("fence-proof", "beta")
    assert before_ns < offered["read_ns"] < time.monotonic_ns()
    (shot,) = offered["shots"]
    assert shot["device"] == "beta-bmc"
    assert before_ns < shot["ordered_ns"] < shot["first_off_ns"] <= offered["read_ns"]


def test_a_refused_proof(site: Site) -> None:
    """The agent's refusal is shown with its reason and has a code: something needs a person."""
    refusal = {"ok": False, "message": "refused: frames of the peer arrived", "data": None}
    with CannedAgent(site.socket, {**TAKEN, "fence-proof": refusal}):
        told = site.told("off", "--yes")
    assert told["exit"] == Exit.ATTENTION
    assert told["proof"]["accepted"] is False
    assert "REFUSES THE PROOF and takes nothing over: refused: frames" in told["message"]


def test_cycle_offers_before_it_gives_the_power_back(site: Site) -> None:
    """The agent has the proof, and has answered, while the power is still off."""
    power_at_offer: list[str] = []

    class Watching(CannedAgent):
        async def _answer(self, request: Any, tell: Any) -> Any:
            if request["verb"] == "fence-proof":
                power_at_offer.append(site.beta.power)
                power_at_offer.append(str(any("set power 1" in line for line in site.beta.log)))
            return await super()._answer(request, tell)

    with Watching(site.socket, TAKEN):
        told = site.told("cycle", "--yes")
    assert (told["exit"], power_at_offer) == (0, ["off", "False"])
    words = [step["text"] for step in told["steps"]]
    assert words.index("haagent takes the proof: the peer counts as off") < words.index(
        "the power stays off for 5 s"
    )
    assert site.beta.power == "on"


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (
            STATUS,
            ["holds beta (it is alive) as: web standby.", "beta serves nothing; nobody stands"],
        ),
        (
            THERE,
            [
                "holds beta (it is alive) as: web active, db unknown.",
                "beta SERVES web: that stops now.",
                "Whether beta serves db is not known.",
                "alpha is to take over when beta is proved off.",
            ],
        ),
        (
            status(
                maintenance=True,
                takeover={"possible": False, "reasons": [{"code": "x", "text": "no disk"}]},
            ),
            ["Maintenance is on.", "At present NO TAKEOVER is possible: no disk."],
        ),
        (status(node="gamma", peer="delta"), ["watches delta and knows nothing of beta."]),
    ],
    ids=["standby", "active", "no takeover", "another pair"],
)
def test_what_the_shot_means(site: Site, data: dict[str, Any], lines: list[str]) -> None:
    """Before it asks, it says what the agent holds the peer as, and what a shot means."""
    with CannedAgent(site.socket, {"status": good(data)}), site.person("off") as person:
        shown = " ".join(person.see("Type the node's name to do it (beta): ").split())
        person.type("no\n")
        assert person.wait() == Exit.NOT_ORDERED
    for line in lines:
        assert line in shown
    assert site.beta.log == ()


def test_roles_in_json(site: Site) -> None:
    """A program finds the roles from before the shot."""
    with CannedAgent(site.socket, {**TAKEN, "status": good(THERE)}):
        assert site.told("off", "--yes")["roles"] == {"web": "active", "db": "unknown"}
        assert site.told("on")["roles"] is None


def test_without_an_agent(site: Site) -> None:
    """No agent: it says that nobody knows, fences, and tells that nobody was shown the proof."""
    done = site.run("off", "--yes")
    assert done.returncode == 0
    assert "nobody here knows whether beta serves now" in done.stderr
    assert "the proof was shown to nobody: the agent is not running" in done.stdout
    assert site.beta.power == "off"


def test_an_agent_that_hangs(site: Site) -> None:
    """An agent that takes connections and never answers holds the fence up for seconds only."""
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(site.socket))
        mute.listen()
        told = site.told("off", "--yes")
    assert told["exit"] == 0
    assert told["proof"]["accepted"] is None
    assert "whether the agent takes the proof is not known" in told["message"]


def test_a_part_of_a_level_is_offered_to_nobody(site: Site) -> None:
    """S2 b: what a part of a level reads never reaches the agent."""
    text = site.file.read_text() + FENCE.format(node="beta", bmc=site.alpha)
    text = text.replace('node = "alpha"', 'node = "beta"').replace('"beta-bmc"', '"beta-a"', 1)
    site.file.write_text(text.rpartition("[[fence]]")[0])
    with CannedAgent(site.socket, TAKEN) as agent:
        arguments = ("off", "beta", "--yes", "--json", "--this-node", "--device", "beta-a")
        command = (*arguments, "--config", str(site.file), "--socket", str(site.socket))
        done = haagent("fence", *command)
    assert done.returncode == Exit.ATTENTION, done.stderr
    assert json.loads(done.stdout)["proof"] is None
    assert all(request["verb"] == "status" for request in agent.requests)


def test_an_unproved_off_is_offered_to_nobody(site: Site) -> None:
    """S3: an order without a proof never reaches the agent."""
    site.beta.fault = "ack_only"
    with CannedAgent(site.socket, TAKEN) as agent:
        assert site.told("off", "--yes", "--deadline", "3s")["exit"] == Exit.UNPROVED
    assert [request["verb"] for request in agent.requests] == ["status"]


def test_our_own_node(site: Site) -> None:
    """Our own node is refused, by the name that we were given and by the one the agent has."""
    assert site.run("off", "alpha", "--yes").returncode == Exit.NOT_ORDERED
    with CannedAgent(site.socket, {"status": good(status(node="beta", peer="alpha"))}):
        refused = site.run("off", "beta", "--yes")
    assert refused.returncode == Exit.NOT_ORDERED
    assert "beta is the node that this runs on" in refused.stderr
    assert (site.alpha.log, site.beta.log) == ((), ())


def test_a_host_of_another_name(site: Site) -> None:
    """A host that does not know which node it is shoots nobody, but may look."""
    options = ("--config", str(site.file), "--socket", str(site.socket))
    refused = haagent("fence", "off", "beta", "--yes", *options)
    assert refused.returncode == Exit.USAGE
    assert "--node says which one it is" in refused.stderr
    assert haagent("fence", "status", "beta", *options).returncode == 0
    assert site.beta.power == "on"


def test_dry_run_leaves_the_agent_alone(site: Site) -> None:
    """A dry run asks neither device nor agent."""
    with CannedAgent(site.socket, TAKEN) as agent:
        assert site.run("off", "--dry-run").returncode == 0
        assert agent.requests == []
        assert site.run("status").returncode == 0
        assert agent.requests == []
    assert site.alpha.log == ()


def test_interrupted_while_the_agent_thinks(site: Site) -> None:
    """Ctrl-C after the proof, before the agent's answer, says that the node is off."""
    thinking = threading.Event()

    class Slow(CannedAgent):
        async def _answer(self, request: Any, tell: Any) -> Any:
            if request["verb"] == "fence-proof":
                thinking.set()
            return await super()._answer(request, tell)

    with Slow(site.socket, {**TAKEN, "fence-proof": None}), site.person("off", "--yes") as person:
        assert thinking.wait(20)
        person.type("\x03")
        assert person.wait() == Exit.INTERRUPTED
        assert "beta: interrupted: proved off, by beta-bmc (level 1)" in person.shown


def test_usage(site: Site) -> None:
    """Wrong usage, of the parser's kind too, is 64: 2 means something else here."""
    assert Exit.USAGE == USAGE
    for arguments in ((), ("explode",), ("off", "--nonsense"), ("off", "--level", "x")):
        assert haagent("fence", *arguments).returncode == USAGE
    assert site.run("off", "gamma").returncode == USAGE
    assert site.run("off", "--deadline", "1").returncode == USAGE
    assert haagent("status", "--nonsense").returncode == 2


def test_help_tells_the_exit_codes() -> None:
    """The help has the same words for every code as the page and `python -m fencing`."""
    text = " ".join(haagent("fence", "--help").stdout.split())
    assert exits.table() in text


def test_other_commands_load_no_drivers() -> None:
    """The console is there without its price: only the command that fences imports fencing."""
    code = "import sys, haagent.cli.app; print([n for n in sys.modules if n[:7] == 'fencing'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def _commands() -> list[str]:
    blocks = re.findall(r"```\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]


@pytest.mark.parametrize("command", _commands())
def test_every_command_of_the_page(site: Site, command: str) -> None:
    """What the page shows can be typed as it stands, and ends well."""
    for word, value in {
        "FILE": str(site.file),
        "ADDRESS": "127.0.0.1",
        "USER": site.beta.user,
        "PASSWORD --": f"{site.folder / 'password'} --",
        "=PORT": f"={site.beta.port}",
    }.items():
        command = command.replace(word, value)
    program, *arguments = shlex.split(command)
    options = site.options() if program == "haagent" else []
    line = [sys.executable, *([] if program == "python" else ["-m", program]), *arguments, *options]
    asks = {"off", "cycle"} & set(arguments) and not {"--yes", "--dry-run"} & set(arguments)
    with CannedAgent(site.socket, TAKEN), Person(line) as person:
        if asks:
            person.see("(beta): ")
            person.type("beta\n")
        code = person.wait()
    assert code == Exit.DONE or (code == Exit.ATTENTION and "test" in arguments), person.shown


def test_the_page_has_every_key_of_the_json(site: Site) -> None:
    """The table of the JSON is complete."""
    keys = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE)
    assert sorted(keys) == sorted(site.told("status", "beta"))
