# SPDX-License-Identifier: GPL-2.0-or-later
"""What only a Raritan does: its question, its two-line rows, the current of each outlet."""

from __future__ import annotations

from pathlib import Path

import pytest
from pdu_bench import OURS, both, powers

from fencing import Power
from fencing.drivers.pdu.raritan import DIALECT
from hil.pdu.raritan import NAMES, Raritan


def test_question_is_answered(tmp_path: Path) -> None:
    """Firmware that asks in spite of `/y` is answered, once for each outlet."""
    with both("raritan", tmp_path) as (pdu, driver):
        assert isinstance(pdu, Raritan)
        pdu.knows_y = False
        driver.off()
        assert powers(pdu) == [False, False]
        assert driver.status() is Power.OFF
        driver.on()
        assert powers(pdu) == [True, True]


def test_question_of_somebody_else_is_not_answered(tmp_path: Path) -> None:
    """S3: what was asked before us, of an outlet that is not ours, does not become an order."""
    with both("raritan", tmp_path) as (pdu, driver):
        assert isinstance(pdu, Raritan)
        pdu.knows_y = False
        assert driver.status() is Power.ON
        assert driver._session._console.type("power outlets 7 off")
        driver._session._console.end(1.0)
        driver.close()  # As by a process that was killed at the question.
        assert driver.status() is Power.ON
        driver.off()
        assert powers(pdu, 7) == [True]
        assert powers(pdu) == [False, False]


def test_names(tmp_path: Path) -> None:
    """An outlet with a name is read as one without; a name with a colon in it, too."""
    outlets = tuple(NAMES)
    with both("raritan", tmp_path, options={"outlets": outlets}) as (pdu, driver):
        driver.off()
        assert driver.status() is Power.OFF
        pdu.relays.switch([outlets[1]], on=True)
        assert driver.status() is Power.ON


@pytest.mark.parametrize(
    ("text", "states"),
    [
        ("Outlet 1:\nPower state: On\n\nOutlet 2 - db:\nPower state: Off\n", {1: "on", 2: "off"}),
        ("Outlet 20: 20 (no name)\nPower state: Off\n", {20: "off"}),
        ("Outlet Group 1 - test:\nMember outlets: 10-11\nState:          2 off\n", {}),
        ("Outlet 1:\nPxwer state: On\n\nOutlet 2:\nPower state: Off\n", {2: "off"}),
        ("Outlet 1:\n\nOutlet 2:\nPower state: Off\n", {2: "off"}),
        ("Outlet 2:\nPower state: Off\nOutlet 2:\nPower state: Off\n", {2: "unknown"}),
        ("Outlet 2:\nPower state: Off (pending)\n", {2: "unknown"}),
        ("Outlet 2:\nPower state:\nOutlet 3:\nPower state: Off\n", {2: "unknown", 3: "off"}),
    ],
)
def test_rows(text: str, states: dict[int, str]) -> None:
    """A state belongs to the outlet in the line before it, and to no other."""
    assert DIALECT.states(text) == {outlet: Power(state) for outlet, state in states.items()}


def test_current_is_evidence(tmp_path: Path) -> None:
    """Near zero current is shown when the outlets read off; what still flows contradicts them."""
    with both("raritan", tmp_path) as (pdu, driver):
        driver.off()
        assert driver.status() is Power.OFF
        assert driver.evidence() == "outlet 2: 0 A, outlet 5: 0 A"
        pdu.relays.switch([5], on=True)
        pdu.faults.lies[5] = "Off"  # A relay that is welded.
        assert driver.status() is Power.UNKNOWN
        assert "outlet 5: 0.713 A" in driver.evidence()


def test_model_without_meters(tmp_path: Path) -> None:
    """A model that measures no outlet is asked once and gives no evidence."""
    with both("raritan", tmp_path) as (pdu, driver):
        assert isinstance(pdu, Raritan)
        pdu.metered = False
        driver.off()
        assert [driver.status() for _ in range(3)] == [Power.OFF] * 3
        assert driver.evidence() == ""
        assert sum(command.endswith("details") for command in pdu.commands) == len(OURS)


def test_mark_is_the_serial_number(tmp_path: Path) -> None:
    """It tells its serial number, so it is known by that, whatever line leads to it."""
    with both("raritan", tmp_path) as (pdu, driver):
        assert isinstance(pdu, Raritan)
        assert pdu.serial in driver.inspect().mark


@pytest.mark.parametrize("prompt", [b"# ", b"[rack 7: left] # ", b"> ", b"[My PDU]#"])
def test_prompts(prompt: bytes, tmp_path: Path) -> None:
    """With and without the PDU's name, with a role of few rights, the prompt is recognised."""
    with both("raritan", tmp_path) as (pdu, driver):
        pdu.prompt = prompt
        driver.off()
        assert driver.status() is Power.OFF
