# SPDX-License-Identifier: GPL-2.0-or-later
"""Serial lines: shared, noisy, mute, garbled, pulled out; and the settings that none can have."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
import serial
from pdu_bench import BAUD, LIMIT_S, OURS, both, device, emulator, powers, settings

from fencing import FenceError, NotSentError, Power, Secret
from fencing.drivers.pdu import PduDevice
from fencing.drivers.pdu.line import plain
from fencing.findings import Trouble
from hil.pdu.makes import MAKES

every_make = pytest.mark.parametrize("make", MAKES)
some_makes = pytest.mark.parametrize("make", ["cyberpower", "wti"])
"""Where all dialects take the same way: one that answers in tables, one that echoes a screen."""


def descriptors() -> set[str]:
    """What this process has open."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.add(f"{entry.name} {entry.readlink()}")
        except FileNotFoundError:
            continue  # That of the listing itself.
    return found


def test_line_in_use(tmp_path: Path) -> None:
    """A line that another process has is waited for, and named when it stays in use."""
    with both("apc", tmp_path, deadline_s=1.0) as (pdu, driver):
        with serial.Serial(str(pdu.path), exclusive=True):
            with pytest.raises(NotSentError, match="in use") as used:
                driver.off()
            assert used.value.trouble is Trouble.NO_SESSION
        assert driver.status() is Power.ON


def test_line_free_in_time(tmp_path: Path) -> None:
    """A line that becomes free while it is waited for is used."""
    with both("apc", tmp_path) as (pdu, driver):
        other = serial.Serial(str(pdu.path), exclusive=True)
        timer = threading.Timer(0.3, other.close)
        timer.start()
        try:
            assert driver.status() is Power.ON
        finally:
            timer.join()


def test_line_is_ours_alone(tmp_path: Path) -> None:
    """While we speak, nobody else can open the line exclusively; after rest() they can."""
    with both("apc", tmp_path) as (pdu, driver):
        assert driver.status() is Power.ON
        with pytest.raises(serial.SerialException):
            serial.Serial(str(pdu.path), exclusive=True)
        driver.rest()
        serial.Serial(str(pdu.path), exclusive=True).close()


@some_makes
def test_adapter_pulled_and_back(make: str, tmp_path: Path) -> None:
    """An adapter that is gone is an error in bounded time; when it is back it is used again."""
    with both(make, tmp_path, deadline_s=3.0) as (pdu, driver):
        assert driver.status() is Power.ON
        pdu.pull()
        with pytest.raises(NotSentError):
            driver.off()
        with pytest.raises(FenceError):
            driver.status()
        pdu.plug()
        driver.off()
        assert driver.status() is Power.OFF


@some_makes
def test_adapter_pulled_in_the_midst(make: str, tmp_path: Path) -> None:
    """A line that breaks in the midst of a question is opened again when it is back."""
    with both(make, tmp_path, deadline_s=3.0) as (pdu, driver):
        assert driver.status() is Power.ON
        pdu.line.pull_after = 40
        with pytest.raises(FenceError):
            driver.status()
        pdu.plug()
        assert driver.status() is Power.ON


def test_adapter_that_resets(tmp_path: Path) -> None:
    """An adapter that is back within a second is waited for."""
    with both("apc", tmp_path) as (pdu, driver):
        pdu.pull()
        timer = threading.Timer(0.5, pdu.plug)
        timer.start()
        try:
            assert driver.status() is Power.ON
        finally:
            timer.join()


@some_makes
def test_mute(make: str, tmp_path: Path) -> None:
    """A PDU that says nothing is an error in bounded time, and certainly nothing was ordered."""
    with both(make, tmp_path, deadline_s=5.0) as (pdu, driver):
        pdu.line.deaf = True
        started_s = time.monotonic()
        with pytest.raises(NotSentError, match="nothing is heard") as mute:
            driver.off()
        assert mute.value.trouble is Trouble.UNREACHABLE
        assert time.monotonic() - started_s < 5.0
        pdu.line.deaf = False
        assert driver.status() is Power.ON


@some_makes
def test_mute_in_the_midst(make: str, tmp_path: Path) -> None:
    """A PDU that falls silent after the login is no worse; when it speaks again all is well."""
    with both(make, tmp_path, deadline_s=8.0) as (pdu, driver):
        assert driver.status() is Power.ON
        pdu.line.mute = True
        with pytest.raises(NotSentError):
            driver.off()  # What was typed did not come back, so it was not ended.
        assert all(powers(pdu))
        pdu.line.mute = False
        assert driver.status() is Power.ON
        assert all(powers(pdu))


@some_makes
def test_never_silent(make: str, tmp_path: Path) -> None:
    """A line that never ends to speak is an error by the deadline."""
    with both(make, tmp_path, baud=9600, deadline_s=2.0) as (pdu, driver):
        pdu.babble_on()
        started_s = time.monotonic()
        with pytest.raises(NotSentError, match="too long"):
            driver.off()
        assert time.monotonic() - started_s < 4.0
        assert all(powers(pdu))


def test_wrong_speed(tmp_path: Path) -> None:
    """Words that make no sense are quoted, short and printable, with the likely cause."""
    with both("apc", tmp_path) as (pdu, driver):
        pdu.prompt = pdu.name_prompt = b"\r\n\xf8\x80~x\x1bx\xfe"
        with pytest.raises(NotSentError, match="speed") as nonsense:
            driver.off()
        assert str(nonsense.value).isprintable()
        assert len(str(nonsense.value)) < 150


@every_make
@pytest.mark.parametrize("position", [3, 7, 9, 18, 20, 24])
def test_lost_character_hits_nobody_else(make: str, position: int, tmp_path: Path) -> None:
    """A lost character makes `off 12` an `off 1`: the echo tells, and nothing is carried out."""
    with both(make, tmp_path, options={"outlets": (12,)}) as (pdu, driver):
        pdu.relays.__init__(16)  # type: ignore[misc]  # a larger PDU
        assert driver.status() is Power.ON
        pdu.line.lose = position
        try:
            driver.off()
        except FenceError:  # The return itself was lost: nobody knows.
            assert all(pdu.relays.on.values())
            driver.off()
        assert [outlet for outlet, on in pdu.relays.on.items() if not on] == [12]


@some_makes
def test_noise(make: str, tmp_path: Path) -> None:
    """Through a noisy line nothing but ours is ever cut, and OFF is only read when it is so."""
    with both(make, tmp_path, options={"answer": 0.3}) as (pdu, driver):
        pdu.line.noise = 0.004
        for _ in range(4):
            for act, readings in ((driver.off, 3), (driver.on, 3)):
                try:
                    act()
                except FenceError:
                    continue
                for _ in range(readings):
                    try:
                        power = driver.status()
                    except FenceError:
                        continue
                    assert power is not Power.OFF or powers(pdu) == [False, False]
        cut = {outlet for outlet, on in pdu.relays.on.items() if not on}
        assert cut <= set(OURS)


def test_pager(tmp_path: Path) -> None:
    """A pager is turned until the prompt comes."""
    with both("wti", tmp_path) as (pdu, driver):
        pdu.faults.page_lines = 5
        driver.off()
        assert driver.status() is Power.OFF


@some_makes
def test_colours(make: str, tmp_path: Path) -> None:
    """ANSI sequences around the prompt and in it are not there for us."""
    with both(make, tmp_path) as (pdu, driver):
        pdu.prompt = b"\x1b[0m\x1b[2K" + pdu.prompt.replace(b">", b"\x1b[1;32m>\x1b[0m")
        driver.off()
        assert driver.status() is Power.OFF


@some_makes
def test_message_out_of_turn(make: str, tmp_path: Path) -> None:
    """What the PDU says without being asked does no harm."""
    with both(make, tmp_path) as (pdu, driver):
        assert driver.status() is Power.ON
        pdu.babble(b"\r\n*** Alarm: bank 1 near overload ***\r\n" + pdu.prompt)
        driver.off()
        assert driver.status() is Power.OFF


@some_makes
def test_half_answer(make: str, tmp_path: Path) -> None:
    """An answer that stops in the middle is asked for again, and is never half believed."""
    with both(make, tmp_path, options={"answer": 0.3}, deadline_s=4.0) as (pdu, driver):
        pdu.relays.switch(OURS, on=False)
        assert driver.status() is Power.OFF
        pdu.line.cut_after = 150
        with pytest.raises(FenceError):
            driver.status()
        pdu.line.cut_after = None
        assert driver.status() is Power.OFF


def test_nothing_is_left(tmp_path: Path) -> None:
    """No descriptor and no thread is left by driver and emulator, after faults either."""
    before, threads = descriptors(), threading.active_count()
    for make in ("cyberpower", "wti"):
        with both(make, tmp_path, deadline_s=1.5) as (pdu, driver):
            driver.off()
            pdu.pull()
            with pytest.raises(FenceError):
                driver.status()
            pdu.plug()
            pdu.line.deaf = True
            with pytest.raises(FenceError):
                driver.status()
        assert not pdu.path.is_symlink()
    assert descriptors() == before
    assert threading.active_count() == threads


def test_logins_leak_nothing(tmp_path: Path) -> None:
    """Twenty logins and log-outs in a row leave as much open as one."""
    with (
        emulator("apc", tmp_path, baud=921_600) as pdu,
        device(settings("apc", tmp_path)) as driver,
    ):
        assert driver.status() is Power.ON
        driver.rest()
        before = descriptors()
        for _ in range(20):
            assert driver.status() is Power.ON
            driver.rest()
        assert descriptors() == before
        assert pdu.logins == 21
        assert not pdu.session


@pytest.mark.parametrize(
    "options",
    [
        {"outlets": ()},
        {"outlets": (0,)},
        {"outlets": (65,)},
        {"outlets": (-1,)},
        {"outlets": (2, 2)},
        {"outlets": ("all",)},
        {"outlets": "all"},
        {"outlets": (True,)},
        {"outlets": (2.0,)},
        {"dialect": "nonesuch"},
        {"dialect": "line"},
        {"line": "9N1"},
        {"line": "8X1"},
        {"prompt": "("},
        {"login_prompt": "["},
        {"password_prompt": "*"},
    ],
)
def test_settings_that_cannot_be(options: dict[str, object], tmp_path: Path) -> None:
    """Settings that no PDU can have are refused before anything is opened."""
    with pytest.raises(FenceError) as refused:
        PduDevice(settings("apc", tmp_path, options=options))
    assert refused.value.trouble is Trouble.SETTINGS


@pytest.mark.parametrize("password", [b"a\rb", b"a\nb", b"\x03", "pässword".encode(), b"\xff"])
def test_password_that_cannot_be_typed(password: bytes, tmp_path: Path) -> None:
    """A password with control or other characters would be typed as something else."""
    with pytest.raises(FenceError) as refused:
        PduDevice(settings("apc", tmp_path, password=Secret(password)))
    assert refused.value.trouble is Trouble.SETTINGS
    assert password.decode("latin-1") not in str(refused.value)


def test_line_settings_are_set(tmp_path: Path) -> None:
    """Speed, frame and flow control are those of the configuration."""
    options = {"baud": BAUD, "line": "7e2", "flow": "rtscts"}
    with emulator("apc", tmp_path), device(settings("apc", tmp_path, options=options)) as driver:
        driver._line.open(time.monotonic() + LIMIT_S)
        port = driver._line._port
        assert port is not None
        assert (port.baudrate, port.bytesize, port.parity, port.stopbits) == (BAUD, 7, "E", 2)
        assert port.rtscts
        assert not port.xonxoff


def test_patterns_of_the_configuration(tmp_path: Path) -> None:
    """Prompts that somebody changed at the PDU can be configured."""
    options = {"prompt": "rack7>", "login_prompt": "Who:", "password_prompt": "Word:"}
    with emulator("apc", tmp_path) as pdu:
        pdu.prompt, pdu.name_prompt, pdu.password_prompt = b"\r\nrack7>", b"\r\nWho: ", b"Word: "
        with device(settings("apc", tmp_path, options=options)) as driver:
            driver.off()
            assert driver.status() is Power.OFF


def test_plain() -> None:
    r"""Every kind of line end is a newline; colours, bells and what is not ASCII are gone."""
    assert plain(b"a\r\nb\n\rc\rd\ne") == "a\nb\nc\nd\ne"
    assert plain(b"\x1b[1;32mOn\x1b[0m\x07\x00\xff\x08") == "On"
    assert plain(b"a\tb \x1b(B\x1b=c") == "a\tb c"


def test_paths_that_are_no_line(tmp_path: Path) -> None:
    """A path that is not there, or is no terminal, is an error of the system's words."""
    missing = settings("apc", tmp_path, address=str(tmp_path / "gone"), deadline_s=0.5)
    with device(missing) as driver, pytest.raises(NotSentError, match="No such file"):
        driver.off()
    plain_file = tmp_path / "file"
    plain_file.touch()
    with (
        device(settings("apc", tmp_path, address=str(plain_file))) as driver,
        pytest.raises(NotSentError, match=os.strerror(25)),
    ):
        driver.off()
