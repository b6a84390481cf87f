# SPDX-License-Identifier: GPL-2.0-or-later
"""The ipmi driver against `ipmi_sim`, directly and through a bad network."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from fence_bench import PASSWORD, sessions, simulator
from fence_relay import Relay
from pyghmi.ipmi.private import session as pyghmi_session

from fencing import Device, FenceError, NotSentError, Power, Secret
from fencing.drivers import find, ipmi, threadless
from hil.bmc import IpmiSim

RAKP1 = 0x12


@pytest.fixture
def bmc(tmp_path: Path) -> Iterator[IpmiSim]:
    """A BMC that is up."""
    with simulator(tmp_path / "bmc") as running_bmc:
        yield running_bmc


def _device(bmc: IpmiSim, port: int | None = None, address: str = "127.0.0.1") -> Device:
    options = {"port": port or bmc.port}
    return find("ipmi")(address, bmc.user, Secret(bmc.password.encode()), options)


def test_pin() -> None:
    """The private names that are replaced exist in the installed, pinned release."""
    assert metadata.version("pyghmi") == threadless.PYGHMI_VERSION
    for name in ("define_worker", "_io_wait", "_io_graball", "iosockets", "iothreadwaiters"):
        assert hasattr(pyghmi_session, name)


def test_parent_stays_lean() -> None:
    """The agent's side imports neither pyghmi nor any driver."""
    code = (
        "import sys, fencing.levels; print([m for m in sys.modules if 'ghmi' in m or '.ipmi' in m])"
    )
    home = Path(__file__).parents[3]
    run = subprocess.run([sys.executable, "-c", code], cwd=home, capture_output=True, check=True)
    assert run.stdout.strip() == b"[]"


def test_no_thread(bmc: IpmiSim) -> None:
    """A whole round starts no thread and leaves no session behind."""
    before = set(threading.enumerate())  # Other tests of this process may have left theirs.
    device = _device(bmc)
    device.off()
    assert device.status() is Power.OFF
    device.on()
    assert device.status() is Power.ON
    assert device.identify() == bmc.guid
    assert set(threading.enumerate()) <= before
    device.close()
    assert sessions(bmc) == 0


def test_logon_after_logon(bmc: IpmiSim) -> None:
    """Sessions are opened anew and closed each time, more often than the BMC has slots (63)."""
    device = _device(bmc)
    for _ in range(70):
        assert device.status() is Power.ON
        device.close()


def test_back_from_the_dead(bmc: IpmiSim, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed logon leaves nothing behind that fails the next one."""
    monkeypatch.setattr(ipmi, "LOGON_S", 0.3)
    device = _device(bmc)
    bmc.kill()
    for _ in range(2):
        with pytest.raises(NotSentError, match="no answer"):
            device.status()
    bmc.start()
    assert device.status() is Power.ON
    device.close()


def test_silence_after_an_order_is_not_called_unsent(
    bmc: IpmiSim, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3: once a session may have carried the order, a failing new login must not say NotSent."""
    monkeypatch.setattr(ipmi, "LOGON_S", 0.3)
    monkeypatch.setattr(ipmi, "WARM_ANSWER_S", 0.2)
    device = _device(bmc)
    device.status()
    bmc.kill()
    with pytest.raises(FenceError) as caught:
        device.off()
    assert not isinstance(caught.value, NotSentError)


def test_endless_logon_ends(bmc: IpmiSim, monkeypatch: pytest.MonkeyPatch) -> None:
    """A BMC that drops RAKP message 1 does not hold us for ever."""
    monkeypatch.setattr(ipmi, "LOGON_S", 2.0)
    with Relay(bmc.port) as relay:
        relay.drop_payload_type = RAKP1
        began_s = time.monotonic()
        with pytest.raises(NotSentError, match="no answer"):
            _device(bmc, relay.port).status()
        assert 1.9 <= time.monotonic() - began_s <= 2.5


def test_a_late_answer_is_not_taken(bmc: IpmiSim) -> None:
    """A delayed reading, from before the power changed, does not answer a later query."""
    with Relay(bmc.port) as relay:
        device = _device(bmc, relay.port)
        assert device.status() is Power.ON
        relay.hold = 1
        power_change = threading.Timer(ipmi.RESEND_S / 2, lambda: setattr(bmc, "power", "off"))
        power_change.start()
        assert device.status() is Power.OFF
        power_change.join()
        device.close()


def test_a_lost_answer_is_asked_for_again(bmc: IpmiSim) -> None:
    """One lost packet costs a query RESEND_S, not the session."""
    with Relay(bmc.port) as relay:
        device = _device(bmc, relay.port)
        device.status()
        asked, began_s = relay.requests, time.monotonic()
        relay.hold = 1
        device.status()
        assert ipmi.RESEND_S <= time.monotonic() - began_s <= ipmi.RESEND_S + 0.3
        assert relay.requests == asked + 2
        device.close()


def test_orders_are_not_repeated(bmc: IpmiSim, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unanswered order is sent once per session: a slow BMC carries out each one."""
    monkeypatch.setattr(ipmi, "LOGON_S", 0.3)
    with Relay(bmc.port) as relay:
        device = _device(bmc, relay.port)
        device.status()
        relay.hold = 1_000
        with pytest.raises(FenceError):
            device.off()
        device.close()
    assert len([line for line in bmc.log if line.startswith("set")]) == 1


def test_idle_session_is_renewed(bmc: IpmiSim, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that the BMC has closed for idleness costs no waiting: it is opened anew."""
    device = _device(bmc)
    device.status()
    bmc.kill()
    bmc.start()
    monkeypatch.setattr(ipmi, "IDLE_MAX_S", 0.0)
    began_s = time.monotonic()
    assert device.status() is Power.ON
    assert time.monotonic() - began_s < 0.5
    device.close()


def test_ipv6(bmc: IpmiSim) -> None:
    """A BMC at an IPv6 address is used like any other."""
    with Relay(bmc.port, "::1") as relay:
        device = _device(bmc, relay.port, "::1")
        assert device.status() is Power.ON
        device.close()


@pytest.mark.parametrize(
    ("user", "password", "options", "complaint"),
    [
        ("a" * 17, b"x", {}, "user name is longer"),
        ("user", b"x" * 21, {}, "password is longer"),
        ("user", b"x", {"privilege": "root"}, "privilege must be"),
        ("user", b"x", {"kg_file": "/nonexistent/kg"}, "kg_file: No such file"),
    ],
)
def test_impossible_settings(
    user: str, password: bytes, options: dict[str, str], complaint: str
) -> None:
    """What no BMC can take is said in words, before anything is sent."""
    with pytest.raises(FenceError, match=complaint) as caught:
        find("ipmi")("127.0.0.1", user, Secret(password), options)
    assert str(password) not in str(caught.value)


def test_unknown_driver() -> None:
    """A driver that does not exist is named, with those that do."""
    with pytest.raises(FenceError, match=r"'apc'.* ipmi"):
        find("apc")


def test_foreign_errors_lose_their_text() -> None:
    """A library's exception may hold the password: only its kind is told."""
    told = threadless.describe(KeyError((PASSWORD,)))
    assert told == "pyghmi failed with KeyError"
