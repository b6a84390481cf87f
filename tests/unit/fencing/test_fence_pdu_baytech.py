# SPDX-License-Identifier: GPL-2.0-or-later
"""What only a BayTech does: dropped characters, two outlets in a line, a question, outlet 0."""

from __future__ import annotations

from pathlib import Path

import pytest
from pdu_bench import BAUD, OURS, both, device, powers, settings

from fencing import FenceError, Power, Secret
from fencing.drivers.pdu import PduDevice
from fencing.drivers.pdu.baytech import DIALECT
from fencing.findings import Trouble
from hil.pdu.baytech import OpenRpc3Nc, Rpc3Nc, Rpc28Nc


def test_nothing_is_dropped(tmp_path: Path) -> None:
    """An empty line goes before every command, so one that drops what follows none loses none."""
    with both("baytech-28", tmp_path) as (pdu, driver):
        assert isinstance(pdu, Rpc28Nc)
        for _ in range(3):
            driver.off()
            assert driver.status() is Power.OFF
            driver.on()
            assert driver.status() is Power.ON
        driver.rest()
        assert pdu.dropped == 0
        assert not pdu.session


def test_two_outlets_in_a_line(tmp_path: Path) -> None:
    """Each outlet of a line has its own state, whichever of both is off."""
    for cut in (1, 2):
        with both("baytech-28", tmp_path, options={"outlets": (cut,)}) as (pdu, driver):
            driver.off()
            assert powers(pdu, 1, 2) == [cut != 1, cut != 2]
            assert driver.status() is Power.OFF
            pdu.relays.switch([1, 2], on=True)
            pdu.relays.switch([3 - cut], on=False)
            assert driver.status() is Power.ON


@pytest.mark.parametrize(
    ("text", "states"),
    [
        (" 1)...Outlet  1       : Off          \n", {1: "off"}),
        (" 1)...Outlet  1       : On            2)...Outlet  2  : Off", {1: "on", 2: "off"}),
        ("1) . . . OUTLET 1   : Off\n2) . . . OUTLET 2 : On\n", {1: "off", 2: "on"}),
        (" 3)...db: primary     : Off   ", {3: "unknown"}),
        (" 3)...outlet 12)      : Off   ", {3: "off"}),
        (" 3)...Outlet  3       : \n", {}),
        (" 3)...Outlet  3       : Off Locked  \n", {3: "unknown"}),
        (" 3)...Outlet  3       : Off\n 3)...Outlet  3       : Off\n", {3: "unknown"}),
        ("True RMS Current:     5.4 Amps      :      0.1 Amps\n Circuit Breaker: Good\n", {}),
    ],
)
def test_rows(text: str, states: dict[int, str]) -> None:
    """A state belongs to the number before its name, and what is unclear is unknown."""
    assert DIALECT.states(text) == {outlet: Power(state) for outlet, state in states.items()}


def test_question_is_answered(tmp_path: Path) -> None:
    """Where commands are to be confirmed they are, each once."""
    with both("baytech", tmp_path) as (pdu, driver):
        assert isinstance(pdu, Rpc3Nc)
        pdu.asks = True
        driver.off()
        assert powers(pdu) == [False, False]
        assert driver.status() is Power.OFF
        driver.on()
        assert powers(pdu) == [True, True]


@pytest.mark.parametrize("outlets", [(0,), (2, 0)])
def test_outlet_0_is_all_of_them(outlets: tuple[int, ...], tmp_path: Path) -> None:
    """`off 0` would cut everything: it is refused before anything is opened."""
    with pytest.raises(FenceError) as refused:
        PduDevice(settings("baytech", tmp_path, options={"outlets": outlets}))
    assert refused.value.trouble is Trouble.SETTINGS


def test_without_access_control(tmp_path: Path) -> None:
    """As they are shipped nobody has to log in, and there is nothing to log out of."""
    reached = settings("baytech", tmp_path, user="", password=Secret(b""))
    with OpenRpc3Nc(Path(reached.address), baud=BAUD) as pdu, device(reached) as driver:
        driver.off()
        assert driver.status() is Power.OFF
        assert powers(pdu) == [False, False]
        driver.rest()
        driver.on()
        assert driver.status() is Power.ON
        assert len(OURS) == len([one for one in pdu.commands if one.startswith("off")])
