# SPDX-License-Identifier: GPL-2.0-or-later
"""The ipmi driver against our own BMC, for the faults that ipmi_sim cannot have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from fencing.verify import Happened
from hil.rmcp import RmcpBmc
from hil.rmcp_chassis import CONTROL, STATUS, RestorePolicy
from hil.rmcp_packet import RAKP2
from hil.rmcp_sessions import USER, PrivilegeCheck

from .case import Case, Rig, is_another, nothing
from .ipmi_cases import OTHER, SECTION, settings
from .verdict import PASSWORD

GUID = UUID("b1234567-89ab-cdef-a123-456789abcdef")
"""What our own BMC tells unless it is told otherwise."""


def rmcp(
    bmc: dict[str, Any] | None = None, **changes: Any
) -> Callable[[Path], AbstractContextManager[Rig[RmcpBmc]]]:
    """A rig of our own BMC; `changes` are of the settings."""

    @contextmanager
    def built(folder: Path) -> Iterator[Rig[RmcpBmc]]:
        del folder
        with RmcpBmc(password=PASSWORD.encode(), **(bmc or {})) as running:
            yield Rig(
                emulator=running,
                devices=(settings(running, **changes),),
                runs=lambda: running.chassis.on,
                orders=lambda: running.chassis.orders.count("off"),
                sessions=lambda: running.sessions,
            )

    return built


def _with_suite_3(rig: Rig[RmcpBmc]) -> None:
    rig.emulator.table.suites = (3,)


def _restart_as_another(rig: Rig[RmcpBmc]) -> None:
    rig.emulator.chassis.guid = rig.emulator.table.guid = OTHER
    rig.emulator.restart()
    is_another(rig)


def _silent(rig: Rig[RmcpBmc]) -> None:
    rig.emulator.link.silent = True


def _speaks_again(rig: Rig[RmcpBmc]) -> None:
    rig.emulator.link.silent = False
    rig.emulator.table.sessions.clear()  # Nobody could log out of them.


def _stop(rig: Rig[RmcpBmc]) -> None:
    rig.emulator.stop()


def _drops_rakp1(rig: Rig[RmcpBmc]) -> None:
    rig.emulator.login.drop_rakp1 = True


def _full(rig: Rig[RmcpBmc]) -> None:
    rig.emulator.table.slots = 0


def _no_answer_to_orders(rig: Rig[RmcpBmc]) -> None:
    rig.emulator.link.lost.add(CONTROL)


def _no_answer_to_one_query(rig: Rig[RmcpBmc]) -> None:
    rig.emulator.link.lost_answers = 1


def _half_answers(rig: Rig[RmcpBmc]) -> None:
    rig.emulator.chassis.faults.empty_status = True


def _busy(times: int) -> Callable[[Rig[RmcpBmc]], None]:
    def break_it(rig: Rig[RmcpBmc]) -> None:
        rig.emulator.link.busy = times

    return break_it


def _no_status(rig: Rig[RmcpBmc]) -> None:
    rig.emulator.link.refused[STATUS] = 0xC1


def _refuses_because_off(rig: Rig[RmcpBmc]) -> None:
    rig.emulator.chassis.on = False
    rig.emulator.chassis.faults.refuse_when_off = True


def _switched_on(rig: Rig[RmcpBmc]) -> None:
    rig.emulator.chassis.on = True


def _stays_off(rig: Rig[RmcpBmc]) -> None:
    rig.emulator.chassis.restore_policy = RestorePolicy.ALWAYS_OFF
    rig.emulator.chassis.flags = 1 << 3


def _loses_rakp2(rig: Rig[RmcpBmc]) -> None:
    rig.emulator.login.lost.append(RAKP2)


_EVER = 1_000_000

CASES = (
    Case(
        SECTION,
        "refuses off because the machine is off (D5h)",
        rmcp(),
        before=_refuses_because_off,
        ends_well=True,
    ),
    Case(
        SECTION,
        "carries orders out and never acknowledges one",
        rmcp(),
        strike=_no_answer_to_orders,
        ends_well=True,
    ),
    Case(SECTION, "one answer is lost", rmcp(), strike=_no_answer_to_one_query, ends_well=True),
    Case(SECTION, "busy for a moment (C0h)", rmcp(), strike=_busy(3), ends_well=True),
    Case(
        SECTION,
        "busy for ever (C0h)",
        rmcp(),
        strike=_busy(_EVER),
        varies=True,
        sessions_left=2,
        note="it refuses the log-out too, and drops the sessions after 60 s",
    ),
    Case(
        SECTION,
        "is silent since the last check",
        rmcp(),
        strike=_silent,
        heal=_speaks_again,
    ),
    Case(SECTION, "is silent from the beginning", rmcp(), before=_silent, heal=_speaks_again),
    Case(SECTION, "port closed from the beginning", rmcp(), before=_stop),
    Case(SECTION, "no such user's login is answered", rmcp(), before=_drops_rakp1),
    Case(SECTION, "one answer to the login is lost", rmcp(), before=_loses_rakp2, ends_well=True),
    Case(
        SECTION,
        "the account may not switch power, and is told so at the login",
        rmcp({"privilege": USER}),
        before=nothing,
    ),
    Case(
        SECTION,
        "the account may not switch power, and is let in all the same",
        rmcp({"privilege": USER, "privilege_check": PrivilegeCheck.COMMAND}),
        varies=True,
        before=nothing,
    ),
    Case(SECTION, "its session table is full", rmcp(), before=_full),
    Case(
        SECTION,
        "its session table is full since the last check",
        rmcp(),
        strike=_full,
        ends_well=True,
    ),
    Case(SECTION, "knows only cipher suite 3", rmcp(), before=_with_suite_3, ends_well=True),
    Case(
        SECTION,
        "has a BMC key that is not configured",
        rmcp({"kg": b"bmc-key"}),
        before=nothing,
        sessions_left=2,
        note="a half session stays in the BMC until 60 s have passed: without the key nobody can "
        "close it",
    ),
    Case(
        SECTION,
        "another machine's BMC has its address since the last check",
        rmcp(expect_identity=GUID),
        strike=_restart_as_another,
    ),
    Case(
        SECTION,
        "another machine's BMC has its address after the order",
        rmcp(expect_identity=GUID, off_settle_s=1.0),
        steps=((Happened.ACKNOWLEDGED, _restart_as_another),),
    ),
    Case(SECTION, "its chassis status is empty", rmcp(), strike=_half_answers),
    Case(SECTION, "has no chassis status", rmcp(), strike=_no_status),
    Case(
        SECTION,
        "somebody switches the machine on before the proof is complete",
        rmcp(off_settle_s=0.5),
        steps=((Happened.READ, _switched_on),),
        ends_well=True,
    ),
    Case(
        SECTION,
        "restore policy always-off, and a power fault",
        rmcp(),
        before=_stays_off,
        ends_well=True,
    ),
)
