# SPDX-License-Identifier: GPL-2.0-or-later
"""The ipmi driver's login against our own RMCP+ BMC: suites, keys, and every way to be refused."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from fence_rmcp import driver, settings

from fencing import NotSentError, Power, Secret
from fencing.drivers.ipmi import IpmiDevice
from fencing.drivers.ipmi_logon import RAKP_TRIES
from fencing.findings import Trouble
from hil.rmcp import RmcpBmc
from hil.rmcp_packet import OPEN_ANSWER, RAKP2, RAKP4
from hil.rmcp_sessions import ADMINISTRATOR, USER, PrivilegeCheck

SET_PRIVILEGE = (0x06, 0x3B)
KG = b"0123456789abcdefghij"
LATE_S = 3.0
"""What a test that waits for a limit of the driver's own grants to a busy machine on top."""


def _suite(bmc: RmcpBmc) -> int:
    (session,) = bmc.table.sessions.values()
    return session.suite.number


@pytest.mark.parametrize(
    ("offered", "taken", "used"),
    [
        ((17, 3), (17, 3), 17),
        ((17, 3), (3,), 3),
        ((3, 17), (17, 3), 3),
        ((3, 17), (17,), 17),
        ((17,), (17, 3), 17),
        ((3,), (17, 3), 3),
    ],
)
def test_suites(offered: tuple[int, ...], taken: tuple[int, ...], used: int) -> None:
    """The first suite that both sides have is used, and switches the power."""
    with RmcpBmc(suites=taken) as bmc:
        device = driver(bmc, suites=offered)
        assert device.status() is Power.ON
        assert _suite(bmc) == used
        device.off()
        assert device.status() is Power.OFF
        device.close()
        assert bmc.sessions == 0


@pytest.mark.parametrize("suite", [17, 3])
def test_kg(suite: int) -> None:
    """A BMC key opens the session with both suites."""
    with RmcpBmc(kg=KG) as bmc:
        device = driver(bmc, suites=(suite,))
        assert device.status() is Power.ON
        device.close()


def test_administrator() -> None:
    """The privilege that is asked for is the one that is given."""
    with RmcpBmc(privilege=ADMINISTRATOR) as bmc:
        for name, level in (("operator", 3), ("administrator", 4)):
            device = driver(bmc, privilege=name)
            device.status()
            (session,) = bmc.table.sessions.values()
            assert session.level == level
            device.close()


@dataclass(frozen=True, slots=True)
class Refusal:
    """One way not to get a session."""

    name: str
    prepare: Callable[[RmcpBmc], None]
    trouble: Trouble
    words: str
    user: str | None = None
    password: bytes | None = None
    kg: bytes | None = None
    suites: tuple[int, ...] = (17, 3)
    limit_s: float = 1.0
    """How long it may take, besides LATE_S."""


def _nothing(bmc: RmcpBmc) -> None:
    del bmc


def _silent(bmc: RmcpBmc) -> None:
    bmc.link.silent = True


def _drop_rakp1(bmc: RmcpBmc) -> None:
    bmc.login.drop_rakp1 = True


def _hide_users(bmc: RmcpBmc) -> None:
    bmc.login.unknown_user_silent = True


def _short_rakp2(bmc: RmcpBmc) -> None:
    bmc.login.short_rakp2 = True


def _answer_sha1(bmc: RmcpBmc) -> None:
    bmc.login.answer_sha1 = True


def _suite_3_only(bmc: RmcpBmc) -> None:
    bmc.table.suites = (3,)


def _suite_17_only(bmc: RmcpBmc) -> None:
    bmc.table.suites = (17,)


def _no_suite(bmc: RmcpBmc) -> None:
    bmc.table.suites = ()


def _full(bmc: RmcpBmc) -> None:
    bmc.table.slots = 0


def _full_without_3(bmc: RmcpBmc) -> None:
    bmc.table.slots, bmc.table.suites = 0, (17,)


def _set_kg(bmc: RmcpBmc) -> None:
    bmc.table.kg = KG


def _user_at_login(bmc: RmcpBmc) -> None:
    bmc.table.privilege = USER


def _user_at_raise(bmc: RmcpBmc) -> None:
    bmc.table.privilege, bmc.table.privilege_check = USER, PrivilegeCheck.RAISE


def _forever_busy(bmc: RmcpBmc) -> None:
    bmc.link.busy = 1_000_000


def _forever_busy_in_session(bmc: RmcpBmc) -> None:
    bmc.link.refused[SET_PRIVILEGE] = 0xC0


LOGON_S = 6.0
REFUSALS = [
    Refusal("silent", _silent, Trouble.UNREACHABLE, "no answer", limit_s=LOGON_S),
    Refusal("port closed", RmcpBmc.stop, Trouble.UNREACHABLE, "no answer", limit_s=LOGON_S),
    Refusal(
        "RAKP 1 dropped", _drop_rakp1, Trouble.LOGIN_REFUSED, "no answer to this", limit_s=LOGON_S
    ),
    Refusal(
        "unknown user, silently",
        _hide_users,
        Trouble.LOGIN_REFUSED,
        "no answer to this user's login",
        user="nobody",
        limit_s=LOGON_S,
    ),
    Refusal("unknown user", _nothing, Trouble.LOGIN_REFUSED, "Unauthorized name", user="nobody"),
    Refusal("wrong password", _nothing, Trouble.LOGIN_REFUSED, "password", password=b"wrong"),
    Refusal("wrong Kg", _set_kg, Trouble.LOGIN_REFUSED, "wrong Kg", kg=b"wrong"),
    Refusal("Kg missing", _set_kg, Trouble.LOGIN_REFUSED, "wrong Kg"),
    Refusal("table full", _full, Trouble.NO_SESSION, "Insufficient resources"),
    Refusal("table full, no suite 3", _full_without_3, Trouble.NO_SESSION, "Insufficient"),
    Refusal("no suite", _no_suite, Trouble.REFUSED, "authentication algorithm, to suite 3"),
    Refusal("17 wanted", _suite_3_only, Trouble.REFUSED, "to suite 17", suites=(17,)),
    Refusal("3 wanted", _suite_17_only, Trouble.REFUSED, "to suite 3", suites=(3,)),
    Refusal("answers SHA1", _answer_sha1, Trouble.REFUSED, "that suite 17 does not have"),
    Refusal("short RAKP 2", _short_rakp2, Trouble.REFUSED, "pyghmi failed with"),
    Refusal("a User, told at login", _user_at_login, Trouble.PRIVILEGE, "privilege level"),
    Refusal("a User, told later", _user_at_raise, Trouble.PRIVILEGE, "not allowed requested"),
    Refusal("busy", _forever_busy, Trouble.REFUSED, "[Bb]usy while trying", limit_s=LOGON_S),
    Refusal(
        "busy in session", _forever_busy_in_session, Trouble.REFUSED, "[Bb]usy", limit_s=LOGON_S
    ),
]
KEPT = {"wrong Kg", "Kg missing"}
"""The BMC has opened these, and nobody without the key can close them."""


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case.name)
def test_refusals(case: Refusal) -> None:
    """Each is named, in time; certainly nothing was sent, no slot stays taken, few are opened."""
    with RmcpBmc() as bmc:
        reach = settings(bmc, suites=case.suites)
        reach = replace(
            reach,
            user=case.user or reach.user,
            password=Secret(case.password or bmc.password),
            kg=None if case.kg is None else Secret(case.kg),
        )
        case.prepare(bmc)
        device = IpmiDevice(reach)
        began_s = time.monotonic()
        with pytest.raises(NotSentError, match=case.words) as caught:
            device.off()
        assert time.monotonic() - began_s <= case.limit_s + LATE_S
        assert caught.value.trouble is case.trouble
        assert str(caught.value).startswith("login: ")
        assert bmc.chassis.orders == []
        assert bmc.table.opened <= RAKP_TRIES
        bmc.until(lambda: bmc.sessions == (case.name in KEPT))
        device.close()


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case.name)
def test_refused_and_taken(case: Refusal) -> None:
    """After each of them, in the same process, a good login works as if nothing had been."""
    with RmcpBmc() as bmc:
        case.prepare(bmc)
        wrong = replace(
            settings(bmc, suites=case.suites, logon=0.5),
            user=case.user or bmc.user,
            password=Secret(case.password or bmc.password),
            kg=None if case.kg is None else Secret(case.kg),
        )
        for _ in range(2):
            with pytest.raises(NotSentError):
                IpmiDevice(wrong).status()
    with RmcpBmc() as well:
        device = driver(well)
        assert device.status() is Power.ON
        device.close()


def test_busy_at_login() -> None:
    """A BMC that is busy before a session or in its beginning is asked again, in one session."""
    with RmcpBmc() as bmc:
        bmc.link.busy = 2
        bmc.link.refused[SET_PRIVILEGE] = 0xC0

        def get_ready() -> None:
            bmc.until(lambda: bmc.commands.count(SET_PRIVILEGE) == 3)
            bmc.link.refused.clear()

        ready = threading.Thread(target=get_ready)
        ready.start()
        device = driver(bmc)
        assert device.status() is Power.ON
        ready.join()
        assert bmc.table.opened == 1
        device.close()
        assert bmc.sessions == 0


def test_busy_then_cut_short() -> None:
    """The limit ends the try after a busy one: what the BMC said last is told, not silence."""
    with RmcpBmc() as bmc:
        bmc.link.busy = 1
        bmc.login.lost.extend([OPEN_ANSWER] * 100)
        device = driver(bmc, logon=2.0)  # pyghmi asks three times, which takes it 4.5 s or more.
        with pytest.raises(NotSentError, match=r"[Bb]usy") as caught:
            device.status()
        assert caught.value.trouble is Trouble.REFUSED
        assert bmc.table.opened


@pytest.mark.parametrize("kind", [OPEN_ANSWER, RAKP2, RAKP4])
def test_lost_at_login(kind: int) -> None:
    """A lost answer costs a second try; the slot of the first is given back."""
    with RmcpBmc(slots=2) as bmc:
        bmc.login.lost.append(kind)
        device = driver(bmc)
        assert device.status() is Power.ON
        assert bmc.table.opened == 2
        assert bmc.sessions == 1 + (kind == OPEN_ANSWER)  # Nobody told us that session's id.
        device.close()


def test_slow_at_login() -> None:
    """A BMC that computes for longer than pyghmi waits is logged in to, not called a liar."""
    with RmcpBmc() as bmc:
        bmc.login.rakp2_after_s = 1.1
        device = driver(bmc)
        assert device.status() is Power.ON
        device.close()
        assert bmc.sessions == 0


def test_unknown_name() -> None:
    """A host that does not resolve is said to be so, at once."""
    with RmcpBmc() as bmc, pytest.raises(NotSentError, match="login: ") as caught:
        IpmiDevice(replace(settings(bmc), address="nowhere.invalid")).status()
    assert caught.value.trouble is Trouble.UNREACHABLE
