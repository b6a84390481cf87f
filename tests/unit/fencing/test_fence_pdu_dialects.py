# SPDX-License-Identifier: GPL-2.0-or-later
"""Every make of PDU, from login to log-out, and whatever its console may do to a reading."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pdu_bench import LIMIT_S, OURS, both, powers, read_off

from fencing import FenceError, Power
from fencing.findings import Trouble
from hil.pdu.apc import Apc
from hil.pdu.cyberpower import CyberPower
from hil.pdu.makes import MAKES
from hil.pdu.wti import Nps

every_make = pytest.mark.parametrize("make", MAKES)
OTHERS = (1, 3, 4, 6, 7, 8)


@every_make
def test_off_status_on(make: str, tmp_path: Path) -> None:
    """Ours are cut and given back, one by one; no other outlet ever moves."""
    with both(make, tmp_path) as (pdu, driver):
        assert driver.status() is Power.ON
        driver.off()
        assert read_off(driver)
        assert powers(pdu) == [False, False]
        assert all(powers(pdu, *OTHERS))
        driver.off()  # Being off already is no error.
        assert driver.status() is Power.OFF
        driver.on()
        assert driver.status() is Power.ON
        assert all(powers(pdu, *OURS, *OTHERS))


@every_make
def test_rest_logs_out(make: str, tmp_path: Path) -> None:
    """After rest() nobody is logged in and the line is free; the next question logs in again."""
    with both(make, tmp_path) as (pdu, driver):
        assert driver.status() is Power.ON
        assert driver.status() is Power.ON
        assert pdu.logins == 1
        assert pdu.session
        driver.rest()
        assert not pdu.session
        driver.rest()  # Nothing to do is no error.
        assert driver.status() is Power.ON
        assert pdu.logins == 2


@every_make
def test_order_and_reading_in_one_session(make: str, tmp_path: Path) -> None:
    """Two outlets are ordered off and read three times with one login."""
    with both(make, tmp_path) as (pdu, driver):
        driver.off()
        assert [driver.status() for _ in range(3)] == [Power.OFF] * 3
        assert pdu.logins == 1


@every_make
def test_orders_name_one_outlet(make: str, tmp_path: Path) -> None:
    """No order names more than one outlet, and none is for all, a group, a reboot or Ctrl-C."""
    with both(make, tmp_path) as (pdu, driver):
        driver.off()
        driver.on()
        switches = re.compile(r"(?i)oltctrl |/o(n|ff) |olo(n|ff) |power |o(n|ff) ")
        orders = list(filter(switches.match, pdu.commands))
        assert len(orders) == 2 * len(OURS), pdu.commands
        for order, outlet in zip(orders, OURS * 2, strict=True):
            assert re.findall(r"\d+", order) == [str(outlet)]
            assert not re.search(r"(?i)\ball\b|\*|boot|\x03|group", order)


@every_make
@pytest.mark.parametrize("still_on", OURS)
def test_one_on_is_on(make: str, still_on: int, tmp_path: Path) -> None:
    """One outlet that is stuck on keeps the machine running: the reading is ON."""
    with both(make, tmp_path) as (pdu, driver):
        pdu.relays.stuck = frozenset({still_on})
        driver.off()
        # A Sentry contradicts itself then: the outlet is on, and was told to be off.
        assert driver.status() is (Power.UNKNOWN if make == "sentry" else Power.ON)


@every_make
def test_ignored_order_is_seen(make: str, tmp_path: Path) -> None:
    """An order that is acknowledged and not carried out reads ON."""
    with both(make, tmp_path) as (pdu, driver):
        pdu.faults.ignores_orders = True
        driver.off()
        assert not read_off(driver, 3)
        assert all(powers(pdu))


@every_make
@pytest.mark.parametrize("word", ["Off*", "Busy", "", "Offline"])
def test_unclear_state_is_unknown(make: str, word: str, tmp_path: Path) -> None:
    """Only the exact word counts: with one outlet off and one unclear, nothing is known."""
    with both(make, tmp_path) as (pdu, driver):
        pdu.relays.switch(OURS, on=False)
        pdu.faults.lies[OURS[1]] = word
        assert driver.status() is Power.UNKNOWN


@every_make
def test_own_delay_is_waited_for(make: str, tmp_path: Path) -> None:
    """An order that is pending does not read OFF before the outlet is."""
    with both(make, tmp_path) as (pdu, driver):
        pdu.faults.own_delay_s = 0.5
        if isinstance(pdu, CyberPower):
            pdu.off_delay_s = 1
        driver.off()
        while driver.status() is not Power.OFF:
            pass
        assert powers(pdu) == [False, False]


@every_make
def test_missing_outlet(make: str, tmp_path: Path) -> None:
    """An outlet that the PDU has not is a finding with its name, and never reads OFF."""
    with both(make, tmp_path, options={"outlets": (2, 9)}) as (pdu, driver):
        pdu.relays.switch([2], on=False)
        assert driver.status() is Power.UNKNOWN
        (finding,) = [one for one in driver.inspect().findings if one.trouble is Trouble.SETTINGS]
        assert "outlet 9" in finding.text
        # A Sentry is asked for ours only.
        assert ("lists 2" if make == "sentry" else "lists 1, 2, 3") in finding.text
        with pytest.raises(FenceError) as refused:
            driver.off()
        assert refused.value.trouble is Trouble.REFUSED
        assert all(powers(pdu, *OTHERS))


@every_make
def test_unlisted_outlet_is_unknown(make: str, tmp_path: Path) -> None:
    """An outlet whose row is missing is not known to be off."""
    with both(make, tmp_path) as (pdu, driver):
        pdu.relays.switch(OURS, on=False)
        pdu.faults.unlisted = frozenset({5})
        assert driver.status() is Power.UNKNOWN


@every_make
def test_without_echo(make: str, tmp_path: Path) -> None:
    """A console that is set not to echo works, too."""
    with both(make, tmp_path) as (pdu, driver):
        pdu.faults.echo = False
        driver.off()
        assert driver.status() is Power.OFF
        assert powers(pdu) == [False, False]


@every_make
def test_inspect_names_the_hardware(make: str, tmp_path: Path) -> None:
    """The mark is the same for two entries of one PDU's outlets, and no identity is claimed."""
    with both(make, tmp_path) as (_, driver):
        inspection = driver.inspect()
        assert inspection.mark == driver.inspect().mark
        assert "2, 5" in inspection.mark
        assert driver.identify() is None
        assert [one.trouble for one in inspection.findings] == [Trouble.IDENTITY_UNKNOWN]


def test_mark_of_a_serial_number(tmp_path: Path) -> None:
    """A PDU that tells who it is is known by that, whatever line leads to it."""
    with both("cyberpower", tmp_path) as (pdu, driver):
        assert isinstance(pdu, CyberPower)
        assert pdu.mac in driver.inspect().mark
    with both("apc", tmp_path) as (pdu, driver):
        assert isinstance(pdu, Apc)
        assert pdu.serial in driver.inspect().mark


def test_cyberpower_delay_is_read(tmp_path: Path) -> None:
    """What a CyberPower waits by itself is read from it; a deadline that is too short is named."""
    with both("cyberpower", tmp_path, deadline_s=20.0) as (pdu, driver):
        assert isinstance(pdu, CyberPower)
        pdu.off_delay_s = 3
        inspection = driver.inspect()
        assert inspection.own_delay_s == 3.0
        assert Trouble.DELAY not in [one.trouble for one in inspection.findings]
        pdu.off_delay_s = 20
        inspection = driver.inspect()
        assert inspection.own_delay_s == 20.0
        assert Trouble.DELAY in [one.trouble for one in inspection.findings]


def test_apc_current_is_evidence(tmp_path: Path) -> None:
    """Near zero current is shown when the outlets read off; what still flows contradicts them."""
    with both("apc", tmp_path) as (pdu, driver):
        assert driver.status() is Power.ON
        assert driver.evidence() == ""
        driver.off()
        assert driver.status() is Power.OFF
        assert driver.evidence() == "outlet 2: 0 A, outlet 5: 0 A"
        pdu.relays.switch([5], on=True)
        pdu.faults.lies[5] = "Off"  # A relay that is welded.
        assert driver.status() is Power.UNKNOWN
        assert "outlet 5: 0.8 A" in driver.evidence()


def test_apc_without_meters(tmp_path: Path) -> None:
    """A model that measures no outlet is asked once and gives no evidence."""
    with both("apc", tmp_path) as (pdu, driver):
        assert isinstance(pdu, Apc)
        pdu.metered = False
        driver.off()
        assert [driver.status() for _ in range(3)] == [Power.OFF] * 3
        assert driver.evidence() == ""
        assert sum(command.startswith("olReading") for command in pdu.commands) == len(OURS)


def test_wti_default_column_is_not_the_status(tmp_path: Path) -> None:
    """The other column that says OFF, the power-up default, is not taken for the status."""
    with both("wti", tmp_path) as (pdu, driver):
        assert isinstance(pdu, Nps)
        pdu.default = "OFF"
        assert driver.status() is Power.ON
        pdu.default = "ON"
        driver.off()
        assert driver.status() is Power.OFF


@pytest.mark.parametrize("make", ["cyberpower", "apc"])
def test_at_9600_baud(make: str, tmp_path: Path) -> None:
    """At the speed that they are shipped with, the machine is proved off within the limit."""
    with both(make, tmp_path, baud=9600) as (pdu, driver):
        driver.off()
        assert pdu.relays.await_power(5, on=False, limit_s=LIMIT_S)
        assert driver.status() is Power.OFF
