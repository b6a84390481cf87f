# SPDX-License-Identifier: GPL-2.0-or-later
"""The pdu driver against emulated PDUs: the same machine on two outlets of one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import serial

from fencing import DeviceSettings, Option, Secret
from fencing.verify import Happened
from hil.pdu.apc import Apc
from hil.pdu.baytech import Rpc3Nc
from hil.pdu.console import Console
from hil.pdu.cyberpower import CyberPower
from hil.pdu.raritan import Raritan
from hil.pdu.rps10 import Rps10
from hil.pdu.sentry import Cdu
from hil.pdu.wti import Ips, Nps

from .case import Act, Case, Rig, is_another, nothing
from .verdict import PASSWORD

SECTION = "pdu"
DEADLINE_S = 7.0
"""The driver says that it needs 6 s, at 9600 baud; less would be found in every row."""
BAUD = 115_200
OURS = (2, 5)
WRONG = Secret(b"not-the-word")
BACK_S = 0.5
"""A USB adapter that was reset is back in about a second."""


@dataclass(frozen=True)
class Make:
    """One make of PDU: its dialect and who plays it."""

    dialect: str
    emulator: type[Console | Rps10]
    user: str = "haagent"


MAKES = {
    "CyberPower": Make("cyberpower", CyberPower),
    "APC": Make("apc", Apc),
    "WTI NPS": Make("wti", Nps),
    "WTI IPS": Make("wti", Ips, user=""),
    "Raritan": Make("raritan", Raritan),
    "Sentry": Make("sentry", Cdu),
    "BayTech": Make("baytech", Rpc3Nc),
    "WTI RPS-10": Make("rps10", Rps10, user=""),
}
WITHOUT_LOGIN = {"WTI RPS-10"}


def pdu(make: str, **changes: Any) -> Callable[[Path], AbstractContextManager[Rig[Any]]]:
    """A rig of one PDU; `changes` are of the settings."""
    of = MAKES[make]

    @contextmanager
    def built(folder: Path) -> Iterator[Rig[Any]]:
        path = folder / "tty"
        cut: list[int] = []

        def on_change(outlet: int, on: bool) -> None:  # noqa: FBT001  # the form of OnChange
            if not on:
                cut.append(outlet)

        emulator = of.emulator(path, account=(of.user, PASSWORD), baud=BAUD, on_change=on_change)
        if isinstance(emulator, CyberPower):
            emulator.off_delay_s = 0
        with emulator:
            yield Rig(
                emulator=emulator,
                devices=(settings(of, path, **changes),),
                runs=lambda: any(emulator.relays.on[outlet] for outlet in OURS),
                orders=lambda: len(cut),
                sessions=lambda: int(isinstance(emulator, Console) and emulator.session),
                line_free=lambda: _is_free(path),
            )

    return built


def settings(make: Make, path: Path, **changes: Any) -> DeviceSettings:
    """What reaches it; `options` are added to those that are needed."""
    options: dict[str, Option] = {"dialect": make.dialect, "outlets": OURS, "answer": 1.0}
    options |= changes.pop("options", {})
    plain = DeviceSettings(
        name="pdu",
        driver="pdu",
        address=str(path),
        user=make.user,
        password=Secret(PASSWORD.encode()),
        off_settle_s=0.0,
        deadline_s=DEADLINE_S,
        options=options,
    )
    return replace(plain, **changes)


def _is_free(path: Path) -> bool:
    """Whether the line could be had now; one that is gone is nobody's."""
    try:
        serial.Serial(str(path), exclusive=True).close()
    except FileNotFoundError:
        return True
    except serial.SerialException:
        return not path.exists()
    return True


def _logged_out(rig: Rig[Any]) -> None:
    """End the session without a word, as by a time-out; the next character wakes the emulator."""
    rig.emulator.later(0, rig.emulator.end_session)


def _stuck(*outlets: int) -> Act:
    def break_it(rig: Rig[Any]) -> None:
        rig.emulator.relays.stuck = frozenset(outlets)

    return break_it


def _off_already(rig: Rig[Any]) -> None:
    rig.emulator.relays.switch(OURS, on=False)


def _fault(**faults: object) -> Act:
    def break_it(rig: Rig[Any]) -> None:
        for name, value in faults.items():
            setattr(rig.emulator.faults, name, value)

    return break_it


def _line(**faults: object) -> Act:
    def break_it(rig: Rig[Any]) -> None:
        for name, value in faults.items():
            setattr(rig.emulator.line, name, value)

    return break_it


def _delays(seconds: int) -> Act:
    def break_it(rig: Rig[Any]) -> None:
        rig.emulator.off_delay_s = seconds

    return break_it


def _babbles(rig: Rig[Any]) -> None:
    rig.emulator.babble_on()


def _alarm(rig: Rig[Any]) -> None:
    rig.emulator.babble(b"\r\n*** Alarm: bank 1 near overload ***\r\n" + rig.emulator.prompt)


def _pull(rig: Rig[Any]) -> None:
    rig.emulator.pull()


def _pull_and_plug(rig: Rig[Any]) -> None:
    rig.emulator.pull()
    threading.Timer(BACK_S, rig.emulator.plug).start()


def _take_line(rig: Rig[Any]) -> None:
    rig.emulator.other = serial.Serial(str(rig.emulator.path), exclusive=True)


def _free_line(rig: Rig[Any]) -> None:
    rig.emulator.other.close()


def _take_line_for_a_second(rig: Rig[Any]) -> None:
    _take_line(rig)
    threading.Timer(1.0, rig.emulator.other.close).start()


def _lies(rig: Rig[Any]) -> None:
    _stuck(*OURS)(rig)
    rig.emulator.faults.lies = dict.fromkeys(OURS, "Off")


def _lies_once_ordered(rig: Rig[Any]) -> None:
    rig.emulator._in_thread(lambda: _lies(rig))


def _switched_on(rig: Rig[Any]) -> None:
    rig.emulator.relays.switch(OURS, on=True)


_LOOK = "look at the PDU: the outlet does not move; the next level or `haagent confirm-off` proves"
_LINE = "check the cable and the adapter; until then the next level or `haagent confirm-off` proves"

_EVERY = (
    *(Case(SECTION, f"none ({make})", pdu(make), ends_well=True) for make in MAKES),
    *(
        Case(
            SECTION,
            f"one of the machine's two outlets is stuck ({make})",
            pdu(make),
            varies=make in WITHOUT_LOGIN,  # It is slow: its last reading ends at the deadline.
            strike=_stuck(OURS[1]),
            then=_LOOK,
        )
        for make in ("CyberPower", "Raritan", "WTI RPS-10")
    ),
    *(
        case
        for make in MAKES
        if make not in WITHOUT_LOGIN
        for case in (
            Case(
                SECTION,
                f"ends the session in the midst: a login prompt stands there ({make})",
                pdu(make, off_settle_s=0.5, deadline_s=8.0),
                steps=((Happened.ACKNOWLEDGED, _logged_out),),
                ends_well=True,
            ),
            Case(SECTION, f"wrong password ({make})", pdu(make, password=WRONG), before=nothing),
        )
    ),
)
_OUTLETS = (
    Case(SECTION, "the outlets are off already", pdu("APC"), strike=_off_already, ends_well=True),
    Case(
        SECTION,
        "acknowledges the orders and does nothing",
        pdu("APC"),
        strike=_fault(ignores_orders=True),
        then=_LOOK,
    ),
    Case(
        SECTION,
        "waits a second by itself before it cuts an outlet",
        pdu("CyberPower", deadline_s=9.0),
        before=_delays(1),
        ends_well=True,
    ),
    Case(
        SECTION,
        "waits longer by itself than the deadline is",
        pdu("CyberPower"),
        before=_delays(9),
        goes_off_later=True,
    ),
    Case(
        SECTION,
        "does not have these outlets",
        pdu("WTI NPS", options={"outlets": (2, 12)}),
        varies=True,
        before=nothing,
    ),
    Case(
        SECTION,
        "leaves an outlet out of its status",
        pdu("APC"),
        strike=_fault(unlisted=frozenset({5})),
    ),
    Case(
        SECTION,
        "somebody switches the outlets on before the proof is complete",
        pdu("WTI NPS", off_settle_s=0.5, deadline_s=8.0),
        steps=((Happened.READ, _switched_on),),
        ends_well=True,
    ),
    Case(
        SECTION,
        "says off, the outlets are stuck, and it measures their current",
        pdu("APC"),
        steps=((Happened.ORDERED, _lies_once_ordered),),
        note="the current contradicts the switch",
    ),
    Case(
        SECTION,
        "says off, the outlets are stuck, and it measures nothing",
        pdu("WTI NPS"),
        strike=_stuck(*OURS),
        steps=((Happened.ACKNOWLEDGED, _lies_once_ordered),),
        lie="believed: a PDU shows what it ordered its relays to do. A make that measures the "
        "outlets' current catches it; else the address probe, and frames heard (S8).",
        then="replace the PDU; prefer one that measures each outlet",
    ),
    Case(
        SECTION,
        "its outlets feed another machine",
        pdu("APC"),
        strike=is_another,
        lie="believed: a PDU does not know whom it feeds (`identity_unknown`). A drill catches it; "
        "else the address probe, and frames heard (S8).",
        then="prove the wiring with a drill",
    ),
)
_LINES = (
    Case(SECTION, "says nothing, from the beginning", pdu("APC"), before=_line(deaf=True)),
    Case(
        SECTION,
        "says nothing since the last check",
        pdu("CyberPower"),
        strike=_line(deaf=True),
        then=_LINE,
    ),
    Case(
        SECTION,
        "falls silent when it has carried the order out",
        pdu("WTI NPS", off_settle_s=1.0, deadline_s=8.0),
        varies=True,
        steps=((Happened.ACKNOWLEDGED, _line(mute=True)),),
        sessions_left=1,
        then=_LINE,
        note="nobody can log out; the PDU ends the session when it has been idle",
    ),
    Case(
        SECTION,
        "the line is noisy without end",
        pdu("APC"),
        strike=_babbles,
        sessions_left=1,
        note="a log-out may be lost in the noise; the PDU ends the session when it has been idle",
    ),
    Case(SECTION, "a character is lost", pdu("CyberPower"), strike=_line(lose=20), ends_well=True),
    Case(
        SECTION,
        "answers stop in the middle",
        pdu("WTI NPS", off_settle_s=0.5, deadline_s=8.0),
        varies=True,
        steps=((Happened.ACKNOWLEDGED, _line(cut_after=60)),),
        heal=_line(cut_after=None),
        sessions_left=1,
        note="nobody can log out; the PDU ends the session when it has been idle",
        then=_LINE,
    ),
    Case(
        SECTION,
        "does not echo what is typed",
        pdu("CyberPower"),
        before=_fault(echo=False),
        ends_well=True,
    ),
    Case(
        SECTION,
        "a pager stops its answers",
        pdu("WTI NPS"),
        before=_fault(page_lines=5),
        ends_well=True,
    ),
    Case(
        SECTION,
        "says something out of turn",
        pdu("APC", off_settle_s=0.5, deadline_s=8.0),
        steps=((Happened.ACKNOWLEDGED, _alarm),),
        ends_well=True,
    ),
    Case(SECTION, "the adapter is pulled out since the last check", pdu("APC"), strike=_pull),
    Case(
        SECTION,
        "the adapter is pulled out after the order",
        pdu("APC", off_settle_s=1.0, deadline_s=8.0),
        varies=True,
        steps=((Happened.ACKNOWLEDGED, _pull),),
        sessions_left=1,
        note="nobody can log out; the PDU ends the session when it has been idle",
        then=_LINE,
    ),
    Case(
        SECTION,
        "the adapter is pulled out after the order, and is soon back",
        pdu("CyberPower", off_settle_s=1.0, deadline_s=8.0),
        steps=((Happened.ACKNOWLEDGED, _pull_and_plug),),
        ends_well=True,
    ),
    Case(
        SECTION,
        "another process has the line",
        pdu("APC"),
        strike=_take_line,
        heal=_free_line,
    ),
    Case(
        SECTION,
        "another process has the line for a second",
        pdu("APC"),
        strike=_take_line_for_a_second,
        ends_well=True,
    ),
    Case(
        SECTION,
        "somebody else is logged in elsewhere",
        pdu("CyberPower"),
        before=_fault(taken=True),
    ),
)

CASES = (*_EVERY, *_OUTLETS, *_LINES)
