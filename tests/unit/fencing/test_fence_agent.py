# SPDX-License-Identifier: GPL-2.0-or-later
"""Any fence agent as a device: what it is told, what is believed, what never gets out."""

from __future__ import annotations

import asyncio
import base64
import traceback
from dataclasses import replace
from pathlib import Path

import pytest
from agent_bench import off, settings
from fence_bench import PASSWORD, fencing

from fencing import FenceError, FenceOutcome, NotSentError, Option, Power, Secret
from fencing.drivers.agent import AgentDevice
from fencing.findings import Trouble
from fencing.level import FenceReport
from hil.fence_agent import ACTIONS, PARAMETERS, BenchAgent, BenchParameter

HANG_S = 4321
"""Of an agent that is killed long before."""


@pytest.fixture
def agent(tmp_path: Path) -> BenchAgent:
    """An agent that does what it is told."""
    return BenchAgent(tmp_path / "agent")


@pytest.fixture
def device(agent: BenchAgent) -> AgentDevice:
    """The device of it."""
    return AgentDevice(settings(agent))


def _off(agent: BenchAgent, *, deadline_s: float = 5.0) -> FenceReport:
    return off(settings(agent, deadline_s=deadline_s))


def _refusal(device: AgentDevice) -> NotSentError:
    with pytest.raises(NotSentError) as refused:
        device.off()
    return refused.value


def test_fence(agent: BenchAgent) -> None:
    """A whole fence: off is ordered, and three readings prove it. reboot is never used."""
    report = _off(agent)
    assert report.outcome is FenceOutcome.CONFIRMED_OFF, report
    assert agent.power == "off"
    assert "reboot" not in agent.log
    assert agent.log[agent.log.index("off") :].count("status") >= 3


@pytest.mark.parametrize("fault", ["ack_only", "fail Connection timed out", "mute", "says 0 done"])
def test_no_proof(agent: BenchAgent, fault: str) -> None:
    """S3: whatever an agent says to off, without a reading of off there is no proof."""
    agent.fault = fault
    assert _off(agent, deadline_s=1.0).outcome is FenceOutcome.UNKNOWN


def test_refused_and_carried_out(agent: BenchAgent) -> None:
    """An off that was called a failure and was none is found out by reading."""
    agent.fault = "refused"
    assert _off(agent).outcome is FenceOutcome.CONFIRMED_OFF


def test_on(agent: BenchAgent, device: AgentDevice) -> None:
    """On gives the power back."""
    agent.power = "off"
    device.on()
    assert agent.power == "on"
    assert device.status() is Power.ON


def test_contract(agent: BenchAgent) -> None:
    """Parameters on stdin and nowhere else; the action first; an environment of two names."""
    options: dict[str, Option] = {"plug": 3, "ssl": True, "method": "onoff", "answer": 5.0}
    AgentDevice(settings(agent, options)).off()
    assert agent.arguments == 0
    assert agent.environment == {"LANG": "C", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    assert agent.input[0] == "action=off"
    assert set(agent.input[1:]) == {
        *("plug=3", "ssl=1", "method=onoff", "username=haagent", f"password={PASSWORD}"),
        *("power_wait=0", "power_timeout=3", ""),
    }


def test_configured_waiting_wins(agent: BenchAgent) -> None:
    """What the configuration says about an agent's waiting stays."""
    AgentDevice(settings(agent, {"power_wait": 4})).status()
    assert "power_wait=4" in agent.input
    assert "power_wait=0" not in agent.input


def test_names_of_before(tmp_path: Path) -> None:
    """An agent of before is given login and passwd, and needs nothing else."""
    old = (BenchParameter("login", required=True), BenchParameter("passwd", required=True))
    agent = BenchAgent(tmp_path / "old", parameters=old)
    assert AgentDevice(settings(agent)).status() is Power.ON
    assert {"login=haagent", f"passwd={PASSWORD}"} <= set(agent.input)


def test_metadata_once(agent: BenchAgent, device: AgentDevice) -> None:
    """The metadata are read once."""
    device.status()
    device.inspect()
    device.off()
    assert agent.log.count("metadata") == 1


@pytest.mark.parametrize(
    ("said", "power"),
    [
        ("0 Status: ON", Power.ON),
        ("2 Status: OFF", Power.OFF),
        ("0 on", Power.ON),
        ("2 Status: ON", None),
        ("0 Status: OFF", None),
        ("2", None),
        ("0", None),
        ("1 Status: OFF", None),
        ("3 Status: OFF", None),
        ("127 Status: OFF", None),
        ("2 Status: OFFLINE", None),
        ("2 usage: agent [on|off]", None),
        ("0 Powering ON, was OFF", None),
    ],
)
def test_status(agent: BenchAgent, device: AgentDevice, said: str, power: Power | None) -> None:
    """S3: only an exit status and a word that agree are a power state."""
    agent.fault = f"says {said}"
    if power is not None:
        assert device.status() is power
        assert device.evidence() in said
        return
    with pytest.raises(FenceError) as unverifiable:
        device.status()
    assert unverifiable.value.trouble is Trouble.UNVERIFIABLE
    assert unverifiable.value.trouble.blocks


@pytest.mark.parametrize("shebang", ["/bin/sh", "/usr/bin/bash", "/usr/bin/python3"])
def test_broken_agent_is_not_off(agent: BenchAgent, device: AgentDevice, shebang: str) -> None:
    """S3: a shell that cannot read an agent ends with 2, as "off" does; it is not taken for it."""
    assert device.status() is Power.ON
    agent.program.write_text(f"#!{shebang}\nif ) fi off (\n")
    with pytest.raises(FenceError):
        device.status()


def test_shells_end_with_two(agent: BenchAgent) -> None:
    """What the test above is about: the exit status alone would have said *off*."""
    from fencing.drivers.contained import run  # noqa: PLC0415  # what the test is about

    agent.program.write_text("#!/bin/sh\nif ) fi\n")
    assert run(agent.program, b"action=status\n", 5.0).code == 2


def test_mute_agent_is_unverifiable(agent: BenchAgent, device: AgentDevice) -> None:
    """An agent whose status is always 1, without a word, cannot prove anything."""
    agent.fault = "mute"
    with pytest.raises(FenceError) as mute:
        device.status()
    assert mute.value.trouble is Trouble.UNVERIFIABLE


@pytest.mark.parametrize(
    ("said", "trouble"),
    [
        ("Unable to connect/login to fencing device", Trouble.UNREACHABLE),
        ("Connection timed out", Trouble.UNREACHABLE),
        ("Login denied", Trouble.LOGIN_REFUSED),
        ("Failed: The user does not have the correct privileges", Trouble.PRIVILEGE),
        ("Failed: You have to enter plug number", Trouble.SETTINGS),
        ("SSL certificate problem", Trouble.CERTIFICATE),
        ("Something new", Trouble.REFUSED),
    ],
)
def test_troubles(agent: BenchAgent, device: AgentDevice, said: str, trouble: Trouble) -> None:
    """What an agent complains of has a name, and its own words are kept."""
    agent.fault = f"fail {said}"
    with pytest.raises(FenceError) as failed:
        device.status()
    assert not isinstance(failed.value, NotSentError)
    assert failed.value.trouble is trouble
    assert str(failed.value).endswith(f"status ended with 1: {said}")


def test_inspection(agent: BenchAgent) -> None:
    """An inspection runs monitor; that nobody knows whose power it is does not block."""
    device = AgentDevice(settings(agent, {"plug": 3, "ipport": 623}))
    inspection = device.inspect()
    assert agent.log[-1] == "monitor"
    assert inspection.identity is None
    assert [finding.trouble for finding in inspection.findings] == [Trouble.IDENTITY_UNKNOWN]
    assert inspection.mark == f"{agent.program} ipport=623 plug=3"
    agent.fault = "fail Connection timed out"
    assert [finding.trouble for finding in device.inspect().findings] == [
        *(Trouble.IDENTITY_UNKNOWN, Trouble.UNREACHABLE)
    ]


def test_ready(agent: BenchAgent) -> None:
    """A device by an agent becomes ready, and its reading is known."""

    async def check() -> None:
        async with fencing(settings(agent)) as watched:
            (readiness,) = watched.fence.readiness
            assert readiness.power is Power.ON
            assert readiness.evidence == "Status: ON"

    asyncio.run(check())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"plugg": 1}, "plugg is unknown; did you mean plug?"),
        ({"method": "hard"}, "method must be one of: onoff, cycle"),
        ({"ssl": "maybe"}, "ssl must be true or false"),
        ({"ipport": "six"}, "ipport must be a whole number"),
        ({"ipport": 6.5}, "ipport must be a whole number"),
        ({"plug": (1, 2)}, "plug cannot be a list"),
        ({"plug": ""}, "plug is empty"),
        ({"plug": "1\naction=on"}, "plug holds a line end"),
        ({"plug": '"1"'}, "plug begins and ends with quotes"),
        ({"plug": " 1"}, "plug begins and ends with quotes, or has a blank there"),
        ({"action": "on"}, "action is decided by haagent"),
        ({"password": "x"}, "password belongs into the file"),
        ({"verbose": True}, "verbose would leave secrets"),
        ({"missing-as-off": True}, "missing-as-off would take an outlet"),
        ({"username": "root"}, "username is given twice"),
    ],
)
def test_options(agent: BenchAgent, options: dict[str, Option], said: str) -> None:
    """An option that the agent would not take as it is meant is refused before anything is sent."""
    refused = _refusal(AgentDevice(settings(agent, options)))
    assert refused.trouble is Trouble.SETTINGS
    assert said in str(refused)
    assert agent.log == ("metadata",)


def test_all_problems_at_once(agent: BenchAgent) -> None:
    """Every wrong option is named, and no value of one is shown."""
    options: dict[str, Option] = {"plugg": "hidden-1", "ipport": "hidden-2", "ssl": "hidden-3"}
    text = str(_refusal(AgentDevice(settings(agent, options))))
    assert all(name in text for name in options)
    assert "hidden" not in text


def test_required(tmp_path: Path) -> None:
    """A required parameter that is missing is named; its old name would do."""
    plug = BenchParameter("plug", required=True, more=' obsoletes="port"')
    old = BenchParameter("port", required=True, more=' deprecated="1"')
    agent = BenchAgent(tmp_path / "agent", parameters=(*PARAMETERS[3:], plug, old))
    assert "plug is required" in str(_refusal(AgentDevice(settings(agent))))
    assert AgentDevice(settings(agent, {"port": 1})).status() is Power.ON


@pytest.mark.parametrize("password", [b"two\nlines", b"trailing ", b'"quoted"', b"nul\0"])
def test_password_that_would_not_arrive(agent: BenchAgent, password: bytes) -> None:
    """A password that the agents' input cannot carry is refused, and not shown."""
    refused = _refusal(AgentDevice(settings(agent, password=Secret(password))))
    assert "password" in str(refused)
    assert password.decode() not in str(refused)


def test_kg(tmp_path: Path) -> None:
    """The BMC key goes to the parameter meant for it, as digits; without one it is refused."""
    parameters = (*PARAMETERS, BenchParameter("hexadecimal_kg"))
    agent = BenchAgent(tmp_path / "with", parameters=parameters)
    AgentDevice(settings(agent, kg=Secret(b"\x01key"))).status()
    assert "hexadecimal_kg=016b6579" in agent.input
    without = BenchAgent(tmp_path / "without")
    text = str(_refusal(AgentDevice(settings(without, kg=Secret(b"\x01key")))))
    assert "it has no hexadecimal_kg to be given" in text


@pytest.mark.parametrize("lacking", ["off", "status"])
def test_lacking_actions(tmp_path: Path, lacking: str) -> None:
    """An agent without off or status cannot prove anything, and is not given the order."""
    left = tuple(action for action in ACTIONS if action != lacking)
    agent = BenchAgent(tmp_path / "agent", actions=left)
    assert _refusal(AgentDevice(settings(agent))).trouble is Trouble.UNVERIFIABLE
    report = _off(agent)
    assert report.outcome is FenceOutcome.FAILED
    assert f"it has no {lacking}" in report.detail
    assert set(agent.log) == {"metadata"}
    assert agent.power == "on"


def test_fabric(tmp_path: Path) -> None:
    """An agent that only cuts storage or network is no proof of power, and not given the order."""
    agent = BenchAgent(tmp_path / "agent", automatic=True)
    refused = _refusal(AgentDevice(settings(agent)))
    assert refused.trouble is Trouble.UNVERIFIABLE
    assert "leaves it running" in str(refused)


def test_not_about_power(tmp_path: Path) -> None:
    """An agent whose status is about something else is refused by name, behind a link, too."""
    agent = BenchAgent(tmp_path / "agent", name="fence_crosslink")
    link = tmp_path / "fence_other"
    link.symlink_to(agent.program)
    for program in (agent.program, link):
        refused = _refusal(AgentDevice(settings(str(program))))
        assert refused.trouble is Trouble.UNVERIFIABLE
        assert "no proof" in str(refused)


@pytest.mark.parametrize("text", ["", "no xml", "<resource-agent", "<other/>"])
def test_no_metadata(agent: BenchAgent, device: AgentDevice, text: str) -> None:
    """A program that gives no metadata is no agent."""
    (agent.directory / "metadata.xml").write_text(text)
    assert _refusal(device).trouble is Trouble.UNVERIFIABLE


def test_repaired(agent: BenchAgent, device: AgentDevice) -> None:
    """An agent that was not fit is looked at again, so that it need not be started anew."""
    metadata = agent.directory / "metadata.xml"
    good = metadata.read_text()
    metadata.write_text("")
    _refusal(device)
    metadata.write_text(good)
    assert device.status() is Power.ON


def test_slow_agent(agent: BenchAgent) -> None:
    """An agent that overruns its limit is an error; what it sent, nobody knows."""
    agent.fault = f"hang {HANG_S}"
    # What comes before the order has to be done within it, on a busy machine too.
    device = AgentDevice(settings(agent, {"answer": 3.0}))
    with pytest.raises(FenceError) as overrun:
        device.off()
    assert not isinstance(overrun.value, NotSentError)
    assert "did not end within 3 s" in str(overrun.value)


@pytest.mark.parametrize(
    "password", ["t0p-secret-word", "a'b c&d$e", 'quo"te', "per%cent/slash", "ümläut"]
)
def test_leak(agent: BenchAgent, password: str) -> None:
    """An agent that repeats its password in whatever form does not get it into an error."""
    device = AgentDevice(settings(agent, password=Secret(password.encode())))
    agent.fault = "leak"
    with pytest.raises(FenceError) as leaked:
        device.status()
    shown = "".join(traceback.format_exception(leaked.value)) + repr(leaked.value)
    assert "password=***" in shown
    assert password not in shown
    encoded = base64.b64encode(password.encode()).decode()
    agent.fault = f"fail Authorization: Basic {encoded} {password.encode().hex()}"
    with pytest.raises(FenceError) as leaked:
        device.status()
    assert encoded not in str(leaked.value)
    assert password.encode().hex() not in str(leaked.value)


def test_leak_in_evidence(agent: BenchAgent, device: AgentDevice) -> None:
    """Nor does its output, which is shown as evidence."""
    agent.fault = f"says 0 {PASSWORD} is ON"
    assert device.status() is Power.ON
    assert device.evidence() == "*** is ON"


def test_flood(agent: BenchAgent, device: AgentDevice) -> None:
    """However much an agent writes, an error is short."""
    agent.fault = "flood"
    with pytest.raises(FenceError) as flood:
        device.status()
    assert len(str(flood.value)) < 400


def test_settings_are_not_shown() -> None:
    """A device's repr holds no secret."""
    made = replace(settings("fence_dummy"), password=Secret(PASSWORD.encode()))
    assert PASSWORD not in repr(made) + repr(AgentDevice(made)) + repr(vars(AgentDevice(made)))
