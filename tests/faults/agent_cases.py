# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent driver: a scripted agent, and Debian's fence_ipmilan and fence_redfish."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from fencing import DeviceSettings, Option, Secret
from hil.bmc import IpmiSim
from hil.fence_agent import ACTIONS, BenchAgent
from hil.redfish.bmc import RedfishBmc
from hil.redfish.certificates import Authority

from . import ipmi_cases, redfish_cases
from .case import Act, Case, Rig, nothing
from .verdict import PASSWORD

SECTION, IPMILAN, REDFISH = "agent", "agent fence_ipmilan", "agent fence_redfish"
DEADLINE_S = 4.0
REAL_DEADLINE_S = 12.0
REAL_ANSWER_S = 9.0
"""A real agent needs some tenths of a second for each of four runs; where a dozen rows have two
starved cores between them, several seconds for one."""
WRONG = Secret(b"not-the-word")
_CRASHED = "#!/bin/sh\necho 'Segmentation fault' >&2\nexit 139\n"
"""What a shell ends with whose program crashed; a first process of a PID namespace cannot signal
itself."""


def settings(
    agent: str, options: dict[str, Option] | None = None, **changes: Any
) -> DeviceSettings:
    """A device of this agent."""
    plain = DeviceSettings(
        name="agent",
        driver="agent",
        user="haagent",
        password=Secret(PASSWORD.encode()),
        off_settle_s=0.0,
        deadline_s=DEADLINE_S,
        options={"agent": agent, "answer": 2.0, **(options or {})},
    )
    return replace(plain, **changes)


def scripted(
    actions: tuple[str, ...] = ACTIONS, **changes: Any
) -> Callable[[Path], AbstractContextManager[Rig[BenchAgent]]]:
    """A rig of an agent that is a shell script."""

    @contextmanager
    def built(folder: Path) -> Iterator[Rig[BenchAgent]]:
        agent = BenchAgent(folder / "agent", actions=actions)
        yield Rig(
            emulator=agent,
            devices=(settings(str(agent.program), **changes),),
            runs=lambda: agent.power == "on",
            orders=lambda: agent.log.count("off"),
        )

    return built


def ipmilan(
    answer: float = REAL_ANSWER_S, **changes: Any
) -> Callable[[Path], AbstractContextManager[Rig[IpmiSim]]]:
    """A rig of fence_ipmilan and ipmi_sim."""

    @contextmanager
    def built(folder: Path) -> Iterator[Rig[IpmiSim]]:
        with ipmi_cases.started_sim(folder) as bmc:
            options: dict[str, Option] = {"ip": bmc.address, "ipport": bmc.port}
            options |= {"lanplus": True, "cipher": 3, "privlvl": "operator"}
            options["answer"] = answer
            given = {"deadline_s": REAL_DEADLINE_S, **changes}
            yield ipmi_cases.sim_rig(bmc, settings("fence_ipmilan", options, **given))

    return built


def fence_redfish(
    *, insecure: bool = True, **changes: Any
) -> Callable[[Path], AbstractContextManager[Rig[RedfishBmc]]]:
    """A rig of fence_redfish and an emulated BMC; that agent cannot be told of an authority."""

    @contextmanager
    def built(folder: Path) -> Iterator[Rig[RedfishBmc]]:
        with redfish_cases.started(Authority(folder).issue()) as bmc:
            options: dict[str, Option] = {"ip": bmc.address, "ipport": bmc.port}
            options["answer"] = REAL_ANSWER_S
            if insecure:
                options["ssl_insecure"] = True
            given = {"deadline_s": REAL_DEADLINE_S, **changes}
            yield redfish_cases.rig_of(bmc, settings("fence_redfish", options, **given))

    return built


def _fault(text: str) -> Act:
    def break_it(rig: Rig[Any]) -> None:
        rig.emulator.fault = text

    return break_it


def _off_already(rig: Rig[Any]) -> None:
    rig.emulator.power = "off"


def _crashes(rig: Rig[BenchAgent]) -> None:
    rig.emulator.program.write_text(_CRASHED)


def _vanishes(rig: Rig[BenchAgent]) -> None:
    rig.emulator.program.unlink()


def _lies(rig: Rig[BenchAgent]) -> None:
    rig.emulator.fault = "says 2 Status: OFF"
    # The script knows one fault at a time: orders go into a file that nobody looks at.
    program = rig.emulator.program
    program.write_text(program.read_text().replace('echo "$action" > power', ": > ordered"))


def _freeze(rig: Rig[IpmiSim]) -> None:
    rig.emulator.signal(signal.SIGSTOP)


def _thaw(rig: Rig[IpmiSim]) -> None:
    rig.emulator.signal(signal.SIGCONT)


_AGENT = (
    "run the agent by hand and see what it says; the next level or `haagent confirm-off` proves"
)
_KILLED = "an agent that was killed cannot log out: the BMC drops its session after 60 s"
_CUT = f"the last try may be cut short by the deadline; {_KILLED}"
_REACHED = "make the BMC reachable; until then the next level or `haagent confirm-off` proves"

_SCRIPTED = (
    Case(SECTION, "none", scripted(), ends_well=True),
    Case(SECTION, "the machine is off already", scripted(), strike=_off_already, ends_well=True),
    Case(
        SECTION,
        "exits 0 and does nothing",
        scripted(),
        strike=_fault("ack_only"),
        then=_AGENT,
    ),
    Case(
        SECTION,
        "carries the order out and exits 1",
        scripted(),
        strike=_fault("refused"),
        ends_well=True,
    ),
    Case(
        SECTION,
        "fails and says why",
        scripted(),
        strike=_fault("fail Connection timed out"),
        varies=True,
    ),
    Case(SECTION, "fails and says nothing", scripted(), strike=_fault("mute"), varies=True),
    Case(SECTION, "crashes", scripted(), strike=_crashes, varies=True),
    Case(
        SECTION,
        "hangs, in a process of another session",
        scripted(options={"answer": 1.0}),
        varies=True,
        strike=_fault("hang 4321"),
    ),
    Case(SECTION, "prints garbage as its status", scripted(), strike=_fault("says 2 %&$!?")),
    Case(SECTION, "prints garbage without end", scripted(), strike=_fault("flood"), varies=True),
    Case(SECTION, "prints the password", scripted(), strike=_fault("leak"), varies=True),
    Case(
        SECTION, "its status is off, and exits 0", scripted(), strike=_fault("says 0 Status: OFF")
    ),
    Case(SECTION, "is not installed", scripted(), before=_vanishes),
    Case(SECTION, "is removed since the last check", scripted(), strike=_vanishes),
    Case(
        SECTION,
        "has no status",
        scripted(tuple(action for action in ACTIONS if action != "status")),
        before=nothing,
    ),
    Case(
        SECTION,
        "is given an option that it does not know",
        scripted(options={"plgu": "3"}),
        before=nothing,
    ),
    Case(
        SECTION,
        "says off for ever and does nothing",
        scripted(),
        strike=_lies,
        lie="believed: nothing tells whose power an agent reads (`identity_unknown`). A drill "
        "catches it; else the address probe, and frames heard (S8).",
        then="do not use this agent for a proof; add a level that is no part of it",
    ),
)
_IPMILAN = (
    Case(IPMILAN, "none", ipmilan(), ends_well=True),
    Case(IPMILAN, "the machine is off already", ipmilan(), strike=_off_already, ends_well=True),
    Case(
        IPMILAN,
        "goes off a second after the order",
        ipmilan(),
        strike=_fault("off_delay 1.0"),
        ends_well=True,
    ),
    Case(
        IPMILAN,
        "acknowledges the order and does nothing",
        ipmilan(),
        varies=True,
        strike=_fault("ack_only"),
        sessions_left=1,
        note=_CUT,
        then="go and look: the machine may be on. Restart the BMC",
    ),
    Case(
        IPMILAN,
        "refuses the order",
        ipmilan(),
        varies=True,
        strike=_fault("fail"),
        sessions_left=1,
        note=_CUT,
        then=_REACHED,
    ),
    Case(
        IPMILAN,
        "hangs in the order, and carries it out long after",
        ipmilan(answer=3.0, deadline_s=5.0),
        varies=True,
        strike=_fault("hang 9"),
        goes_off_later=True,
        sessions_left=4,
        note=_KILLED,
        then=_REACHED,
    ),
    Case(
        IPMILAN,
        "is silent since the last check",
        ipmilan(),
        varies=True,
        strike=_freeze,
        heal=_thaw,
        sessions_left=4,
        note=_KILLED,
    ),
    Case(
        IPMILAN,
        "dies before the order",
        ipmilan(),
        strike=lambda rig: rig.emulator.kill(),
        varies=True,
    ),
    Case(
        IPMILAN,
        "wrong password",
        ipmilan(password=WRONG),
        varies=True,
        before=nothing,
        sessions_left=1000,
        note="ipmitool leaves a half session in ipmi_sim with every try, for 60 s: the ipmi "
        "driver does not",
    ),
    Case(
        IPMILAN,
        "says off a second before the machine is off; off_settle is longer",
        ipmilan(off_settle_s=1.5),
        strike=_fault("lie_off 1.0"),
        note="off_settle catches it",
        ends_well=True,
    ),
    Case(
        IPMILAN,
        "says off for ever and does nothing",
        ipmilan(),
        strike=ipmi_cases.lies_for_ever,
        lie="believed, and no identity is checked: the ipmi driver asks the BMC for it.",
        then="use the ipmi driver; add a level that is no part of it",
    ),
)
_FENCE_REDFISH = (
    Case(REDFISH, "none", fence_redfish(), ends_well=True),
    Case(
        REDFISH,
        "the machine is off already",
        fence_redfish(),
        strike=redfish_cases.off_already,
        ends_well=True,
    ),
    Case(
        REDFISH,
        "says PoweringOff for a second",
        fence_redfish(),
        strike=redfish_cases.fault(powering_s=1.0),
        ends_well=True,
    ),
    Case(
        REDFISH,
        "acknowledges the order and does nothing",
        fence_redfish(),
        varies=True,
        strike=redfish_cases.fault(ignored=True),
        then="go and look: the machine may be on. Restart the BMC",
    ),
    Case(
        REDFISH,
        "is silent since the last check",
        fence_redfish(),
        varies=True,
        strike=redfish_cases.fault(silent=True),
        heal=redfish_cases.fault(silent=False),
    ),
    Case(
        REDFISH,
        "dies before the order",
        fence_redfish(),
        varies=True,
        strike=lambda rig: rig.emulator.stop(),
    ),
    Case(REDFISH, "wrong password", fence_redfish(password=WRONG), before=nothing, varies=True),
    Case(
        REDFISH,
        "its certificate cannot be checked",
        fence_redfish(insecure=False),
        varies=True,
        before=nothing,
        note="the agent takes no authority of its own: the system has to trust it",
    ),
)

CASES = (*_SCRIPTED, *_IPMILAN, *_FENCE_REDFISH)
