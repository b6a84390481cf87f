# SPDX-License-Identifier: GPL-2.0-or-later
"""What this machine says to a configuration: its units, agents and programs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest
from config_bench import Site, example, with_groups
from typer.testing import CliRunner

from fencing.config.problems import Problem
from haagent.cli.app import app
from haagent.resources.inspection import Machine, inspect
from haagent.resources.units import AwayError, JobResult, UnitState, Verb

METADATA = """<resource-agent name="Fake"><parameters>
<parameter name="dir" required="1" unique="1"><content type="string"/></parameter>
</parameters><actions><action name="start" timeout="20s"/><action name="stop" timeout="STOPs"/>
<action name="monitor" timeout="20s" interval="10s"/><action name="validate-all"/>
</actions></resource-agent>"""
AGENT = """#!/bin/sh
case "$1" in
meta-data) cat "$0.xml" ;;
validate-all) test -d "$OCF_RESKEY_dir" || { echo "ocf-exit-reason:no such folder" >&2; exit 5; } ;;
*) echo "$1" >>"$0.touched"; exit 1 ;;
esac
"""


# ruff: noqa: ARG002 - the fake has the form of the protocol


class FakeSystemd:
    """systemd, asked for properties only: everything else changes something."""

    def __init__(self, properties: Mapping[str, str] | None) -> None:
        self._properties = properties

    async def show(self, unit: str, *names: str) -> dict[str, str]:
        """The same of every unit; nobody answers without properties."""
        if self._properties is None:
            raise AwayError("nobody is there")
        return {name: {"Restart": "no", **self._properties}.get(name, "") for name in names}

    async def state(self, unit: str) -> UnitState:
        """As its properties say."""
        shown = await self.show(unit, "LoadState")
        return UnitState(shown["LoadState"] or "loaded", "inactive", "dead", has_job=False)

    async def processes(self, unit: str) -> tuple[str, ...]:
        """None."""
        return ()

    async def order(self, verb: Verb, unit: str, wait_s: float) -> JobResult:
        """Never ordered."""
        raise AssertionError(f"{verb} {unit}")

    async def kill(self, unit: str) -> None:
        """Never killed."""
        raise AssertionError(unit)

    async def reset_failed(self, unit: str) -> None:
        """Never reset."""
        raise AssertionError(unit)


class Bench:
    """A configuration, and the machine that is asked about it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "site").mkdir()
        self.site = Site(folder / "site")
        self.agent = folder / "ocf/resource.d/test/Fake"
        self.agent.parent.mkdir(parents=True)
        self.agent.write_text(AGENT)
        self.agent.chmod(0o755)
        self.advise("30")
        self.properties: dict[str, str] | None = {}

    def advise(self, stop_s: str) -> None:
        """What the agent advises for a stop."""
        Path(f"{self.agent}.xml").write_text(METADATA.replace("STOP", stop_s))

    def ask(self, *lines: str, stop_budget: str = "5m") -> list[Problem]:
        """What is said to one group with these lines."""
        vip = '[[group.vip]]\naddress = "192.0.2.10/24"\n'
        text = "\n".join(("[[group]]", 'name = "web"', *lines, vip))
        return self.ask_text(
            with_groups(text).replace('stop_budget = "5m"', f'stop_budget = "{stop_budget}"')
        )

    def ask_text(self, text: str) -> list[Problem]:
        """What is said to a whole file."""
        configuration = self.site.load(text)
        machine = Machine(FakeSystemd(self.properties), self.folder / "ocf", self.folder / "run")
        return asyncio.run(inspect(configuration, machine))

    def fake(self, folder: str, name: str = "it") -> str:
        """A resource of the agent, for a folder."""
        return (
            f'[[group.resource]]\nkind = "ocf"\nname = "{name}"\nagent = "ocf:test:Fake"\n'
            f'parameters = {{ dir = "{folder}" }}'
        )


UNIT = '[[group.resource]]\nkind = "systemd"\nunit = "nginx.service"'


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """One with an agent."""
    return Bench(tmp_path)


def test_a_good_configuration(bench: Bench) -> None:
    """Nothing is said, and nothing was done but questions."""
    assert bench.ask(UNIT, bench.fake("/")) == []
    assert not Path(f"{bench.agent}.touched").exists()


def test_an_enabled_unit_is_refused(bench: Bench) -> None:
    """Systemd would start it on both nodes; the line says what to do."""
    bench.properties = {"UnitFileState": "enabled"}
    (problem,) = bench.ask(UNIT)
    assert problem.refuses
    assert problem.where == 'group.web.resource."nginx.service".unit'
    assert "systemctl disable nginx.service" in problem.text


DATABASE = """[[group.resource]]
kind = "postgresql"
name = "db"
version = 15
address = { alpha = "198.51.100.11", beta = "198.51.100.12" }
packaging = """


@pytest.mark.parametrize(
    ("packaging", "unit"),
    [("debian", "postgresql@15-main.service"), ("pgdg", "postgresql-15.service")],
)
def test_an_enabled_server_is_refused(bench: Bench, packaging: str, unit: str) -> None:
    """As any unit, whatever start.conf says; what a generator enables goes by start.conf."""
    lines = f'{DATABASE}"{packaging}"'
    for state, refused in (("enabled", True), ("enabled-runtime", False), ("disabled", False)):
        bench.properties = {"UnitFileState": state}
        found = [one for one in bench.ask(lines) if f"systemctl disable {unit}" in one.text]
        assert [one.refuses for one in found] == [True] * refused


def test_an_unwise_unit_is_a_warning(bench: Bench) -> None:
    """What systemd restarts by itself works, after a fashion."""
    bench.properties = {"Restart": "always"}
    (problem,) = bench.ask(UNIT)
    assert not problem.refuses
    assert "Restart=no" in problem.text


def test_no_systemd_refuses_nothing(bench: Bench) -> None:
    """What cannot be asked is a warning."""
    bench.properties = None
    (problem,) = bench.ask(UNIT)
    assert not problem.refuses
    assert "could not be asked" in problem.text


def test_an_agent_that_is_not_installed(bench: Bench) -> None:
    """Refused, and the nearest one is named."""
    (problem,) = bench.ask(bench.fake("/").replace("Fake", "Fak"))
    assert problem.refuses
    assert problem.where == "group.web.resource.it.agent"
    assert "Fake" in problem.text


def test_who_may_not_ask_an_agent(bench: Bench) -> None:
    """Without a place for the agents' notes, as for a user who is not root, nothing is refused."""
    (bench.folder / "run").write_text("no folder")
    (problem,) = bench.ask(bench.fake("/"))
    assert not problem.refuses
    assert "ask as root" in problem.text


def test_parameters_are_held_to_the_metadata(bench: Bench) -> None:
    """Unknown ones and missing ones are refused; no value is shown."""
    odd = bench.ask(bench.fake("/").replace('dir = "/"', 'dri = "sesame"'))
    assert [problem.refuses for problem in odd] == [True, True]
    text = "\n".join(problem.line(Path("f")) for problem in odd)
    assert "did you mean dir" in text
    assert "dir is required" in text
    assert "sesame" not in text


def test_what_the_agent_says_of_this_node_is_a_warning(bench: Bench) -> None:
    """A value may be good on the other node, or here at another time."""
    (problem,) = bench.ask(bench.fake("/none"))
    assert not problem.refuses
    assert "no such folder" in problem.text


def test_one_that_cannot_be_promoted(bench: Bench) -> None:
    """An agent without promote is refused as promotable on every node."""
    (problem,) = bench.ask(bench.fake("/") + "\npromotable = true", stop_budget="1h")
    assert problem.refuses
    assert "cannot be promotable" in problem.text


def test_two_of_one(bench: Bench) -> None:
    """Two resources share what their agent wants to be unique."""
    (problem,) = bench.ask(bench.fake("/", "a"), bench.fake("/", "b"))
    assert problem.refuses
    assert "a and b have the same dir" in problem.text


def test_the_stop_budget_knows_the_agents_advice(bench: Bench) -> None:
    """An agent that advises a longer stop than anybody would guess needs a longer budget."""
    bench.advise("300")
    (problem,) = bench.ask(bench.fake("/"))
    assert problem.refuses
    assert problem.where == "timing.stop_budget"
    # With two monitors of 20 s, 4 s to end each, and 4 s to end one that runs before.
    assert '"356s"' in problem.text


def test_programs(bench: Bench) -> None:
    """One that anybody can change is refused, and a missing one without which nothing stops (S7).

    What else is missing here is a warning.
    """
    loose = bench.folder / "loose"
    loose.write_text("#!/bin/sh\n")
    loose.chmod(0o757)
    plain = bench.folder / "plain"
    plain.write_text("")
    found = bench.ask(
        'probe = { command = ["/bin/sh", "-c", "true"] }',
        '[[group.resource]]\nkind = "command"\nname = "app"',
        f'start = ["{loose}"]\nstop = ["/none/app"]\nmonitor = ["{plain}"]',
        'position = ["/none/position"]',
    )
    said = {problem.where.rpartition(".")[2]: problem for problem in found}
    assert said.keys() == {"start", "stop", "monitor", "position"}
    assert said["start"].refuses
    assert "no such file" in said["stop"].text
    assert "chmod +x" in said["monitor"].text
    assert said["stop"].refuses
    assert "install it on both nodes, or name another" in said["stop"].text
    assert not said["monitor"].refuses
    assert not said["position"].refuses


def test_programs_of_hooks_and_alerts(bench: Bench) -> None:
    """Each is looked for: missing or not executable is a warning, for no takeover hangs on it."""
    program = bench.folder / "tell"
    program.write_text("#!/bin/sh\n")
    hooks = f'[hooks]\non_active = ["{program}"]'
    text = example().replace("[hooks]", hooks, 1)
    text += f'[[alert]]\nname = "mail"\ncommand = ["{program}"]\n'
    places = ["hooks.on_active", "alert.mail.command"]
    for problem, where in zip(bench.ask_text(text), places, strict=True):
        assert (problem.where, problem.refuses) == (where, False)
        assert "chmod +x" in problem.text
    program.chmod(0o755)
    assert bench.ask_text(text) == []
    program.unlink()
    missing = bench.ask_text(text)
    assert [problem.where for problem in missing] == places
    assert all("no such file" in problem.text for problem in missing)


def test_probes(bench: Bench) -> None:
    """A pattern that is none, and an authority that cannot be read, are refused."""
    probe = 'http = "https://192.0.2.10/", pattern = "(", ca_file = "/none.pem"'
    found = bench.ask(f"probe = {{ {probe} }}")
    assert {problem.where for problem in found} == {
        "group.web.probe.pattern",
        "group.web.probe.ca_file",
    }
    assert all(problem.refuses for problem in found)


def test_check_config_asks_the_machine(bench: Bench) -> None:
    """Its exit code and its lines include what the machine says, unless it is not to be asked."""
    loose = bench.folder / "loose"
    loose.write_text("#!/bin/sh\n")
    loose.chmod(0o757)
    bench.ask(
        '[[group.resource]]\nkind = "command"\nname = "app"',
        f'start = ["{loose}"]\nstop = ["/bin/true"]\nmonitor = ["/none/app"]',
    )
    arguments = ["check-config", "--node", "alpha", str(bench.site.file)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 78
    assert "anybody could change it" in done.output
    assert "warning: " in done.output
    assert "usable" not in done.output
    done = CliRunner().invoke(app, [*arguments, "--file-only"])
    assert done.exit_code == 0
    assert "anybody" not in done.output
