# SPDX-License-Identifier: GPL-2.0-or-later
"""The RPS-10, which has no console: control characters, pauses, silence, nothing to log in to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from fence_bench import fencing
from pdu_bench import BAUD, LIMIT_S, OURS, device

from fencing import DeviceSettings, FenceError, FenceOutcome, NotSentError, Power, Secret
from fencing.drivers.pdu import PduDevice
from fencing.drivers.pdu.console import Console, TooLateError
from fencing.drivers.pdu.line import Line
from fencing.drivers.pdu.rps10 import DIALECT, PASSWORD
from fencing.findings import Trouble
from hil.pdu.rps10 import Rps10

GAP_S = 0.5
"""The guide's, at 9600 baud."""


def settings(directory: Path, **changes: object) -> DeviceSettings:
    """What reaches the chain; `options` are added."""
    options: dict[str, object] = {"dialect": "rps10", "outlets": OURS, "answer": 0.4}
    options |= changes.pop("options", {})  # type: ignore[call-overload]  # a mapping
    plain = DeviceSettings(
        name="rps",
        driver="pdu",
        address=str(directory / "tty-rps10"),
        user="",
        password=Secret(b""),
        off_settle_s=0.0,
        options=options,  # type: ignore[arg-type]  # its values are options
    )
    return replace(plain, **changes)  # type: ignore[arg-type]  # names and types are the caller's


class Garbled(Rps10):
    """Module 3 answers, whoever is asked."""

    def _tell(self, module: int, word: str) -> None:
        super()._tell(3 * (module > 0), word)


@contextmanager
def both(directory: Path, **changes: object) -> Iterator[tuple[Rps10, PduDevice]]:
    """A chain that is up and wants its pauses, and a driver before it."""
    with Rps10(directory / "tty-rps10", baud=BAUD) as pdu:
        pdu.gap_s = GAP_S
        with device(settings(directory, **changes)) as driver:
            yield pdu, driver


def cut(pdu: Rps10) -> set[int]:
    """The outlets that have no power."""
    return {outlet for outlet, on in pdu.relays.on.items() if not on}


def test_off_status_on(tmp_path: Path) -> None:
    """Ours are cut and given back, one by one; no other outlet ever moves."""
    with both(tmp_path) as (pdu, driver):
        assert driver.status() is Power.ON
        driver.off()
        assert cut(pdu) == set(OURS)
        assert driver.status() is Power.OFF
        driver.off()  # Being off already is no error.
        assert driver.status() is Power.OFF
        driver.on()
        assert driver.status() is Power.ON
        assert cut(pdu) == set()


def test_every_pause_is_kept(tmp_path: Path) -> None:
    """What comes within 0.5 s of its last word is not heard: nothing of ours does."""
    with both(tmp_path) as (pdu, driver):
        driver.off()
        driver.status()
        driver.rest()
        driver.on()
        assert pdu.unheard == 0
        assert pdu.commands == ["20", "50", "2?", "5?", "21", "51"]


def test_orders_name_one_module(tmp_path: Path) -> None:
    """Never `*`, which is all of them, nor `T`, which gives the power back by itself."""
    with both(tmp_path) as (pdu, driver):
        driver.off()
        driver.on()
        driver.inspect()
        assert {command[0] for command in pdu.commands} == {"2", "5"}
        assert {command[1] for command in pdu.commands} == {"0", "1", "?"}


def test_the_master_is_outlet_0(tmp_path: Path) -> None:
    """Addresses begin with 0, which is one module here and no more."""
    with both(tmp_path, options={"outlets": (0,)}) as (pdu, driver):
        driver.off()
        assert cut(pdu) == {0}
        assert driver.status() is Power.OFF


@pytest.mark.parametrize("outlets", [(10,), (12,), (2, 20), (-1,), ("*",)])
def test_addresses_that_cannot_be(outlets: tuple[object, ...], tmp_path: Path) -> None:
    """An address is one digit: `12` would be address 1 and an operation that nobody knows."""
    with pytest.raises(FenceError) as refused:
        PduDevice(settings(tmp_path, options={"outlets": outlets}))
    assert refused.value.trouble is Trouble.SETTINGS


@pytest.mark.parametrize("still_on", OURS)
def test_one_on_is_on(still_on: int, tmp_path: Path) -> None:
    """One outlet that is stuck on, and says that it is off, keeps the machine running."""
    with both(tmp_path) as (pdu, driver):
        pdu.relays.stuck = frozenset({still_on})
        driver.off()
        assert driver.status() is Power.ON


def test_ignored_order_is_seen(tmp_path: Path) -> None:
    """An order that is acknowledged and not carried out reads ON."""
    with both(tmp_path) as (pdu, driver):
        pdu.faults.ignores_orders = True
        driver.off()
        assert driver.status() is Power.ON


@pytest.mark.parametrize("word", ["Off*", "", "off Off"])
def test_unclear_state_is_unknown(word: str, tmp_path: Path) -> None:
    """Only the exact word counts."""
    with both(tmp_path) as (pdu, driver):
        pdu.relays.switch(OURS, on=False)
        pdu.faults.lies[OURS[1]] = word
        assert driver.status() is Power.UNKNOWN


def test_own_delay_is_waited_for(tmp_path: Path) -> None:
    """An order that is pending does not read OFF before the outlet is."""
    with both(tmp_path) as (pdu, driver):
        pdu.faults.own_delay_s = 1.5
        driver.off()
        while driver.status() is not Power.OFF:
            assert cut(pdu) < set(OURS)
        assert cut(pdu) == set(OURS)


def test_module_that_is_not_there(tmp_path: Path) -> None:
    """Silence is no state: it is an error, and never OFF."""
    with both(tmp_path, deadline_s=6.0) as (pdu, driver):
        pdu.relays.switch(OURS, on=False)
        pdu.faults.unlisted = frozenset({5})
        for question in (driver.status, driver.inspect):
            with pytest.raises(FenceError, match="no answer"):
                question()


def test_answer_of_another_module_is_not_ours(tmp_path: Path) -> None:
    """What another module says, because an address was garbled, is no reading of ours."""
    assert DIALECT.states("Plug 3 Off\n") == {3: Power.OFF}
    assert DIALECT.states("Plug 2 Off\nPlug 2 Off\n") == {2: Power.UNKNOWN}
    reached = settings(tmp_path, options={"outlets": (2,)})
    with Garbled(Path(reached.address), baud=BAUD) as pdu, device(reached) as driver:
        pdu.relays.switch([2, 3], on=False)
        assert driver.status() is Power.UNKNOWN


def test_mute_is_no_proof(tmp_path: Path) -> None:
    """S3: nothing comes back: an order may have been carried out, and only a reading tells."""
    with both(tmp_path, deadline_s=4.0) as (pdu, driver):
        pdu.line.mute = True
        with pytest.raises(FenceError) as mute:
            driver.off()
        assert not isinstance(mute.value, NotSentError)
        with pytest.raises(FenceError):
            driver.status()
        pdu.line.mute = False
        assert driver.status() is Power.ON  # The second outlet was not ordered.
        assert cut(pdu) == {2}


def test_never_silent(tmp_path: Path) -> None:
    """A line that never ends to speak leaves no pause to command in: certainly nothing was sent."""
    with both(tmp_path, deadline_s=2.0) as (pdu, driver):
        pdu.babble_on()
        started_s = time.monotonic()
        with pytest.raises(NotSentError, match="never silent"):
            driver.off()
        assert time.monotonic() - started_s < 4.0
        assert cut(pdu) == set()


def test_never_silent_whenever_its_time_is_up(tmp_path: Path) -> None:
    """The reason is told as well if the time ends between two readings, and not within one."""
    with Rps10(tmp_path / "tty-rps10", baud=100 * BAUD) as pdu:
        pdu.babble_on(pause_s=0.0001)
        line = Line(str(tmp_path / "tty-rps10"), DIALECT)
        line.open(time.monotonic() + LIMIT_S)
        console = Console(line, DIALECT)
        for _ in range(100):
            console.end_s = time.monotonic() + 0.02
            with pytest.raises(TooLateError, match="never silent"):
                console.type(PASSWORD + "20")
        line.close()
        assert pdu.commands == []


def test_adapter_pulled_and_back(tmp_path: Path) -> None:
    """An adapter that is gone is an error in bounded time; when it is back it is used again."""
    with both(tmp_path, deadline_s=3.0) as (pdu, driver):
        assert driver.status() is Power.ON
        pdu.pull()
        with pytest.raises(NotSentError):
            driver.off()
        pdu.plug()
        driver.off()
        assert driver.status() is Power.OFF


@pytest.mark.parametrize("position", [0, 5, 6, 7, 8])
def test_lost_character_is_no_other_order(position: int, tmp_path: Path) -> None:
    """A command of which any character was lost is none, and cuts nothing."""
    with both(tmp_path, options={"outlets": (2,)}, deadline_s=2.0) as (pdu, driver):
        assert driver.status() is Power.ON
        pdu.line.lose = position
        with pytest.raises(FenceError):
            driver.off()
        assert cut(pdu) == set()


def test_ready_message_is_no_answer(tmp_path: Path) -> None:
    """What it says when it gets power, in the midst of a pause, does no harm."""
    with both(tmp_path) as (pdu, driver):
        pdu.later(0.2, lambda: pdu.say(b"\r\nRPS-10 Ready\r\n"))
        pdu.babble(b"?")  # Wakes its thread.
        assert driver.status() is Power.ON
        pdu.babble(b"Plug 2 Off\r\nPlug 5 Off\r\nComplete\r\n")
        assert driver.status() is Power.ON


def test_half_answer(tmp_path: Path) -> None:
    """An answer without its end is asked for again, and is never believed."""
    with both(tmp_path, deadline_s=4.0) as (pdu, driver):
        pdu.relays.switch(OURS, on=False)
        pdu.line.cut_after = len(b"Plug 2 Off\r\nComple")
        with pytest.raises(FenceError):
            driver.status()
        pdu.line.cut_after = None
        assert driver.status() is Power.OFF


def test_inspect(tmp_path: Path) -> None:
    """It is known by its line, says nothing of whom it feeds, and has no findings else."""
    with both(tmp_path) as (_, driver):
        inspection = driver.inspect()
        assert "outlets 2, 5" in inspection.mark
        assert [one.trouble for one in inspection.findings] == [Trouble.IDENTITY_UNKNOWN]
        assert driver.evidence() == ""


def test_command_is_what_the_guide_says() -> None:
    """^B^X^X^B^X^X, an address, an operation."""
    assert [ord(character) for character in PASSWORD] == [2, 24, 24, 2, 24, 24]
    assert DIALECT.off.format(outlet=3, tower="") == PASSWORD + "30"
    assert DIALECT.on.format(outlet=3, tower="") == PASSWORD + "31"


def test_whole_fence(tmp_path: Path) -> None:
    """A machine with two supplies is proved off and given its power again, at 9600 baud."""

    async def scenario(pdu: Rps10) -> None:
        async with fencing(settings(tmp_path)) as watched:
            report = await watched.fence.off()
            assert report.outcome is FenceOutcome.CONFIRMED_OFF, report.detail
            assert cut(pdu) == set(OURS)
            given = await watched.fence.on()
            assert given.ok, given.detail
            assert cut(pdu) == set()

    with Rps10(tmp_path / "tty-rps10") as pdu:
        pdu.gap_s = GAP_S
        asyncio.run(scenario(pdu))
