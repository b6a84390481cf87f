# SPDX-License-Identifier: GPL-2.0-or-later
"""The redfish driver against emulated BMCs with vendors' faces and faults, in this process."""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as property_settings
from hypothesis import strategies as st
from redfish_bench import driver, is_unsent, settings, troubles
from requests import Response
from sushy.connector import Connector

from fencing import DeviceSettings, FenceError, NotSentError, Power, Secret
from fencing.drivers import find
from fencing.drivers.redfish import RedfishDevice, tls
from fencing.drivers.redfish.refusal import refusal
from fencing.findings import Trouble
from hil.redfish.bmc import UUID_OF_FIRST, RedfishBmc
from hil.redfish.certificates import Authority
from hil.redfish.faces import FACES
from hil.redfish.machine import Machine

SOON_S = 5.0
"""No limit of ours: for what would take ten times as long if it were not bounded."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who signs the certificates."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def bmc(authority: Authority) -> Iterator[RedfishBmc]:
    """An iDRAC that is up, and from which every session is gone when the test ends."""
    with RedfishBmc(authority.issue()) as running:
        yield running
        assert running.sessions == {}


def _paths(bmc: RedfishBmc, method: str) -> list[str]:
    return [seen.path for seen in bmc.seen if seen.method == method]


def test_private_names() -> None:
    """What is used of sushy beside its documented methods is there."""
    with Connector("https://127.0.0.1:1") as connector:
        assert connector._session.trust_env is True
    parameters = inspect.signature(Connector._op).parameters
    assert {"server_side_retries_left", "timeout", "headers"} <= set(parameters)


@pytest.mark.parametrize("auth", ["session", "basic"])
@pytest.mark.parametrize("face", FACES)
def test_faces(authority: Authority, face: str, auth: str) -> None:
    """With every vendor's face: off, off again, on, and no session is left."""
    with RedfishBmc(authority.issue(), face=face) as bmc:
        with driver(bmc, authority, auth=auth) as device:
            assert device.status() is Power.ON
            assert device.identify() == UUID_OF_FIRST
            device.off()
            assert (device.status(), bmc.machine.power) == (Power.OFF, "off")
            device.off()
            assert device.status() is Power.OFF
            device.on()
            assert (device.status(), bmc.machine.power) == (Power.ON, "on")
            assert device.inspect().findings == ()
            assert len(bmc.sessions) == (auth == "session")
        assert bmc.sessions == {}
        assert bmc.orders == [
            "ForceOff",
            "ForceOff",
            "On" if "On" in bmc.face.resets else "ForceOn",
        ]


@pytest.mark.parametrize(
    ("state", "power"),
    [
        ("On", Power.ON),
        ("Off", Power.OFF),
        ("off", Power.UNKNOWN),
        ("PoweringOff", Power.UNKNOWN),
        ("PoweringOn", Power.UNKNOWN),
        ("Paused", Power.UNKNOWN),
        (None, Power.UNKNOWN),
        ("", Power.UNKNOWN),
        (0, Power.UNKNOWN),
        (["Off"], Power.UNKNOWN),
        ({"Off": "Off"}, Power.UNKNOWN),
    ],
)
def test_only_off_is_off(
    bmc: RedfishBmc, authority: Authority, state: object, power: Power
) -> None:
    """S3: transitional, unknown and missing states are neither on nor off, and are shown."""
    bmc.faults.says = state
    with driver(bmc, authority) as device:
        assert device.status() is power
        assert device.evidence() == (
            "" if state in ("On", "Off") else f"PowerState is {str(state)!r}"
        )


def test_readings_are_fresh(bmc: RedfishBmc, authority: Authority) -> None:
    """Nothing between us and the BMC keeps an old reading."""
    with driver(bmc, authority) as device:
        for power in ("off", "on", "off"):
            bmc.machine.power = power
            assert device.status() == power


def test_warm_order(bmc: RedfishBmc, authority: Authority) -> None:
    """A device that was read is one request away from its order, over the same connection."""
    with driver(bmc, authority) as device:
        device.status()
        before = len(bmc.seen)
        assert device.identify() == UUID_OF_FIRST
        device.off()
        order = bmc.seen[before]
        assert (order.method, order.login, order.body) == (
            "POST",
            "session",
            b'{"ResetType": "ForceOff"}',
        )
        assert len(bmc.seen) == before + 1
        assert {seen.connection for seen in bmc.seen} == {1}
        assert bmc.logins == 1


def test_identity_is_asked_for_where_nothing_proves_it(
    bmc: RedfishBmc, authority: Authority
) -> None:
    """A password is the same for many BMCs, so with basic auth the identity is read each time."""
    with driver(bmc, authority, auth="basic") as device:
        device.status()
        bmc.machine.uuid = UUID(int=5)
        assert device.identify() == UUID(int=5)


@pytest.mark.parametrize(
    ("fault", "value", "posts"),
    [("lost", True, 2), ("refused", True, 1), ("stuck_s", 1.0, 1)],
)
def test_an_order_may_be_carried_out_all_the_same(
    bmc: RedfishBmc, authority: Authority, fault: str, value: object, posts: int
) -> None:
    """S3: after a cut connection, a 500 or a timeout nobody says that nothing was sent.

    Only what a kept connection swallowed is sent again, once, over a new one.
    """
    with driver(bmc, authority, answer=0.3) as device:
        device.status()
        setattr(bmc.faults, fault, value)
        with pytest.raises(FenceError) as caught:
            device.off()
        assert not is_unsent(caught.value)
        assert len(bmc.orders) == posts
        end_s = time.monotonic() + SOON_S
        while device.status() is not Power.OFF:
            assert time.monotonic() < end_s
        assert bmc.machine.power == "off"


def test_one_attempt(bmc: RedfishBmc, authority: Authority) -> None:
    """A 503 is not asked again after a pause, as sushy would: the rule decides on that."""
    with driver(bmc, authority) as device:
        device.status()
        before = len(bmc.seen)
        bmc.faults.not_ready = True
        for ask in (device.status, device.off):
            with pytest.raises(
                FenceError, match=r"HTTP 503 .*ServiceTemporarilyUnavailable"
            ) as caught:
                ask()
            assert caught.value.trouble is Trouble.REFUSED
            assert not is_unsent(caught.value)
        assert len(bmc.seen) == before + 2
        bmc.faults.not_ready = False


def test_not_ready_before_the_order(bmc: RedfishBmc, authority: Authority) -> None:
    """A BMC that starts is not given up for good: it may be ready within the deadline."""
    bmc.faults.not_ready = True
    with driver(bmc, authority) as device:
        with pytest.raises(FenceError) as caught:
            device.off()
        assert not is_unsent(caught.value)
        bmc.faults.not_ready = False
        device.off()
        assert bmc.machine.power == "off"


def test_no_login_no_order(bmc: RedfishBmc, authority: Authority) -> None:
    """A wrong password is named, nothing was sent, and what the BMC quotes is not told."""
    for auth in ("session", "basic"):
        with driver(bmc, authority, password="wrong-word", auth=auth) as device:  # noqa: S106  # wrong
            with pytest.raises(NotSentError, match="HTTP 401") as caught:
                device.off()
            assert caught.value.trouble is Trouble.LOGIN_REFUSED
            assert "wrong-word" not in str(caught.value)
    assert bmc.orders == []


@pytest.mark.parametrize("face", ["idrac", "openbmc"])
def test_session_table_full(authority: Authority, face: str) -> None:
    """It is called by its name, and is over when there is a place."""
    with RedfishBmc(authority.issue(), face=face) as bmc, driver(bmc, authority) as device:
        bmc.faults.sessions_max = 0
        with pytest.raises(NotSentError) as caught:
            device.off()
        assert caught.value.trouble is Trouble.NO_SESSION
        assert bmc.orders == []
        bmc.faults.sessions_max = 1
        device.off()
        assert bmc.machine.power == "off"


def test_port_closed(bmc: RedfishBmc, authority: Authority) -> None:
    """A closed port is said at once: sushy would try for 27 s."""
    with driver(bmc, authority) as device:
        bmc.stop()
        began_s = time.monotonic()
        with pytest.raises(NotSentError, match="refused") as caught:
            device.off()
        assert caught.value.trouble is Trouble.UNREACHABLE
        assert time.monotonic() - began_s < SOON_S
        bmc.start()
        device.off()


def test_tls_never_answered(bmc: RedfishBmc, authority: Authority) -> None:
    """TCP that accepts and TLS that does not answer is bounded: sushy would wait 627 s."""
    bmc.faults.mute = True
    with driver(bmc, authority, connect=0.3) as device:
        began_s = time.monotonic()
        with pytest.raises(NotSentError, match=r"no TLS in 0\.3 s") as caught:
            device.off()
        assert caught.value.trouble is Trouble.UNREACHABLE
        assert time.monotonic() - began_s < SOON_S
    bmc.faults.mute = False


@pytest.mark.parametrize("fault", ["silent", "drip_s"])
def test_every_answer_is_bounded(bmc: RedfishBmc, authority: Authority, fault: str) -> None:
    """Neither silence nor one byte now and then holds us longer than one answer may take."""
    with driver(bmc, authority, answer=0.5) as device:
        device.status()
        setattr(bmc.faults, fault, 0.1)
        began_s = time.monotonic()
        with pytest.raises(FenceError, match=r"no answer in 0\.5 s") as caught:
            device.status()
        assert not is_unsent(caught.value)
        assert time.monotonic() - began_s < SOON_S
        setattr(bmc.faults, fault, 0)


def test_endless_answer(
    bmc: RedfishBmc, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that is too long is given up: it may not eat the memory."""
    monkeypatch.setattr(tls, "ANSWER_BYTES_MAX", 10_000)
    with driver(bmc, authority) as device:
        device.status()
        bmc.faults.garbage = b" " * 20_000
        with pytest.raises(FenceError, match="connection broke"):
            device.status()
        bmc.faults.garbage = b""


def test_restart_in_mid_session(bmc: RedfishBmc, authority: Authority) -> None:
    """A BMC that has forgotten us is entered anew, for an order too, and holds one session."""
    with driver(bmc, authority) as device:
        device.status()
        bmc.restart()
        device.off()
        assert bmc.machine.power == "off"
        bmc.restart()
        assert device.status() is Power.OFF
        assert (len(bmc.sessions), bmc.logins) == (1, 3)


def test_another_machine_after_a_restart(bmc: RedfishBmc, authority: Authority) -> None:
    """The order that one BMC refused is not given to another that now has its address."""
    with driver(bmc, authority) as device:
        device.status()
        bmc.restart()
        bmc.machine.uuid = UUID(int=5)
        with pytest.raises(FenceError) as caught:
            device.off()
        assert caught.value.trouble is Trouble.OTHER_MACHINE
        assert bmc.orders == []
        assert device.identify() == UUID(int=5)


def test_restart_and_no_login(bmc: RedfishBmc, authority: Authority) -> None:
    """S3: an order that was answered with 401 has left, whatever the login says after it."""
    with driver(bmc, authority) as device:
        device.status()
        bmc.restart()
        bmc.faults.sessions_max = 0
        with pytest.raises(FenceError) as caught:
            device.off()
        assert not is_unsent(caught.value)
        assert caught.value.trouble is Trouble.NO_SESSION


def test_connection_cut(bmc: RedfishBmc, authority: Authority) -> None:
    """A kept connection that the BMC has closed costs a handshake, no login."""
    with driver(bmc, authority) as device:
        device.status()
        bmc.cut()
        device.off()
        assert bmc.orders == ["ForceOff"]
        assert bmc.logins == 1


def test_forbidden(bmc: RedfishBmc, authority: Authority) -> None:
    """A missing privilege has its name, and costs no session: sushy forgets one for each 403."""
    bmc.faults.forbidden = True
    with driver(bmc, authority) as device:
        for _ in range(3):
            with pytest.raises(FenceError, match="insufficient privileges") as caught:
                device.off()
            assert caught.value.trouble is Trouble.PRIVILEGE
            assert not is_unsent(caught.value)
        assert (len(bmc.sessions), bmc.logins) == (1, 1)


def test_401_for_a_resource(bmc: RedfishBmc, authority: Authority) -> None:
    """A BMC that says 401 for what an account may not read is not logged in to again for it."""
    bmc.manager.accounts_refusal = 401
    with driver(bmc, authority) as device:
        assert device.inspect().findings == ()
        assert bmc.logins == 1


def test_401_for_everything(bmc: RedfishBmc, authority: Authority) -> None:
    """Where a new login does not help, the old session, which was good, does not stay behind."""
    with driver(bmc, authority) as device:
        device.status()
        bmc.faults.denied = True
        with pytest.raises(FenceError) as caught:
            device.status()
        assert caught.value.trouble is Trouble.LOGIN_REFUSED
        assert (len(bmc.sessions), bmc.logins) == (1, 2)


def test_system_moved(bmc: RedfishBmc, authority: Authority) -> None:
    """A system that is not where it was is looked for anew."""
    with driver(bmc, authority) as device:
        device.status()
        bmc.machines["New.1"] = bmc.machines.pop(bmc.face.system)
        with pytest.raises(FenceError, match=r"HTTP 40[04]"):
            device.status()
        device.off()
        assert bmc.machines["New.1"].power == "off"


B = UUID("b1234567-89ab-cdef-a123-456789abcdef")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("Two", None),
        ("/redfish/v1/Systems/Two", None),
        ("", B),
        ("", UUID(bytes=B.bytes_le)),
        ("", UUID(bytes=B.bytes[::-1])),
    ],
)
def test_one_of_several(
    bmc: RedfishBmc, authority: Authority, wanted: str, expected: UUID | None
) -> None:
    """It is found by id, by path, or by UUID in any byte order; the others stay on."""
    bmc.machines["Two"] = Machine(B)
    device = RedfishDevice(
        replace(settings(bmc, authority, system=wanted), expect_identity=expected)
    )
    device.off()
    device.close()
    assert [machine.power for machine in bmc.machines.values()] == ["on", "off"]


@pytest.mark.parametrize(
    ("wanted", "expected", "trouble"),
    [
        ("Three", None, Trouble.SETTINGS),
        ("", None, Trouble.SETTINGS),
        ("", UUID(int=5), Trouble.OTHER_MACHINE),
    ],
)
def test_none_of_several(
    bmc: RedfishBmc,
    authority: Authority,
    wanted: str,
    expected: UUID | None,
    trouble: Trouble,
) -> None:
    """Nobody is shot by guess; the operator is told what there is."""
    bmc.machines["Two"] = Machine(B)
    device = RedfishDevice(
        replace(settings(bmc, authority, system=wanted), expect_identity=expected)
    )
    with pytest.raises(NotSentError, match=r"System\.Embedded\.1, Two") as caught:
        device.off()
    device.close()
    assert caught.value.trouble is trouble
    assert bmc.orders == []


def test_sent_elsewhere(bmc: RedfishBmc, authority: Authority) -> None:
    """Login and orders go to nobody else, whatever the BMC names."""
    with RedfishBmc(authority.issue()) as other, driver(bmc, authority) as device:
        elsewhere = f"https://{other.address}:{other.port}"
        bmc.faults.moved_to = f"{elsewhere}/redfish/v1/"
        with pytest.raises(FenceError, match=f"sends us to '{elsewhere}"):
            device.status()
        bmc.faults.moved_to = ""
        target = f"{elsewhere}//{other.address}/redfish/v1/Systems/{other.face.system}"
        for named in (target, f"{elsewhere}/redfish/v1/nowhere", "nowhere", "http://[/"):
            action = {"#ComputerSystem.Reset": {"target": named}}
            bmc.machine.extra = {"Actions": action}
            device.status()
            with pytest.raises(FenceError):
                device.off()
        assert other.seen == []


def test_environment(
    bmc: RedfishBmc, authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No proxy, no .netrc and no bundle of the environment is used, and no cookie is kept."""
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine {bmc.address} login other password other\n")
    netrc.chmod(0o600)
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent")
    monkeypatch.setenv("CURL_CA_BUNDLE", "/nonexistent")
    with driver(bmc, authority) as device:
        assert device.status() is Power.ON
    logins = [seen.login for seen in bmc.seen]
    assert set(logins) == {"none", "session"}
    assert all("Cookie" not in seen.headers for seen in bmc.seen)


def test_ipv6(authority: Authority) -> None:
    """A BMC at an IPv6 address is used like any other."""
    with (
        RedfishBmc(authority.issue(["::1"]), address="::1") as bmc,
        driver(bmc, authority) as device,
    ):
        device.off()
        assert bmc.machine.power == "off"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("error", "@Message.ExtendedInfo", "Message", "MessageId", "message", "code"),
                    *("Members", "@odata.id", "Systems", "UUID", "PowerState", "Actions", "Links"),
                    *("#ComputerSystem.Reset", "target", "ResetType@Redfish.AllowableValues"),
                ]
            ),
            inner,
        )
    ),
    max_leaves=12,
)


@property_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    body=_JSON.map(json.dumps) | st.text(), status=st.sampled_from([200, 201, 204, 400, 409, 500])
)
def test_any_answer(bmc: RedfishBmc, authority: Authority, body: str, status: int) -> None:
    """Whatever a BMC answers ends as a reading that is not off by accident, or a FenceError."""
    bmc.faults.garbage = body.encode() or b" "
    bmc.faults.garbage_status = status
    with driver(bmc, authority, system="/redfish/v1/Systems/1", auth="basic") as device:
        for ask in (device.status, device.off, device.on, device.identify, device.inspect):
            try:
                answer = ask()
            except FenceError:
                continue
            assert answer is not Power.OFF or json.loads(body).get("PowerState") == "Off"
    bmc.faults.garbage = b""


def test_secrets_are_not_quoted() -> None:
    """What a BMC quotes of us is not in what the operator is told."""
    answer = Response()
    answer.status_code = 400
    words = "the value Pass/word is not, tok123 neither" + "x" * 1000
    answer._content = json.dumps(
        {"error": {"@Message.ExtendedInfo": [{"Message": words}]}}
    ).encode()
    said = str(refusal(answer, ("Pass/word", "tok123", "")))
    assert said.startswith("HTTP 400 : the value *** is not, *** neither")
    assert len(said) < 300


@pytest.mark.parametrize(
    ("options", "password", "complaint"),
    [
        ({"fingerprint": "12:34"}, b"x", "64 hexadecimal digits"),
        ({"fingerprint": "0" * 64, "ca_file": "/a"}, b"x", "not both"),
        ({"ca_file": "/nonexistent/ca"}, b"x", "No such file"),
        ({"ca_file": "/dev/null"}, b"x", "no certificate in it"),
        ({"auth": "digest"}, b"x", "session or basic"),
        ({}, b"\xff\xfe-secret", "not UTF-8"),
    ],
)
def test_impossible_settings(options: dict[str, str], password: bytes, complaint: str) -> None:
    """What cannot work is said in words before anything is sent."""
    wanted = DeviceSettings("a", "redfish", "127.0.0.1", "user", Secret(password), options=options)
    with pytest.raises(FenceError, match=complaint) as caught:
        find("redfish")(wanted)
    assert caught.value.trouble is Trouble.SETTINGS
    assert "secret" not in str(caught.value)


def test_mark(bmc: RedfishBmc, authority: Authority) -> None:
    """A BMC is known by the MAC address that we speak to, as the ipmi driver knows it."""
    with driver(bmc, authority) as device:
        assert device.inspect().mark == f"bmc {bmc.manager.mac}"
        bmc.manager.address = "192.0.2.9"
        assert device.inspect().mark == "bmc 02:00:00:00:00:01"
        bmc.manager.extra = {"EthernetInterfaces": None}
        assert device.inspect().mark == f"bmc {bmc.manager.uuid}"
        bmc.manager.extra = {"EthernetInterfaces": None, "UUID": None}
        assert len(device.inspect().mark) == len("bmc ") + 64


@pytest.mark.parametrize("off_s", [-400.0, 400.0])
def test_clock(bmc: RedfishBmc, authority: Authority, off_s: float) -> None:
    """A wrong clock is found by the manager's time, or by HTTP's."""
    bmc.manager.clock_off_s = off_s
    with driver(bmc, authority) as device:
        assert troubles(device) == {Trouble.CLOCK}
        bmc.manager.extra = {"DateTime": None}
        assert troubles(device) == {Trouble.CLOCK}


def test_findings_of_the_system(bmc: RedfishBmc, authority: Authority) -> None:
    """Restore policy, identity and missing reset types are found before the night."""
    with driver(bmc, authority) as device:
        for extra, trouble in (
            ({"PowerRestorePolicy": "AlwaysOff"}, Trouble.RESTORE_POLICY),
            ({"UUID": None}, Trouble.IDENTITY_UNKNOWN),
            ({"UUID": "00000000-0000-0000-0000-000000000000"}, Trouble.IDENTITY_UNKNOWN),
            ({"UUID": "To be filled by O.E.M."}, Trouble.IDENTITY_UNKNOWN),
        ):
            bmc.machine.extra = extra
            assert troubles(device) == {trouble}
        bmc.machine.extra = {}
        for listed in ("values", "info"):
            bmc.face = replace(bmc.face, resets=("On", "GracefulShutdown"), listed=listed)
            assert troubles(device) == {Trouble.REFUSED}


@pytest.mark.parametrize("session_roles", [False, True])
@pytest.mark.parametrize("face", ["idrac", "ilo", "openbmc"])
def test_privilege(authority: Authority, face: str, session_roles: bool) -> None:  # noqa: FBT001  # pytest's way
    """An account that may only read is found by its role, from the session or the account."""
    with RedfishBmc(authority.issue(), face=face) as bmc, driver(bmc, authority) as device:
        bmc.manager.session_roles = session_roles
        bmc.manager.role = "ReadOnly"
        assert troubles(device) == {Trouble.PRIVILEGE}
        bmc.manager.role = "Administrator"
        assert troubles(device) == set()
        bmc.manager.role = "ReadOnly"
        bmc.manager.accounts_refusal = 403
        assert troubles(device) == ({Trouble.PRIVILEGE} if session_roles else set())


def test_refused_while_on(bmc: RedfishBmc, authority: Authority) -> None:
    """The same 400 for a machine that is on is an error, with the BMC's words."""
    bmc.face = replace(bmc.face, resets=("On",))
    with driver(bmc, authority) as device:
        with pytest.raises(FenceError, match=r"HTTP 400 .*ActionParameterNotSupported") as caught:
            device.off()
        assert caught.value.trouble is Trouble.REFUSED
        assert not is_unsent(caught.value)
