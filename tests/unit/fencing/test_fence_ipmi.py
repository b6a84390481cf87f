# SPDX-License-Identifier: GPL-2.0-or-later
"""The ipmi driver against `ipmi_sim`, directly and through a bad network."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest
from fence_bench import PASSWORD, device, sessions, simulator
from fence_relay import Relay
from pyghmi.ipmi.private import session as pyghmi_session

from fencing import Device, DeviceSettings, FenceError, NotSentError, Power, Secret
from fencing.drivers import find, ipmi_session, threadless
from fencing.drivers.ipmi_logon import BoundedSession
from fencing.findings import Trouble
from hil.bmc import IpmiSim

RAKP1 = 0x12
REPLACED = {"raw_command", "onlogon", "_initsession", "_got_rmcp_response", "_timedout"}
REPLACED |= {"_send_rakp1", "_got_rakp2", "_got_rakp4"}
CALLED = {"_relog", "_open_rmcpplus_request", "_send_ipmi_net_payload", "send_payload"}
"""Methods of pyghmi's session that ours replaces, and those that it calls."""


@pytest.fixture
def bmc(tmp_path: Path) -> Iterator[IpmiSim]:
    """A BMC that is up."""
    with simulator(tmp_path / "bmc") as running_bmc:
        yield running_bmc


def _device(
    bmc: IpmiSim, port: int | None = None, address: str = "127.0.0.1", **options: float
) -> Device:
    options["port"] = port or bmc.port
    return find("ipmi")(device(bmc, address=address, options=options))


def test_pin() -> None:
    """The private names that are replaced exist in the installed, pinned release."""
    assert metadata.version("pyghmi") == threadless.PYGHMI_VERSION
    for name in ("define_worker", "_io_wait", "_io_graball", "iosockets", "iothreadwaiters"):
        assert hasattr(pyghmi_session, name)
    for name in REPLACED | CALLED:
        assert callable(getattr(pyghmi_session.Session, name)), name
    assert vars(BoundedSession).keys() >= REPLACED


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
    ours = _device(bmc)
    ours.off()
    assert ours.status() is Power.OFF
    ours.on()
    assert ours.status() is Power.ON
    assert ours.identify() == bmc.guid
    assert set(threading.enumerate()) <= before
    ours.close()
    assert sessions(bmc) == 0


def test_logon_after_logon(bmc: IpmiSim) -> None:
    """Sessions are opened anew and closed each time, more often than the BMC has slots (63)."""
    ours = _device(bmc)
    for _ in range(70):
        assert ours.status() is Power.ON
        ours.close()


def test_back_from_the_dead(bmc: IpmiSim) -> None:
    """A failed logon leaves nothing behind that fails the next one."""
    ours = _device(bmc, logon=0.3)
    bmc.kill()
    for _ in range(2):
        with pytest.raises(NotSentError, match="no answer"):
            ours.status()
    bmc.start()
    assert ours.status() is Power.ON
    ours.close()


def test_silence_after_an_order_is_not_called_unsent(bmc: IpmiSim) -> None:
    """S3: once a session may have carried the order, a failing new login must not say NotSent."""
    ours = _device(bmc, logon=0.3, warm_answer=0.2)
    ours.status()
    bmc.kill()
    with pytest.raises(FenceError) as caught:
        ours.off()
    assert not isinstance(caught.value, NotSentError)


def test_endless_logon_ends(bmc: IpmiSim) -> None:
    """A BMC that drops RAKP message 1 does not hold us for ever."""
    with Relay(bmc.port) as relay:
        relay.drop_payload_type = RAKP1
        began_s = time.monotonic()
        with pytest.raises(NotSentError, match="no answer"):
            _device(bmc, relay.port, logon=2.0).status()
        assert 1.9 <= time.monotonic() - began_s <= 10.0


def test_a_late_answer_is_not_taken(bmc: IpmiSim) -> None:
    """A delayed reading, from before the power changed, does not answer a later query."""
    with Relay(bmc.port) as relay:
        ours = _device(bmc, relay.port)
        assert ours.status() is Power.ON
        relay.hold = 1
        power_change = threading.Timer(
            ipmi_session.RESEND_S / 2, lambda: setattr(bmc, "power", "off")
        )
        power_change.start()
        assert ours.status() is Power.OFF
        power_change.join()
        ours.close()


def test_a_lost_answer_is_asked_for_again(bmc: IpmiSim) -> None:
    """One lost packet costs a query RESEND_S, not the session."""
    with Relay(bmc.port) as relay:
        ours = _device(bmc, relay.port)
        ours.status()
        asked, began_s = relay.requests, time.monotonic()
        relay.hold = 1
        ours.status()
        assert time.monotonic() - began_s >= ipmi_session.RESEND_S
        assert relay.requests == asked + 2
        ours.close()


def test_orders_are_not_repeated(bmc: IpmiSim) -> None:
    """An unanswered order is sent once per session: a slow BMC carries out each one."""
    with Relay(bmc.port) as relay:
        ours = _device(bmc, relay.port, logon=0.3)
        ours.status()
        relay.hold = 1_000
        with pytest.raises(FenceError):
            ours.off()
        ours.close()
    assert len([line for line in bmc.log if line.startswith("set")]) == 1


def test_idle_session_is_renewed(bmc: IpmiSim, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that the BMC has closed for idleness costs no waiting: it is opened anew."""
    ours = _device(bmc, warm_answer=20.0)
    ours.status()
    bmc.kill()
    bmc.start()
    monkeypatch.setattr(ipmi_session, "IDLE_MAX_S", 0.0)
    began_s = time.monotonic()
    assert ours.status() is Power.ON
    assert time.monotonic() - began_s < 15.0
    ours.close()


def test_ipv6(bmc: IpmiSim) -> None:
    """A BMC at an IPv6 address is used like any other."""
    with Relay(bmc.port, "::1") as relay:
        ours = _device(bmc, relay.port, "::1")
        assert ours.status() is Power.ON
        ours.close()


SETTINGS = DeviceSettings("a", "ipmi", "127.0.0.1", "user", Secret(b"word"))


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (replace(SETTINGS, user="a" * 17), "user name is longer"),
        (replace(SETTINGS, password=Secret(b"x" * 21)), "password is longer"),
        (replace(SETTINGS, kg=Secret(b"x" * 21)), "BMC key is longer"),
        (replace(SETTINGS, options={"privilege": "root"}), "privilege must be"),
        (replace(SETTINGS, options={"suites": (0,)}), "suites must be some of 17, 3"),
        (replace(SETTINGS, options={"suites": ()}), "suites must be"),
        (replace(SETTINGS, options={"logon": "long"}), "'long' is no number"),
    ],
)
def test_impossible_settings(settings: DeviceSettings, complaint: str) -> None:
    """What no BMC can take is said in words, before anything is sent."""
    with pytest.raises(FenceError, match=complaint) as caught:
        find("ipmi")(settings)
    assert caught.value.trouble is Trouble.SETTINGS
    assert "xxx" not in str(caught.value)


def test_unknown_driver() -> None:
    """A driver that does not exist is named, with those that do."""
    with pytest.raises(FenceError, match=r"'apc'.* ipmi"):
        find("apc")


def test_foreign_errors_lose_their_text() -> None:
    """A library's exception may hold the password: only its kind is told."""
    told = threadless.describe(KeyError((PASSWORD,)))
    assert told == "pyghmi failed with KeyError"
