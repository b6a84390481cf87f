# SPDX-License-Identifier: GPL-2.0-or-later
"""The worker process: its end, its secrets, its size."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from fence_bench import PASSWORD, device, fencing, gone, sessions, simulator

from fencing.worker import message_line, settings_line
from hil.bmc import IpmiSim

HOME = Path(__file__).parents[3]
PSS_MAX_KIB = 25 * 1024
FOR_EVER_NS = 2**62


@pytest.fixture
def bmc(tmp_path: Path) -> Iterator[IpmiSim]:
    """A BMC that is up."""
    with simulator(tmp_path / "bmc") as running_bmc:
        yield running_bmc


@pytest.fixture
def worker(bmc: IpmiSim) -> Iterator[subprocess.Popen[bytes]]:
    """A worker with a warm session."""
    with _worker() as process:
        _write(process, settings_line(device(bmc)))
        assert _ask(process, op="check")["power"] == "on"
        assert sessions(bmc) == 1
        yield process
        process.kill()


def _worker() -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "fencing.worker"]
    return subprocess.Popen(command, cwd=HOME, env={}, stdin=pipe, stdout=pipe, stderr=pipe)


def _write(process: subprocess.Popen[bytes], line: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(line)
    process.stdin.flush()


def _ask(process: subprocess.Popen[bytes], **request: object) -> dict[str, object]:
    assert process.stdout is not None
    _write(process, message_line(request))
    answer = json.loads(process.stdout.readline())
    assert isinstance(answer, dict)
    return answer


def _order_in_progress(process: subprocess.Popen[bytes], bmc: IpmiSim) -> None:
    """Leave the worker polling for an off that will not come."""
    bmc.fault = "ack_only"
    order = {"op": "off", "deadline_ns": FOR_EVER_NS, "off_settle_s": 0.0, "expect": None}
    _write(process, message_line(order))
    end_s = time.monotonic() + 5.0
    while not any(line.startswith("set power 0") for line in bmc.log):
        assert time.monotonic() < end_s
        time.sleep(0.005)


def test_requests(worker: subprocess.Popen[bytes], bmc: IpmiSim) -> None:
    """Readings come with the moment before they were asked for."""
    before_ns = time.monotonic_ns()
    status = _ask(worker, op="status")
    assert status["power"] == "on"
    assert isinstance(status["asked_ns"], int)
    assert before_ns <= status["asked_ns"] <= time.monotonic_ns()
    check = _ask(worker, op="check")
    assert (check["power"], check["identity"]) == ("on", str(bmc.guid))


@pytest.mark.parametrize("busy", [False, True])
@pytest.mark.parametrize("how", ["end of stdin", "SIGTERM"])
def test_end_logs_out(
    worker: subprocess.Popen[bytes], bmc: IpmiSim, how: str, *, busy: bool
) -> None:
    """When its stdin ends or systemd stops it, idle or in an order, it logs out and ends."""
    if busy:
        _order_in_progress(worker, bmc)
    if how == "SIGTERM":
        worker.terminate()
    else:
        assert worker.stdin is not None
        worker.stdin.close()
    assert worker.wait(2.0) == 0
    assert sessions(bmc) == 0


def test_killed_parent(bmc: IpmiSim) -> None:
    """A parent killed in the midst of a fence leaves no worker, no session and no later order."""
    parent = f"""
import asyncio, sys
sys.path[:0] = [{str(HOME)!r}, {str(Path(__file__).parent)!r}]
from fence_bench import fencing, device
from hil.bmc import IpmiSim
from pathlib import Path
from fencing import DeviceSettings, Secret
settings = DeviceSettings("a", "ipmi", "127.0.0.1", {bmc.user!r}, Secret({PASSWORD.encode()!r}),
                          deadline_s=60.0, options={{"port": {bmc.port}}})
async def scenario():
    async with fencing(settings) as watched:
        print(watched.pid(), flush=True)
        await watched.fence.off()
asyncio.run(scenario())
"""
    bmc.fault = "ack_only"
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.kill()
    asyncio.run(gone(pid))
    orders = len(bmc.log)
    assert sessions(bmc) == 0
    assert len(bmc.log) == orders


def test_secrets_stay_inside(bmc: IpmiSim, capfd: pytest.CaptureFixture[str]) -> None:
    """The password is in no argv, environment, repr, log or output, plain or encoded."""

    async def scenario() -> str:
        settings = device(bmc, deadline_s=1.0)
        async with fencing(settings) as watched:
            process = Path(f"/proc/{watched.pid()}")
            seen = (process / "cmdline").read_text() + (process / "environ").read_text()
            seen += repr((settings, watched.told, await watched.fence.off()))
            os.kill(watched.pid(), signal.SIGKILL)
            return seen + repr(await watched.fence.off())

    output = asyncio.run(scenario()) + "".join(capfd.readouterr())
    assert "confirmed_off" in output
    for secret in (PASSWORD, b64encode(PASSWORD.encode()).decode()):
        assert secret not in output


def test_a_bug_shows_no_values(bmc: IpmiSim) -> None:
    """A worker that dies of a bug names the place, not the values."""
    with _worker() as process:
        assert process.stderr is not None
        _write(process, settings_line(device(bmc)).replace(b'"user"', b'"resu"'))
        told = process.stderr.read()
    assert b"fence worker died of KeyError: " in told
    assert b"worker.py:" in told
    assert PASSWORD.encode() not in told
    assert b64encode(PASSWORD.encode()) not in told


def test_unusable_settings_are_answered(bmc: IpmiSim) -> None:
    """Settings that no device can have are the answer to every request: nothing was ordered."""
    with _worker() as process:
        _write(process, settings_line(device(bmc, driver="none")))
        assert "no driver is called 'none'" in str(_ask(process, op="check")["error"])
        off = {"op": "off", "deadline_ns": FOR_EVER_NS, "off_settle_s": 0.0, "expect": None}
        assert _ask(process, **off)["outcome"] == "failed"
        assert _ask(process, op="on", deadline_ns=FOR_EVER_NS)["ok"] is False
        process.communicate()


def test_small(worker: subprocess.Popen[bytes]) -> None:
    """A warm worker has one thread and costs at most 25 MiB."""
    process = Path(f"/proc/{worker.pid}")
    fields = dict(
        line.split(":", 1) for line in (process / "smaps_rollup").read_text().splitlines()[1:]
    )
    assert int(fields["Pss"].split()[0]) <= PSS_MAX_KIB
    assert len(list((process / "task").iterdir())) == 1
