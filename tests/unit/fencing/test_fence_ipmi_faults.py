# SPDX-License-Identifier: GPL-2.0-or-later
"""The ipmi driver in a session of our own RMCP+ BMC: orders, faults, inspection, logout."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest
from fence_rmcp import WARM_S, driver, settings

from fencing import Device, FenceError, NotSentError, Power
from fencing.drivers.ipmi_logon import RAKP_TRIES
from fencing.findings import Trouble
from fencing.worker import message_line, settings_line
from hil.rmcp import RmcpBmc
from hil.rmcp_chassis import (
    CONTROL,
    DEVICE_GUID,
    LAN_PARAMETERS,
    STATUS,
    SYSTEM_GUID,
    RestorePolicy,
)
from hil.rmcp_sessions import USER, PrivilegeCheck

HOME = Path(__file__).parents[3]
LATE_S = 3.0
"""What a test that waits for a limit of the driver's own grants to a busy machine on top."""
LOGON_S, FRESH_S = 1.0, 1.0
ROUNDS = 300
SET_PRIVILEGE = (0x06, 0x3B)
OTHER_GUID = UUID("00000000-89ab-cdef-a123-456789abcdef")


@pytest.fixture
def bmc() -> Iterator[RmcpBmc]:
    """A BMC that is up, with everything well."""
    with RmcpBmc() as running:
        yield running
        bmc_empty(running)


@pytest.fixture
def device(bmc: RmcpBmc) -> Iterator[Device]:
    """The driver with a warm session."""
    device = driver(bmc, logon=LOGON_S, fresh_answer=FRESH_S)
    assert device.status() is Power.ON
    yield device
    device.close()


def bmc_empty(bmc: RmcpBmc) -> None:
    """Every session was logged out."""
    bmc.until(lambda: bmc.sessions == 0)


def test_orders(bmc: RmcpBmc, device: Device) -> None:
    """Orders are given even where the state is right already, in one session for all."""
    for order, power in ((device.on, Power.ON), (device.off, Power.OFF), (device.off, Power.OFF)):
        order()
        assert device.status() is power
    assert bmc.chassis.orders == ["on", "off", "off"]
    assert bmc.table.opened == 1
    device.rest()
    assert bmc.sessions == 1
    assert device.evidence() == ""


def test_off_already_refused(bmc: RmcpBmc, device: Device) -> None:
    """Code D5h to off is no error if the machine is off already."""
    bmc.chassis.faults.refuse_when_off = True
    bmc.chassis.on = False
    device.off()
    assert bmc.chassis.orders == ["off"]


def test_not_in_present_state(bmc: RmcpBmc, device: Device) -> None:
    """Code D5h to off is an error while the machine is on, and to on while it is off."""
    bmc.link.refused[CONTROL] = 0xD5
    with pytest.raises(FenceError, match="0xd5"):
        device.off()
    device.on()
    bmc.chassis.on = False
    with pytest.raises(FenceError, match="0xd5"):
        device.on()


def test_busy(bmc: RmcpBmc, device: Device) -> None:
    """Code C0h is asked again at once: an order is carried out, once."""
    bmc.link.busy = 2
    device.off()
    assert bmc.chassis.orders == ["off"]
    bmc.link.busy = 2
    assert device.status() is Power.OFF


def test_busy_for_long(bmc: RmcpBmc, device: Device) -> None:
    """A BMC that stays busy is said to be so, in time, and its session is kept."""
    bmc.link.busy = 1_000_000
    began_s = time.monotonic()
    with pytest.raises(FenceError, match=r"[Bb]usy.*0xc0"):
        device.off()
    assert time.monotonic() - began_s <= WARM_S + LATE_S
    bmc.link.busy = 0
    assert bmc.chassis.orders == []
    assert device.status() is Power.ON
    assert bmc.table.opened == 1


def test_acknowledged_and_not_done(bmc: RmcpBmc, device: Device) -> None:
    """An acknowledgement is not a reading."""
    bmc.chassis.faults.ack_only = True
    device.off()
    assert device.status() is Power.ON


def test_done_late(bmc: RmcpBmc, device: Device) -> None:
    """What is carried out late reads on until then."""
    bmc.chassis.faults.late_s = 0.5
    device.off()
    assert device.status() is Power.ON
    bmc.until(lambda: not bmc.chassis.on)
    assert device.status() is Power.OFF
    assert bmc.chassis.orders == ["off"]


def test_lost_answer_to_an_order(bmc: RmcpBmc, device: Device) -> None:
    """An order whose answer is lost is given again in a new session, and the old one is closed."""
    bmc.link.lost_answers = 1
    device.off()
    assert bmc.chassis.orders == ["off", "off"]
    assert bmc.table.opened == 2
    assert bmc.sessions == 1


def test_order_never_answered(bmc: RmcpBmc, device: Device) -> None:
    """S3: an order whose answers are all lost is an error, but never *not sent*."""
    bmc.link.lost.add(CONTROL)
    began_s = time.monotonic()
    with pytest.raises(FenceError, match="did not answer") as caught:
        device.off()
    assert time.monotonic() - began_s <= WARM_S + LOGON_S + FRESH_S + LATE_S
    assert not isinstance(caught.value, NotSentError)
    assert bmc.chassis.orders == ["off", "off"]
    assert device.status() is Power.OFF


def _fall_silent(bmc: RmcpBmc) -> None:
    bmc.link.silent = True


@pytest.mark.parametrize("die", [_fall_silent, RmcpBmc.stop], ids=["silent", "port closed"])
def test_dies_in_mid_session(bmc: RmcpBmc, device: Device, die: Callable[[RmcpBmc], None]) -> None:
    """S3: a BMC that dies with a session open fails the order in time, and not as unsent."""
    die(bmc)
    began_s = time.monotonic()
    with pytest.raises(FenceError, match="no answer") as caught:
        device.off()
    assert time.monotonic() - began_s <= WARM_S + LOGON_S + LATE_S
    assert caught.value.trouble is Trouble.UNREACHABLE
    assert not isinstance(caught.value, NotSentError)
    bmc.table.sessions.clear()  # What it held while nobody could log out.


def test_restarts_in_mid_session(bmc: RmcpBmc, device: Device) -> None:
    """A BMC that forgot the session costs the warm limit and a login, not 20 to 30 s."""
    bmc.restart()
    began_s = time.monotonic()
    device.off()
    assert WARM_S <= time.monotonic() - began_s <= WARM_S + LATE_S
    assert bmc.chassis.orders == ["off"]
    assert bmc.table.opened == 2


def test_refused_for_privilege() -> None:
    """A User whom the BMC lets in is told of when it is inspected, and when it gives an order."""
    with RmcpBmc(privilege=USER, privilege_check=PrivilegeCheck.COMMAND) as bmc:
        device = driver(bmc)
        (finding,) = device.inspect().findings
        assert finding.trouble is Trouble.PRIVILEGE
        assert "level 2" in finding.text
        with pytest.raises(FenceError, match="0xd4") as caught:
            device.off()
        assert caught.value.trouble is Trouble.PRIVILEGE
        device.close()
        assert bmc.sessions == 0


def test_empty_status(bmc: RmcpBmc, device: Device) -> None:
    """A chassis status without data is an error, not off."""
    bmc.chassis.faults.empty_status = True
    with pytest.raises(FenceError, match="empty"):
        device.status()


def test_inspect(bmc: RmcpBmc, device: Device) -> None:
    """A good BMC tells the machine and itself, and nothing is found."""
    told = device.inspect()
    assert told.identity == bmc.chassis.guid
    assert told.mark == "bmc 02:00:00:00:00:01"
    assert told.findings == ()
    assert told.own_delay_s == 0.0


@pytest.mark.parametrize(
    ("policy", "finding"),
    [
        (RestorePolicy.ALWAYS_OFF, "restore policy: the machine stays off"),
        (RestorePolicy.UNKNOWN, "restore policy: it does not tell"),
        (RestorePolicy.PREVIOUS, ""),
        (RestorePolicy.ALWAYS_ON, ""),
    ],
)
def test_restore_policy(bmc: RmcpBmc, device: Device, policy: RestorePolicy, finding: str) -> None:
    """A machine that would stay off after an outlet was cut is found out."""
    bmc.chassis.restore_policy = policy
    findings = device.inspect().findings
    assert len(findings) == bool(finding)
    for one in findings:
        assert one.trouble is Trouble.RESTORE_POLICY
        assert finding in one.text


@pytest.mark.parametrize(("bit", "words"), [(1, "overload"), (3, "power fault"), (4, "control")])
def test_power_faults(bmc: RmcpBmc, device: Device, bit: int, words: str) -> None:
    """A fault that the chassis status shows is told, and does not hide the power."""
    bmc.chassis.flags = 1 << bit
    (finding,) = device.inspect().findings
    assert finding.trouble is Trouble.POWER_FAULT
    assert words in finding.text
    assert device.status() is Power.ON


def test_no_identity(bmc: RmcpBmc, device: Device) -> None:
    """A BMC without a system GUID, or with one that says nothing, is found out."""
    for guid in (None, UUID(int=0)):
        bmc.chassis.guid = guid
        assert device.identify() is None
        told = device.inspect()
        assert told.identity is None
        assert [one.trouble for one in told.findings] == [Trouble.IDENTITY_UNKNOWN]


def test_mark(bmc: RmcpBmc, device: Device) -> None:
    """Without a MAC address the device GUID is the mark; without both there is none."""
    bmc.chassis.device_guid = OTHER_GUID
    bmc.link.refused[LAN_PARAMETERS] = 0xD4
    assert device.inspect().mark == f"bmc {OTHER_GUID}"
    bmc.link.refused[DEVICE_GUID] = 0xC1
    assert device.inspect().mark == ""
    bmc.link.refused.clear()
    bmc.chassis.device_guid, bmc.chassis.mac = None, bytes(6)
    assert device.inspect().mark == ""


def test_busy_is_no_missing_identity(bmc: RmcpBmc, device: Device) -> None:
    """A busy BMC does not count as one that has no identity to check."""
    bmc.link.refused[SYSTEM_GUID] = 0xC0
    with pytest.raises(FenceError, match="0xc0"):
        device.identify()


def test_lost_query(bmc: RmcpBmc) -> None:
    """A query that is lost, either way, is sent again in the same session."""
    device = driver(bmc, warm_answer=2.0)
    for lose in ("lost_requests", "lost_answers"):
        device.status()
        setattr(bmc.link, lose, 1)
        bmc.commands.clear()
        assert device.status() is Power.ON
        assert set(bmc.commands) == {STATUS}
    device.close()


@pytest.mark.parametrize("lose", ["lost_requests", "lost_answers"])
def test_lost_logout(bmc: RmcpBmc, device: Device, lose: str) -> None:
    """A logout that is lost, either way, is sent again, and nothing hangs."""
    setattr(bmc.link, lose, 1)
    began_s = time.monotonic()
    device.close()
    assert time.monotonic() - began_s <= LATE_S
    assert bmc.sessions == 0


def test_no_slot_is_leaked() -> None:
    """With a single slot, 300 rounds of login, status and logout leak neither it nor a file."""
    with RmcpBmc(slots=1) as bmc:
        device = driver(bmc)
        device.status()
        device.close()
        files = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(ROUNDS):
            assert device.status() is Power.ON
            device.close()
            assert bmc.sessions == 0
        assert len(list(Path("/proc/self/fd").iterdir())) == files
        assert bmc.table.opened == ROUNDS + 1


def _worker(bmc: RmcpBmc) -> subprocess.Popen[bytes]:
    """A worker that was asked to check this BMC."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "fencing.worker"]
    worker = subprocess.Popen(command, cwd=HOME, env={}, stdin=pipe, stdout=pipe)
    assert worker.stdin is not None
    worker.stdin.write(settings_line(settings(bmc)) + message_line({"op": "check"}))
    worker.stdin.flush()
    return worker


def _answered(worker: subprocess.Popen[bytes]) -> None:
    assert worker.stdout is not None
    assert b'"power": "on"' in worker.stdout.readline()


def _idle(bmc: RmcpBmc, worker: subprocess.Popen[bytes]) -> None:
    _answered(worker)
    assert bmc.sessions == 1


def _in_login(bmc: RmcpBmc, worker: subprocess.Popen[bytes]) -> None:
    del worker
    bmc.until(lambda: bmc.table.logins == 1)


def _in_raise(bmc: RmcpBmc, worker: subprocess.Popen[bytes]) -> None:
    del worker
    bmc.until(lambda: SET_PRIVILEGE in bmc.commands)


def _hold_login(bmc: RmcpBmc) -> None:
    bmc.login.drop_rakp1 = True


def _hold_privilege(bmc: RmcpBmc) -> None:
    bmc.link.refused[SET_PRIVILEGE] = 0xC0


def _hold_nothing(bmc: RmcpBmc) -> None:
    del bmc


@pytest.mark.parametrize(
    ("hold", "reach"),
    [(_hold_nothing, _idle), (_hold_login, _in_login), (_hold_privilege, _in_raise)],
    ids=["idle", "in RAKP", "raising the privilege"],
)
def test_sigterm_frees_the_slot(
    bmc: RmcpBmc,
    hold: Callable[[RmcpBmc], None],
    reach: Callable[[RmcpBmc, subprocess.Popen[bytes]], None],
) -> None:
    """A worker that is ended leaves no session and no half session, whatever it was doing."""
    hold(bmc)
    with _worker(bmc) as worker:
        reach(bmc, worker)
        worker.terminate()
        assert worker.wait(LATE_S) == 0
    bmc_empty(bmc)
    assert bmc.table.opened <= RAKP_TRIES
