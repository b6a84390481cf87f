# SPDX-License-Identifier: GPL-2.0-or-later
"""The redfish driver against emulated BMCs, with a vendor's face each where it matters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

from fencing import DeviceSettings, Option, Secret
from fencing.verify import Happened
from hil.redfish.bmc import RedfishBmc
from hil.redfish.certificates import Authority
from hil.redfish.faces import FACES

from .case import Case, Rig
from .verdict import PASSWORD

SECTION = "redfish"
DEADLINE_S = 4.0
OPTIONS: dict[str, Option] = {"connect": 1.0, "answer": 1.0}
OTHER = UUID("00000000-89ab-cdef-a123-456789abcdef")


def settings(bmc: RedfishBmc, authority: Authority, **changes: Any) -> DeviceSettings:
    """What reaches this BMC; `options` are added, and one that is "" is left out."""
    options: dict[str, Option] = OPTIONS | {"port": bmc.port, "ca_file": str(authority.file)}
    options |= changes.pop("options", {})
    plain = DeviceSettings(
        name="bmc",
        driver="redfish",
        address=bmc.address,
        user=bmc.user,
        password=Secret(PASSWORD.encode()),
        off_settle_s=0.0,
        deadline_s=DEADLINE_S,
        options={name: value for name, value in options.items() if value != ""},
    )
    return replace(plain, **changes)


def redfish(
    face: str = "idrac",
    certificate: Callable[[Authority, Authority], Any] = lambda ours, _: ours.issue(),
    **changes: Any,
) -> Callable[[Path], AbstractContextManager[Rig[RedfishBmc]]]:
    """A rig of one BMC; `changes` are of the settings.

    Args:
        face: Whose it is like.
        certificate: What it shows; made by the authority that is believed, or by the other.
        changes: Of the settings.
    """

    @contextmanager
    def built(folder: Path) -> Iterator[Rig[RedfishBmc]]:
        ours, other = Authority(folder), Authority(folder, "another authority")
        with started(certificate(ours, other), face) as bmc:
            yield rig_of(bmc, settings(bmc, ours, **changes))

    return built


@contextmanager
def started(certificate: Any, face: str = "idrac") -> Iterator[RedfishBmc]:
    """A BMC that is up, with our password."""
    bmc = RedfishBmc(certificate, face=face)
    bmc.password = PASSWORD
    with bmc:
        yield bmc


def rig_of(bmc: RedfishBmc, *devices: DeviceSettings) -> Rig[RedfishBmc]:
    """The rig of a BMC that is up."""
    return Rig(
        emulator=bmc,
        devices=devices,
        runs=lambda: bmc.machine.power == "on",
        orders=lambda: bmc.orders.count("ForceOff"),
        sessions=lambda: len(bmc.sessions),
    )


def fault(**faults: object) -> Callable[[Rig[RedfishBmc]], None]:
    """Set faults of the emulator."""

    def break_it(rig: Rig[RedfishBmc]) -> None:
        for name, value in faults.items():
            setattr(rig.emulator.faults, name, value)

    return break_it


def off_already(rig: Rig[RedfishBmc]) -> None:
    """Switch the machine off."""
    rig.emulator.machine.power = "off"


def _speaks_again(rig: Rig[RedfishBmc]) -> None:
    """End the silence; nobody could log out in it."""
    rig.emulator.faults.silent = rig.emulator.faults.mute = False
    rig.emulator.sessions.clear()


def _stop(rig: Rig[RedfishBmc]) -> None:
    rig.emulator.stop()
    rig.emulator.sessions.clear()  # As nobody can end them in a dead BMC.


def _restart(rig: Rig[RedfishBmc]) -> None:
    rig.emulator.restart()


_LOOK = "go and look: the machine may be on. Its BMC takes orders and does nothing: restart the BMC"
_REACHED = "make the BMC reachable; until then the next level or `haagent confirm-off` proves"
_UNCLEAR = (
    "look at the machine and the BMC's own log; the next level or `haagent confirm-off` proves"
)

_WELL = (
    Case(SECTION, "none", redfish(), ends_well=True),
    *(
        Case(SECTION, f"none, with a face like {face}", redfish(face), ends_well=True)
        for face in FACES
        if face != "idrac"
    ),
    *(
        Case(
            SECTION,
            f"the machine is off already ({how})",
            redfish(face),
            strike=off_already,
            ends_well=True,
        )
        for face, how in (
            ("idrac", "iDRAC refuses with 409"),
            ("ilo", "iLO refuses with 400"),
            ("openbmc", "OpenBMC says success"),
        )
    ),
    Case(
        SECTION,
        "goes off a second after the order",
        redfish(),
        strike=fault(late_s=1.0),
        ends_well=True,
    ),
    Case(
        SECTION,
        "says PoweringOff for a second",
        redfish(),
        strike=fault(powering_s=1.0),
        ends_well=True,
    ),
    Case(
        SECTION,
        "carries the order out and answers 500",
        redfish(),
        strike=fault(refused=True),
        ends_well=True,
    ),
    Case(
        SECTION,
        "carries the order out and cuts the connection",
        redfish(),
        strike=fault(lost=True),
        ends_well=True,
    ),
    Case(
        SECTION,
        "carries the order out and answers too late",
        redfish(),
        strike=fault(stuck_s=1.5),
        ends_well=True,
    ),
    Case(SECTION, "has restarted since the last check", redfish(), strike=_restart, ends_well=True),
    Case(
        SECTION,
        "restarts when it has carried the order out",
        redfish(off_settle_s=1.0),
        steps=((Happened.ACKNOWLEDGED, _restart),),
        ends_well=True,
    ),
    Case(
        SECTION,
        "says off a second before the machine is off; off_settle is longer",
        redfish(off_settle_s=1.5),
        strike=fault(lie_s=1.0),
        note="off_settle catches it",
        ends_well=True,
    ),
)
_UNWELL = (
    Case(
        SECTION,
        "acknowledges the order and does nothing",
        redfish(),
        strike=fault(ignored=True),
        then=_LOOK,
    ),
    *(
        Case(
            SECTION,
            f"says {says} for ever",
            redfish(),
            varies=True,
            strike=fault(says=state),
            then=_UNCLEAR,
        )
        for says, state in (
            ("PoweringOff", "PoweringOff"),
            ("null", None),
            ("off, spelled wrong", "off"),
        )
    ),
    Case(
        SECTION,
        "is silent since the last check",
        redfish(),
        varies=True,
        strike=fault(silent=True),
        heal=_speaks_again,
        then=_REACHED,
    ),
    Case(
        SECTION,
        "is silent from the beginning",
        redfish(),
        before=fault(silent=True),
        heal=_speaks_again,
    ),
    Case(
        SECTION,
        "takes connections and never answers in TLS",
        redfish(),
        before=fault(mute=True),
        heal=_speaks_again,
    ),
    Case(
        SECTION,
        "answers one byte now and then",
        redfish(),
        varies=True,
        strike=fault(drip_s=0.1),
        heal=_speaks_again,
    ),
    Case(SECTION, "port closed from the beginning", redfish(), before=_stop),
    Case(
        SECTION,
        "dies before the order (closed port, or unplugged)",
        redfish(),
        strike=_stop,
        then=_REACHED,
    ),
    Case(
        SECTION,
        "dies when it has carried the order out",
        redfish(off_settle_s=1.0),
        steps=((Happened.ACKNOWLEDGED, _stop),),
        then=_REACHED,
        note="the machine is off, and nothing proves it",
    ),
    Case(
        SECTION,
        "is not ready (503)",
        redfish(),
        strike=fault(not_ready=True),
        heal=_speaks_again,
        then="wait, or restart the BMC",
    ),
    Case(
        SECTION,
        "answers garbage",
        redfish(),
        strike=fault(garbage=b"<html>login</html>"),
        heal=_speaks_again,
    ),
    Case(
        SECTION,
        "sends us elsewhere (302)",
        redfish(),
        strike=fault(moved_to="https://192.0.2.1/redfish/v1"),
        heal=_speaks_again,
    ),
)
_LIARS = (
    Case(
        SECTION,
        "says off for ever and does nothing; nobody hears the machine",
        redfish(),
        strike=fault(ignored=True),
        steps=((Happened.ACKNOWLEDGED, fault(says="Off")),),
        lie="believed: nothing in the device tells. The address probe refuses the takeover if the "
        "machine answers for it (S8); a machine that is silent on every link and answers for "
        "nothing is not caught. Two independent levels and drills are the remedy.",
        then="replace the BMC's firmware or the BMC; add a level that is no part of it",
    ),
    Case(
        SECTION,
        "says off for ever and does nothing; the machine is heard",
        redfish(check_every_s=1.5),
        strike=fault(ignored=True),
        steps=((Happened.ACKNOWLEDGED, fault(says="Off")),),
        heard=True,
        lie="believed: nothing in the device tells. The frames heard catch it: the takeover is "
        "refused, the device distrusted (S8), and its check finds `implausible`.",
    ),
    Case(
        SECTION,
        "has said off from the beginning, and the machine is heard",
        redfish(check_every_s=1.5),
        before=fault(ignored=True, says="Off"),
        heard=True,
        lie="as before, and without any fence: `implausible` stands in `status` after two checks.",
    ),
)

CASES = (*_WELL, *_UNWELL, *_LIARS)
