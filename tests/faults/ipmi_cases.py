# SPDX-License-Identifier: GPL-2.0-or-later
"""The ipmi driver: ipmi_sim with scripted faults."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

from fencing import DeviceSettings, FenceError, Option, Secret
from fencing.drivers.ipmi import IpmiDevice
from fencing.verify import Happened
from hil.bmc import IpmiSim
from hil.owned_machine import OwnedMachine
from hil.ports import free_port
from hil.rmcp import RmcpBmc

from .case import Case, Rig, is_another, nothing
from .verdict import PASSWORD

SECTION = "ipmi"
DEADLINE_S = 4.0
OPTIONS: dict[str, Option] = {"logon": 1.5, "fresh_answer": 1.0, "warm_answer": 0.4}
"""Limits of the driver's own that leave the short deadline of these rows some tries."""
OTHER = UUID("00000000-89ab-cdef-a123-456789abcdef")
WRONG = Secret(b"not-the-word")
_SESSION_INFO = (0x06, 0x3D, (0,))
COUNT_TRIES = 5
"""For a busy machine: a try is a login, and may end in two seconds."""
_TRUSTED = (
    "believed: nothing in the device tells. {how} Two independent levels and drills are the remedy."
)


def settings(bmc: IpmiSim | RmcpBmc, **changes: Any) -> DeviceSettings:
    """What reaches this BMC; `options` are added to those that are needed."""
    options = OPTIONS | {"port": bmc.port} | changes.pop("options", {})
    plain = DeviceSettings(
        name="bmc",
        driver="ipmi",
        address=bmc.address,
        user="haagent",
        password=Secret(PASSWORD.encode()),
        off_settle_s=0.0,
        deadline_s=DEADLINE_S,
        options=options,
    )
    return replace(plain, **changes)


def sim(**changes: Any) -> Callable[[Path], AbstractContextManager[Rig[IpmiSim]]]:
    """A rig of ipmi_sim; `changes` are of the settings."""

    @contextmanager
    def built(folder: Path) -> Iterator[Rig[IpmiSim]]:
        with started_sim(folder) as bmc:
            yield sim_rig(bmc, settings(bmc, **changes))

    return built


def owned(kill_wait_s: int) -> Callable[[Path], AbstractContextManager[Rig[IpmiSim]]]:
    """A rig of ipmi_sim in its other mode, in which the machine is a process of its own."""

    @contextmanager
    def built(folder: Path) -> Iterator[Rig[IpmiSim]]:
        machine = OwnedMachine(folder / "machine")
        with started_sim(folder, machine=machine.program, kill_wait_s=kill_wait_s) as bmc:
            try:
                machine.started()
                rig = sim_rig(bmc, settings(bmc))
                rig.runs = lambda: machine.running
                rig.hang = machine.freeze
                yield rig
            finally:
                machine.end()

    return built


@contextmanager
def started_sim(folder: Path, **how: Any) -> Iterator[IpmiSim]:
    """An ipmi_sim that is up, or was."""
    with IpmiSim(folder / "bmc", port=free_port(), password=PASSWORD, **how) as bmc:
        yield bmc


def sim_rig(bmc: IpmiSim, *devices: DeviceSettings) -> Rig[IpmiSim]:
    """The rig of an ipmi_sim that is up."""
    pids = {bmc.pid}

    def own_sessions() -> frozenset[int]:
        if bmc._process is not None:
            pids.add(bmc.pid)
        return frozenset(pids)

    own_sessions()
    return Rig(
        emulator=bmc,
        devices=devices,
        runs=lambda: bmc.power == "on",
        orders=lambda: sum(line.startswith("set power 0") for line in bmc.log),
        sessions=lambda: sim_sessions(bmc),
        own_sessions=own_sessions,
    )


def sim_sessions(bmc: IpmiSim) -> int:
    """How many sessions it has besides the one that asks; 0 if it is dead."""
    if bmc._process is None:
        return 0
    asking, trouble = IpmiDevice(settings(bmc)), ""
    try:
        for _ in range(COUNT_TRIES):
            try:
                return asking._command(*_SESSION_INFO)[2] - 1
            except FenceError as error:
                trouble = str(error)
    finally:
        asking.close()
    raise AssertionError(f"the sessions cannot be counted: {trouble}")


def _fault(text: str) -> Callable[[Rig[IpmiSim]], None]:
    def break_it(rig: Rig[IpmiSim]) -> None:
        rig.emulator.fault = text

    return break_it


def _hang(rig: Rig[IpmiSim]) -> None:
    rig.hang()


def _off_already(rig: Rig[IpmiSim]) -> None:
    rig.emulator.power = "off"


def lies_for_ever(rig: Rig[IpmiSim]) -> None:
    """Say off and do nothing, for ever: by the file that the emulator's own fault leaves."""
    rig.emulator.fault = "ack_only"
    rig.emulator._path("lying").touch()


def _restart(rig: Rig[IpmiSim]) -> None:
    rig.emulator.kill()
    rig.emulator.start()


def kill_worker(rig: Rig[Any]) -> None:
    """SIGKILL the worker that works."""
    assert rig.fence is not None
    worker = rig.fence._clients[0]._worker
    assert worker is not None
    os.kill(worker.pid, signal.SIGKILL)


_REACHED = "make the BMC reachable; until then the next level or `haagent confirm-off` proves"
_LOOK = "go and look: the machine may be on. Its BMC takes orders and does nothing: restart the BMC"

CASES = (
    Case(SECTION, "none", sim(), ends_well=True),
    Case(SECTION, "the machine is off already", sim(), strike=_off_already, ends_well=True),
    Case(
        SECTION,
        "goes off a second after the order",
        sim(),
        strike=_fault("off_delay 1.0"),
        ends_well=True,
    ),
    Case(
        SECTION,
        "acknowledges the order and does nothing",
        sim(),
        strike=_fault("ack_only"),
        then=_LOOK,
    ),
    Case(
        SECTION,
        "refuses the order",
        sim(),
        varies=True,
        strike=_fault("fail"),
        then="look at the BMC's own log; the next level or `haagent confirm-off` proves",
    ),
    Case(
        SECTION,
        "hangs in the order, and carries it out long after",
        sim(deadline_s=2.5),
        strike=_fault("hang 8"),
        goes_off_later=True,
        then=_REACHED,
    ),
    Case(
        SECTION,
        "its machine hangs, and the BMC needs a second to cut it",
        owned(kill_wait_s=1),
        strike=_hang,
        ends_well=True,
    ),
    Case(
        SECTION,
        "its machine hangs, and the BMC needs longer to cut it than the deadline is",
        owned(kill_wait_s=6),
        strike=_hang,
        goes_off_later=True,
        then="raise the deadline above what this BMC needs, see its manual",
    ),
    Case(
        SECTION,
        "dies before the order (closed port, or unplugged)",
        sim(),
        strike=lambda rig: rig.emulator.kill(),
        then=_REACHED,
    ),
    Case(
        SECTION,
        "dies when it has carried the order out",
        sim(off_settle_s=1.0),
        steps=((Happened.ACKNOWLEDGED, lambda rig: rig.emulator.kill()),),
        then=_REACHED,
        note="the machine is off, and nothing proves it",
    ),
    Case(SECTION, "has restarted since the last check", sim(), strike=_restart, ends_well=True),
    Case(
        SECTION,
        "restarts when it has carried the order out",
        sim(off_settle_s=1.0),
        steps=((Happened.ACKNOWLEDGED, _restart),),
        ends_well=True,
    ),
    Case(SECTION, "wrong password", sim(password=WRONG), before=nothing),
    Case(
        SECTION,
        "answers for another machine",
        sim(expect_identity=OTHER),
        before=is_another,
    ),
    Case(
        SECTION,
        "says off a second before the machine is off; off_settle is longer",
        sim(off_settle_s=1.5),
        strike=_fault("lie_off 1.0"),
        note="off_settle catches it",
        ends_well=True,
    ),
    Case(
        SECTION,
        "says off a second before the machine is off; off_settle is shorter",
        sim(off_settle_s=0.3),
        strike=_fault("lie_off 1.5"),
        lie=_TRUSTED.format(
            how="A drill measures the lag, off_settle must be longer; frames or an answer for the "
            "address that come in the gap are seen (S8)."
        ),
        goes_off_later=True,
        then="raise off_settle, or run a drill, which measures what this device needs",
    ),
    Case(
        SECTION,
        "says off for ever and does nothing; nobody hears the machine",
        sim(),
        strike=lies_for_ever,
        lie=_TRUSTED.format(
            how="The address probe refuses the takeover if the machine answers for it (S8); a "
            "machine that is silent on every link and answers for nothing is not caught."
        ),
        then="replace the BMC's firmware or the BMC; add a level that is no part of it",
    ),
    Case(
        SECTION,
        "says off for ever and does nothing; the machine is heard",
        sim(check_every_s=1.5),
        strike=lies_for_ever,
        heard=True,
        lie=_TRUSTED.format(
            how="The frames heard catch it: the takeover is refused, the device distrusted (S8), "
            "and its check finds `implausible`."
        ),
    ),
    Case(
        SECTION,
        "our own worker is killed after the order",
        sim(off_settle_s=1.0),
        steps=((Happened.ACKNOWLEDGED, kill_worker),),
        kills_worker=True,
        sessions_left=1,
        note="a killed worker cannot log out: the BMC drops its session after 60 s",
        then="nothing for the BMC: find out who killed the worker; it is started again by itself",
    ),
)
