# SPDX-License-Identifier: GPL-2.0-or-later
"""The redfish driver: accounts, sessions, certificates, clocks and identities that are wrong."""

from __future__ import annotations

from fencing import Secret
from hil.redfish.bmc import UUID_OF_FIRST, RedfishBmc

from .case import Case, Rig, is_another, nothing
from .redfish_cases import OTHER, SECTION, fault, redfish

WRONG = Secret(b"not-the-word")
_PIN = "ab" * 32


def _restart_as_another(rig: Rig[RedfishBmc]) -> None:
    rig.emulator.restart()
    rig.emulator.machine.uuid = OTHER
    is_another(rig)


def _read_only(rig: Rig[RedfishBmc]) -> None:
    rig.emulator.manager.role = "ReadOnly"


def _old_clock(rig: Rig[RedfishBmc]) -> None:
    rig.emulator.manager.clock_off_s = -3600.0


CASES = (
    Case(SECTION, "wrong password", redfish(password=WRONG), before=nothing),
    Case(
        SECTION,
        "wrong password, with basic authentication",
        redfish(password=WRONG, options={"auth": "basic"}),
        before=nothing,
    ),
    Case(SECTION, "the account may only read", redfish(), before=_read_only, varies=True),
    Case(
        SECTION,
        "the account may not switch power, and nothing tells",
        redfish(),
        varies=True,
        strike=fault(forbidden=True),
        then="give the account the right to switch power: Operator or PowerControl",
    ),
    Case(SECTION, "its session table is full", redfish(), before=fault(sessions_max=0)),
    Case(
        SECTION,
        "its session table is full since the last check",
        redfish(),
        strike=fault(sessions_max=1),
        ends_well=True,
    ),
    Case(
        SECTION,
        "its certificate has expired",
        redfish(certificate=lambda ours, _: ours.issue(days=-1, begins_days=-30)),
        before=nothing,
    ),
    Case(
        SECTION,
        "its certificate is from another authority",
        redfish(certificate=lambda _, other: other.issue()),
        before=nothing,
    ),
    Case(
        SECTION,
        "its certificate is for another name",
        redfish(certificate=lambda ours, _: ours.issue(["bmc-b.example"])),
        before=nothing,
    ),
    Case(
        SECTION,
        "its certificate is not the one that is pinned",
        redfish(options={"ca_file": "", "fingerprint": _PIN}),
        before=nothing,
    ),
    Case(
        SECTION,
        "its certificate ends in a week",
        redfish(certificate=lambda ours, _: ours.issue(days=7)),
        before=nothing,
        ends_well=True,
    ),
    Case(SECTION, "its clock is an hour late", redfish(), before=_old_clock, ends_well=True),
    Case(
        SECTION,
        "answers for another machine",
        redfish(expect_identity=OTHER),
        before=is_another,
    ),
    Case(
        SECTION,
        "another machine's BMC has its address since the last check",
        redfish(expect_identity=UUID_OF_FIRST),
        strike=_restart_as_another,
        then="correct the address: the order was refused by the one, and not given to the other",
    ),
)
