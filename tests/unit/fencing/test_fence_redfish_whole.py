# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole fences over Redfish through worker processes, with every fault, and with sushy-tools."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import UUID

import bcrypt
import pytest
from fence_bench import fencing
from redfish_bench import driver, settings

from fencing import DeviceSettings, FenceOutcome, Power, Secret
from fencing.findings import Trouble
from fencing.worker import message_line, settings_line
from hil.ports import free_port
from hil.redfish.bmc import RedfishBmc
from hil.redfish.certificates import Authority
from hil.redfish.faces import FACES
from hil.redfish.machine import Faults

HOME = Path(__file__).parents[3]
DEADLINE_S = 2.0
SLACK_S = 3.0
"""For a noisy machine; how exact the deadline is belongs in a bench."""
WAIT_S = 10.0
PSS_MAX_KIB = 40 * 1024
FOR_EVER_NS = 2**62


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who signs the certificates."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def bmc(authority: Authority) -> Iterator[RedfishBmc]:
    """A BMC that is up."""
    with RedfishBmc(authority.issue()) as running:
        yield running


def _until(reached: Callable[[], bool]) -> None:
    end_s = time.monotonic() + WAIT_S
    while not reached():
        assert time.monotonic() < end_s
        time.sleep(0.005)


def _nothing(bmc: RedfishBmc) -> None:
    """For faults that are only values."""
    del bmc


def _with_no_place(bmc: RedfishBmc) -> None:
    bmc.faults.sessions_max = 0
    bmc.restart()


@dataclass(frozen=True)
class Case:
    """What is wrong when the order comes, and how the attempt must end."""

    outcome: FenceOutcome
    faults: Faults = field(default_factory=Faults)
    strike: Callable[[RedfishBmc], None] = _nothing
    settle_s: float = 0.0


OFF, UNKNOWN, FAILED = FenceOutcome.CONFIRMED_OFF, FenceOutcome.UNKNOWN, FenceOutcome.FAILED
CASES = {
    "honest": Case(OFF),
    "slow": Case(OFF, Faults(answer_after_s=0.1)),
    "silent": Case(UNKNOWN, Faults(silent=True)),
    "no TLS": Case(FAILED, Faults(mute=True), RedfishBmc.cut),
    "not ready": Case(UNKNOWN, Faults(not_ready=True)),
    "forbidden": Case(UNKNOWN, Faults(forbidden=True)),
    "taken and not carried out": Case(UNKNOWN, Faults(ignored=True)),
    "carried out late": Case(OFF, Faults(late_s=0.5)),
    "lies, and is caught by settling": Case(OFF, Faults(lie_s=0.5), settle_s=0.8),
    "PoweringOff": Case(OFF, Faults(powering_s=0.5)),
    "stuck, and carried out": Case(OFF, Faults(stuck_s=0.8)),
    "answer lost": Case(OFF, Faults(lost=True)),
    "refused, and carried out": Case(OFF, Faults(refused=True)),
    "no power state": Case(UNKNOWN, Faults(says=None)),
    "no JSON": Case(UNKNOWN, Faults(garbage=b"<html>")),
    "byte by byte": Case(UNKNOWN, Faults(drip_s=0.05)),
    "restarted": Case(OFF, strike=RedfishBmc.restart),
    "connection cut": Case(OFF, strike=RedfishBmc.cut),
    "restarted, no place for a session": Case(UNKNOWN, strike=_with_no_place),
    "gone": Case(FAILED, strike=RedfishBmc.stop),
}


@pytest.mark.parametrize("name", CASES)
def test_fault(bmc: RedfishBmc, authority: Authority, name: str) -> None:
    """S3: with no fault is a machine that runs confirmed off, or the deadline overrun."""
    case = CASES[name]
    device = replace(
        settings(bmc, authority, connect=0.4, answer=0.4),
        deadline_s=DEADLINE_S,
        off_settle_s=case.settle_s,
    )

    async def scenario() -> tuple[FenceOutcome, str, str, float]:
        async with fencing(device) as watched:
            bmc.faults = replace(case.faults)
            await asyncio.to_thread(case.strike, bmc)
            began_s = time.monotonic()
            report = await watched.fence.off()
            took_s, power = time.monotonic() - began_s, bmc.machine.power
            bmc.faults = Faults()
            if case.strike is RedfishBmc.stop:
                bmc.start()  # So that the session can be ended.
            return report.outcome, report.detail, power, took_s

    outcome, detail, power, took_s = asyncio.run(scenario())
    assert outcome is case.outcome, detail
    if outcome is FenceOutcome.CONFIRMED_OFF:
        assert power == "off"
    if outcome is FenceOutcome.FAILED:
        assert bmc.orders == []
    assert took_s < DEADLINE_S + SLACK_S
    assert bmc.sessions == {}
    assert bmc.password not in detail
    assert set(bmc.orders) <= {"ForceOff"}


@pytest.mark.parametrize("face", FACES)
def test_face(authority: Authority, face: str) -> None:
    """A fence is confirmed with every vendor's face, also if the machine is off already."""

    async def scenario(bmc: RedfishBmc) -> None:
        async with fencing(replace(settings(bmc, authority), deadline_s=10.0)) as watched:
            for _ in range(2):
                report = await watched.fence.off()
                assert report.outcome is FenceOutcome.CONFIRMED_OFF, report.detail
                assert bmc.machine.power == "off"
            assert (await watched.fence.on()).ok
            assert bmc.machine.power == "on"

    with RedfishBmc(authority.issue(), face=face) as bmc:
        asyncio.run(scenario(bmc))
        assert bmc.sessions == {}


def test_wrong_machine(bmc: RedfishBmc, authority: Authority) -> None:
    """A BMC that answers for another machine is given no order."""
    device = replace(settings(bmc, authority), expect_identity=UUID(int=5))

    async def scenario() -> tuple[FenceOutcome, str]:
        async with fencing(device, ready=False) as watched:
            report = await watched.fence.off()
            return report.outcome, report.detail

    outcome, detail = asyncio.run(scenario())
    assert outcome is FenceOutcome.FAILED
    assert "wrong machine" in detail
    assert bmc.orders == []


def test_readiness(bmc: RedfishBmc, authority: Authority) -> None:
    """A login that is refused is not ready, by name, and leaves no session."""
    device = replace(settings(bmc, authority), password=Secret(b"wrong-word"))

    async def scenario() -> None:
        async with fencing(device, ready=False) as watched:
            (readiness,) = await watched.fence.checked()
            assert [finding.trouble for finding in readiness.findings] == [Trouble.LOGIN_REFUSED]

    asyncio.run(scenario())
    assert bmc.sessions == {}


def test_many_rounds(bmc: RedfishBmc, authority: Authority) -> None:
    """Fifty logins, orders and ends leave no session and no file descriptor."""
    bmc.faults.sessions_max = 1
    before = _descriptors()
    for _ in range(50):
        with driver(bmc, authority) as device:
            device.on()
            device.off()
            assert device.status() is Power.OFF
    _until(lambda: _descriptors() <= before)  # The emulator's side takes a moment to go.
    assert bmc.logins == 50


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def worker(bmc: RedfishBmc, authority: Authority) -> Iterator[subprocess.Popen[bytes]]:
    """A worker with a warm session."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "fencing.worker"]
    with subprocess.Popen(
        command, cwd=HOME, env={}, stdin=pipe, stdout=pipe, stderr=pipe
    ) as process:
        try:
            _write(process, settings_line(settings(bmc, authority)))
            _write(process, message_line({"op": "check"}))
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["power"] == "on"
            yield process
        finally:
            process.kill()


def _write(process: subprocess.Popen[bytes], line: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(line)
    process.stdin.flush()


_ORDER = {"op": "off", "deadline_ns": FOR_EVER_NS, "off_settle_s": 0.0, "expect": None}


@pytest.mark.parametrize("busy", ["idle", "polling", "waiting for an answer", "logging in"])
@pytest.mark.parametrize("how", ["end of stdin", "SIGTERM"])
def test_end_logs_out(
    worker: subprocess.Popen[bytes], bmc: RedfishBmc, how: str, busy: str
) -> None:
    """Whatever it is doing when its stdin ends or systemd stops it, no session stays behind."""
    seen = len(bmc.seen)
    if busy == "polling":
        bmc.faults.ignored = True
    elif busy == "waiting for an answer":
        bmc.faults.stuck_s = WAIT_S
    elif busy == "logging in":
        bmc.restart()
        bmc.faults.answer_after_s = 0.2
    if busy != "idle":
        _write(worker, message_line(_ORDER))
        _until(lambda: len(bmc.seen) > seen + (busy == "polling") + (busy == "logging in") * 3)
    if how == "SIGTERM":
        worker.terminate()
    else:
        assert worker.stdin is not None
        worker.stdin.close()
    assert worker.wait(WAIT_S) == 0
    assert bmc.sessions == {}
    if busy == "logging in":
        assert bmc.logins == 2


def test_nothing_told_that_is_secret(worker: subprocess.Popen[bytes], bmc: RedfishBmc) -> None:
    """Neither argv, environment, answers nor stderr have the password or the token."""
    process = Path(f"/proc/{worker.pid}")
    told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
    (token,) = bmc.sessions
    bmc.faults.forbidden = True
    _write(worker, message_line({**_ORDER, "deadline_ns": time.monotonic_ns() + 10**9}))
    assert worker.stdout is not None
    while b"outcome" not in (line := worker.stdout.readline()):
        told += line
    told += line
    out, error = worker.communicate()
    told += out + error
    assert b"unknown" in line
    assert error == b""
    password = bmc.password.encode()
    for secret in (password, b64encode(password), token.encode()):
        assert secret not in told


def test_small(worker: subprocess.Popen[bytes]) -> None:
    """A warm worker has one thread, and its memory is bounded."""
    process = Path(f"/proc/{worker.pid}")
    fields = dict(
        line.split(":", 1) for line in (process / "smaps_rollup").read_text().splitlines()[1:]
    )
    assert int(fields["Pss"].split()[0]) <= PSS_MAX_KIB
    assert len(list((process / "task").iterdir())) == 1


@contextmanager
def _sushy_tools(directory: Path, certificate: Path, user: str, password: str) -> Iterator[int]:
    """The emulator of OpenStack's sushy-tools with its fake driver; yields its port."""
    port = free_port()
    users = directory / "users"
    users.write_text(f"{user}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()}\n")
    (directory / "state").mkdir()
    configuration = {
        "SUSHY_EMULATOR_LISTEN_IP": "127.0.0.1",
        "SUSHY_EMULATOR_LISTEN_PORT": port,
        "SUSHY_EMULATOR_SSL_CERT": str(certificate),
        "SUSHY_EMULATOR_SSL_KEY": str(certificate),
        "SUSHY_EMULATOR_AUTH_FILE": str(users),
        "SUSHY_EMULATOR_FAKE_DRIVER": True,
        "SUSHY_EMULATOR_STATE_DIR": str(directory / "state"),
    }
    file = directory / "emulator.conf"
    file.write_text("".join(f"{name} = {value!r}\n" for name, value in configuration.items()))
    program = Path(sys.executable).with_name("sushy-emulator")
    with (
        (directory / "log").open("wb") as log,
        subprocess.Popen(
            [program, "--config", str(file)],
            stdout=log,
            stderr=log,
            env={"TMPDIR": str(directory), "HOME": str(directory)},
            start_new_session=True,
        ) as process,
    ):
        try:
            _until(lambda: _is_open(port) or process.poll() is not None)
            assert process.poll() is None, (directory / "log").read_text()
            yield port
        finally:
            os.kill(process.pid, signal.SIGKILL)


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_sushy_tools(tmp_path: Path, authority: Authority) -> None:
    """A whole fence against an emulator that we did not write: it is off 1 to 11 s later."""
    user, password = "admin", "an Other: word"
    certificate = authority.issue()

    async def scenario(port: int) -> None:
        device = DeviceSettings(
            name="independent",
            driver="redfish",
            address="127.0.0.1",
            user=user,
            password=Secret(password.encode()),
            off_settle_s=0.5,
            deadline_s=20.0,
            options={"port": port, "auth": "basic", "fingerprint": certificate.fingerprint},
        )
        async with fencing(device) as watched:
            (before,) = watched.fence.readiness
            assert before.identity is not None
            report = await watched.fence.off()
            assert report.outcome is FenceOutcome.CONFIRMED_OFF, report.detail
            await watched.until(lambda readiness: readiness[0].power is Power.OFF)

    with _sushy_tools(tmp_path, certificate.file, user, password) as port:
        asyncio.run(scenario(port))
