# SPDX-License-Identifier: GPL-2.0-or-later
"""Logins to PDUs: refused, taken, timed out, left open, begun by somebody who is gone."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import serial
from pdu_bench import (
    LIMIT_S,
    OURS,
    PASSWORD,
    both,
    device,
    emulator,
    powers,
    read_off,
    settings,
)

from fencing import FenceError, NotSentError, Power, Secret
from fencing.findings import Trouble
from hil.pdu.console import Console
from hil.pdu.makes import MAKES

every_make = pytest.mark.parametrize("make", MAKES)
WITH_NAMES = [make for make, of in MAKES.items() if of.user]
every_make_with_names = pytest.mark.parametrize("make", WITH_NAMES)


def type_and_go(pdu: Console, *texts: str) -> None:
    """Somebody types at the console and goes away; each text is taken before the next."""
    with serial.Serial(str(pdu.path), timeout=LIMIT_S, exclusive=True) as line:
        for text in texts:
            line.write(text.encode())
            line.read(1)
            line.timeout = 0.3
            while line.read(256):
                pass


@every_make
def test_wrong_password(make: str, tmp_path: Path) -> None:
    """A refused login is named, nothing was ordered, and the password is in no text."""
    wrong = Secret(b"not-the-word")
    with both(make, tmp_path, password=wrong, deadline_s=4.0) as (pdu, driver):
        with pytest.raises(NotSentError) as refused:
            driver.off()
        assert refused.value.trouble is Trouble.LOGIN_REFUSED
        assert "not-the-word" not in str(refused.value)
        assert pdu.commands == []
        with pytest.raises(FenceError):
            driver.status()


@every_make
def test_no_password_configured(make: str, tmp_path: Path) -> None:
    """A PDU that asks for a password where none is configured is told as that."""
    with both(make, tmp_path, password=Secret(b"")) as (_, driver):
        with pytest.raises(NotSentError, match="asks for a password") as refused:
            driver.off()
        assert refused.value.trouble is Trouble.LOGIN_REFUSED


def test_no_login_at_all(tmp_path: Path) -> None:
    """A PDU without a login needs no account."""
    with both("wti-ips", tmp_path, password=Secret(b"")) as (pdu, driver):
        pdu.password_prompt = b""
        pdu.end_session()
        driver.off()
        assert driver.status() is Power.OFF


@every_make
def test_idle_log_out_before_an_order(make: str, tmp_path: Path) -> None:
    """An order typed into a login prompt was taken as a user name; it is repeated after login."""
    with both(make, tmp_path) as (pdu, driver):
        assert driver.status() is Power.ON
        pdu.later(0, pdu.end_session)  # Without a word: only the next prompt tells.
        driver.off()
        assert driver.status() is Power.OFF
        assert pdu.logins == 2
        # The first order was lost there; a BayTech is first seen to be awake.
        if pdu.name_prompt and not make.startswith("baytech"):
            assert any("2" in name for name in pdu.names)


@every_make
def test_idle_log_out_before_a_question(make: str, tmp_path: Path) -> None:
    """A question is repeated after the login, too; the login prompt that comes by itself helps."""
    with both(make, tmp_path) as (pdu, driver):
        pdu.faults.idle_s = 0.2
        assert driver.status() is Power.ON
        time.sleep(0.5)  # Nothing happens that could be waited for: the client is idle.
        assert not pdu.session
        pdu.faults.idle_s = None
        assert driver.status() is Power.ON
        assert pdu.logins == 2


@every_make_with_names
def test_order_into_a_login_that_is_then_refused(make: str, tmp_path: Path) -> None:
    """An order that was taken as a user name, and no new login: certainly not carried out."""
    with both(make, tmp_path, deadline_s=4.0) as (pdu, driver):
        assert driver.status() is Power.ON
        pdu.later(0, pdu.end_session)
        pdu.password = "changed"  # noqa: S105  # of an emulator
        with pytest.raises(NotSentError) as refused:
            driver.off()
        assert refused.value.trouble is Trouble.LOGIN_REFUSED
        assert all(powers(pdu))


def test_session_of_somebody_else(tmp_path: Path) -> None:
    """A CyberPower that has a session elsewhere lets us in and ends it: named, not "refused"."""
    with both("cyberpower", tmp_path) as (pdu, driver):
        pdu.faults.taken = True
        with pytest.raises(NotSentError, match="another one is open") as taken:
            driver.off()
        assert taken.value.trouble is Trouble.NO_SESSION
        pdu.faults.taken = False
        assert driver.status() is Power.ON


def test_right_password_refused_after_a_session(tmp_path: Path) -> None:
    """A CyberPower refuses the right password shortly after a session: it is tried again."""
    with both("cyberpower", tmp_path) as (pdu, driver):
        assert driver.status() is Power.ON
        driver.rest()
        pdu.faults.refuses = 1
        assert driver.status() is Power.ON
        assert pdu.logins == 2


def test_refusal_that_takes_its_time(tmp_path: Path) -> None:
    """A refusal that is answered late is a refusal, not silence."""
    wrong = Secret(b"not-the-word")
    with both("cyberpower", tmp_path, password=wrong, deadline_s=5.0) as (pdu, driver):
        pdu.faults.refusal_s = 2.5
        with pytest.raises(NotSentError) as refused:
            driver.status()
        assert refused.value.trouble is Trouble.LOGIN_REFUSED


@every_make
def test_session_left_open(make: str, tmp_path: Path) -> None:
    """A session that a killed process left open is taken over, and closed in the end."""
    with emulator(make, tmp_path) as pdu:
        with device(settings(make, tmp_path)) as first:
            assert first.status() is Power.ON
            first._line.close()  # As by SIGKILL: no log-out.
        assert pdu.session
        with device(settings(make, tmp_path)) as second:
            assert second.status() is Power.ON
            assert pdu.logins == 1
        assert not pdu.session


@every_make
def test_half_typed_order_is_not_carried_out(make: str, tmp_path: Path) -> None:
    """What a killed process typed and did not end is erased, not ended by our first return."""
    orders = {
        "cyberpower": "oltctrl index 2 act off",
        "apc": "olOff 2",
        "raritan": "power outlets 2 off /y",
        "sentry": "off .AA2",
        "baytech": "off 2",
        "baytech-28": "off 2",
    }
    with emulator(make, tmp_path) as pdu:
        with device(settings(make, tmp_path)) as first:
            assert first.status() is Power.ON
            first._session._log_in()  # Wakes a BayTech.
            assert first._session._console.type(orders.get(make, "/off 2,y"))
            first._line.close()
        with device(settings(make, tmp_path)) as second:
            assert second.status() is Power.ON
        assert all(powers(pdu))


@every_make_with_names
def test_login_begun_by_somebody_else(make: str, tmp_path: Path) -> None:
    """A console that waits for the password of another user is brought back to the name."""
    with emulator(make, tmp_path) as pdu:
        type_and_go(pdu, "somebody\r")
        with device(settings(make, tmp_path)) as driver:
            assert driver.status() is Power.ON


@every_make
def test_closed_in_the_midst_of_an_answer(make: str, tmp_path: Path) -> None:
    """Whenever a worker is told to end, nobody stays logged in (SIGTERM unwinds like this)."""
    with emulator(make, tmp_path, baud=38_400) as pdu:
        for step in range(5):
            with device(settings(make, tmp_path)) as driver:
                driver._line.read = _Interrupted(driver._line.read, after=5 * step)  # type: ignore[method-assign]
                with pytest.raises(_EndError):
                    read_off(driver)
                started_s = time.monotonic()
                driver.close()
                assert time.monotonic() - started_s < 1.0  # CLOSE_LIMIT_S of the worker.
            assert pdu.relays.on[OURS[0]]
        with device(settings(make, tmp_path)) as driver:
            assert driver.status() is Power.ON
        assert not pdu.session


@pytest.mark.parametrize("times", [1, 2])
@every_make
def test_login_prompt_that_comes_late(make: str, times: int, tmp_path: Path) -> None:
    """What answers a killed process and is taken for the answer to us is no refusal."""
    with both(make, tmp_path, baud=9600) as (pdu, driver):
        write, late = driver._line.write, [pdu.name_prompt or pdu.password_prompt] * times

        def overtaken(data: bytes) -> None:
            if late:
                pdu.babble(late.pop())
            write(data)

        driver._line.write = overtaken  # type: ignore[method-assign]
        assert driver.status() is Power.ON
        assert not late


@every_make
def test_order_whose_end_is_cut(make: str, tmp_path: Path) -> None:
    """S3: an order was ended and nothing came back: unknown, and only a reading tells."""
    with both(make, tmp_path) as (pdu, driver):
        assert driver.status() is Power.ON
        pdu.line.cut_after = 30  # The echo still comes.
        with pytest.raises(FenceError) as lost:
            driver.off()
        assert not isinstance(lost.value, NotSentError)
        pdu.line.cut_after = None
        assert driver.status() is Power.ON  # The second outlet was not ordered.
        assert powers(pdu) == [False, True]


def test_password_is_never_quoted(tmp_path: Path) -> None:
    """A console that echoes the password and then makes no sense gives no text with it."""
    with both("apc", tmp_path) as (pdu, driver):
        pdu.prompt = b"\r\nwhat? " + PASSWORD.encode() + b" "
        with pytest.raises(FenceError) as lost:
            driver.status()
        assert PASSWORD not in str(lost.value)
        assert "what?" in str(lost.value)


class _EndError(BaseException):
    """As SystemExit in the worker's signal handler."""


class _Interrupted:
    """A read that a signal interrupts after some others, once."""

    def __init__(self, read: object, *, after: int) -> None:
        self._read = read
        self._left = after

    def __call__(self, limit_s: float) -> bytes:
        self._left -= 1
        if self._left == -1:
            raise _EndError
        return self._read(limit_s)  # type: ignore[operator,no-any-return]  # the line's own
