# SPDX-License-Identifier: GPL-2.0-or-later
"""What only a Sentry does: two states, towers with the same numbers, a pager with a question."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pdu_bench import BAUD, OURS, PASSWORD, both, device, powers, settings

from fencing import FenceError, Power
from fencing.drivers.pdu import PduDevice
from fencing.drivers.pdu.sentry import DIALECT
from fencing.findings import Trouble
from hil.pdu.sentry import Cdu, Pdu

READ = DIALECT.changed({})


@pytest.mark.parametrize(
    ("states", "power"),
    [
        ("On         On", Power.ON),
        ("On         Idle On", Power.ON),
        ("On         Wake On", Power.ON),
        ("Off        Off", Power.OFF),
        ("Off        Idle Off", Power.OFF),
        ("Off        Wake Off", Power.OFF),
        ("Off        Pend On", Power.UNKNOWN),
        ("Off        Reboot", Power.UNKNOWN),
        ("Off        On", Power.UNKNOWN),
        ("On         Off", Power.UNKNOWN),
        ("On/Wait    Off", Power.UNKNOWN),
        ("Off/Wait   On", Power.UNKNOWN),
        ("On/Error   Off", Power.UNKNOWN),
        ("Off/Error  Off", Power.UNKNOWN),
        ("Off/Fuse   On", Power.UNKNOWN),
        ("On/Fuse    On", Power.UNKNOWN),
        ("No Comm    Off", Power.UNKNOWN),
    ],
)
@pytest.mark.parametrize("name", ["TowerA_Outlet2", "db-1", "Off", "On", ""])
def test_both_states(name: str, states: str, power: Power) -> None:
    """Off is what is off and was told so; each row of the PRO1 manual's table, with any name."""
    assert READ.states(f"   .AA2     {name:<27}{states} \n") == {2: power}


def test_one_state_is_none() -> None:
    """A row of which a part is missing says nothing."""
    assert READ.states("   .AA2     TowerA_Outlet2             Off\n").get(2) is not Power.OFF
    assert READ.states("   .AA2     Off\n") == {}
    assert READ.states("   .AA2\n") == {}


def test_other_towers_are_not_ours(tmp_path: Path) -> None:
    """The other tower has an outlet 2, too: it is neither read nor switched."""
    with both("sentry", tmp_path) as (pdu, driver):
        assert isinstance(pdu, Cdu)
        driver.off()
        assert powers(pdu) == [False, False]
        assert pdu.others_ordered == []
        assert driver.status() is Power.OFF
    assert READ.states("   .AB2     x   Off   Off\n") == {}
    assert READ.states("   .AA2 x Off Off\n   .AB2 x On On\n") == {2: Power.OFF}


def test_the_other_tower(tmp_path: Path) -> None:
    """`tower` leads there, and our tower is left alone."""
    with both("sentry", tmp_path, options={"tower": ".AB"}) as (pdu, driver):
        assert isinstance(pdu, Cdu)
        driver.off()
        assert pdu.others_ordered == [".AB2", ".AB5"]
        assert all(powers(pdu))
        assert driver.status() is Power.ON


def test_firmware_8(tmp_path: Path) -> None:
    """Without the dot, with another prompt: off, on and status all the same."""
    reached = settings("sentry", tmp_path, options={"tower": "AA"})
    with (
        Pdu(Path(reached.address), account=("cyber", PASSWORD), baud=BAUD) as pdu,
        device(reached) as driver,
    ):
        driver.off()
        assert driver.status() is Power.OFF
        assert powers(pdu) == [False, False]
        driver.on()
        assert driver.status() is Power.ON


def test_tower_of_another_firmware(tmp_path: Path) -> None:
    """A tower that the PDU has not is found by the check, and orders nothing."""
    with both("sentry", tmp_path, options={"tower": ".C"}) as (pdu, driver):
        assert driver.status() is Power.UNKNOWN
        (finding,) = [one for one in driver.inspect().findings if one.trouble is Trouble.SETTINGS]
        assert "lists none" in finding.text
        with pytest.raises(FenceError) as refused:
            driver.off()
        assert refused.value.trouble is Trouble.REFUSED
        assert all(pdu.relays.on.values())


@pytest.mark.parametrize("tower", ["", ".", "all,.AA", ".AA1 ", "AAA", "1", ".A*", "A\r"])
def test_towers_that_cannot_be(tower: str, tmp_path: Path) -> None:
    """What is no tower is refused; `off 2` could name a group, `off all,.AA2` would name all."""
    with pytest.raises(FenceError, match="tower") as refused:
        PduDevice(settings("sentry", tmp_path, options={"tower": tower}))
    assert refused.value.trouble is Trouble.SETTINGS


def test_pending_control_is_waited_for(tmp_path: Path) -> None:
    """An outlet that is off and about to come on again is not off."""
    with both("sentry", tmp_path) as (pdu, driver):
        assert isinstance(pdu, Cdu)
        pdu.relays.switch(OURS, on=False)
        assert driver.status() is Power.OFF
        pdu.states.controls[5] = "Pend On"
        assert driver.status() is Power.UNKNOWN


def test_nameless_outlets(tmp_path: Path) -> None:
    """An outlet without a name has a row, too."""
    with both("sentry", tmp_path) as (pdu, driver):
        assert isinstance(pdu, Cdu)
        pdu.states.nameless = frozenset(OURS)
        assert driver.status() is Power.ON
        driver.off()
        assert driver.status() is Power.OFF


def test_state_in_a_refusal_is_no_refusal() -> None:
    """The words of a refusal in an outlet's name or state do not refuse anything."""
    row = "   .AA2     failed                     On/Error   Off\n   Command successful\n"
    assert READ.refusal(row) is None
    assert READ.refusal("   Outlet name not found\n") == "Outlet name not found"
    assert READ.refusal("   Access denied\n") == "Access denied"


def test_pager(tmp_path: Path) -> None:
    """Its question is answered until the prompt comes."""
    with both("sentry", tmp_path) as (pdu, driver):
        pdu.faults.page_lines = 4
        driver.off()
        assert driver.status() is Power.OFF
        assert powers(pdu) == [False, False]


def test_no_setting_is_changed(tmp_path: Path) -> None:
    """Nothing but questions and orders is typed: a session of ours leaves the PDU as it was."""
    with both("sentry", tmp_path) as (pdu, driver):
        driver.inspect()
        driver.off()
        driver.status()
        driver.rest()
        verbs = {command.split()[0] for command in pdu.commands}
        assert verbs == {"status", "off", "logout"}


def test_a_tower_is_of_no_other_dialect(tmp_path: Path) -> None:
    """Where outlets have no tower, the option changes nothing."""
    plain = settings("apc", tmp_path, options={"tower": ".AA"})
    PduDevice(plain).close()
    PduDevice(replace(plain, options={"dialect": "apc", "outlets": (1,)})).close()
