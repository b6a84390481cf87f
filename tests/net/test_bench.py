# SPDX-License-Identifier: GPL-2.0-or-later
"""The bench itself: power is power, and the checks of the other tests can fire."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import pytest

from hil.lab import Lab
from hil.machine import Machine
from hil.namespaces import inside
from hil.network import VIP
from hil.pair import BMC_USER, PASSWORD, bmc_address
from hil.processes import run
from hil.proof import held_alone, never_both, taken_over, undisturbed

CLAIMER = f"""
import socket, struct, subprocess, time
subprocess.run(["ip", "address", "add", "{VIP}/24", "dev", "eth0"], check=True)
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind(("eth0", 0x0806))
mac, vip = wire.getsockname()[4], socket.inet_aton("{VIP}")
arp = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, mac, vip, bytes(6), vip)
while True:
    wire.send(b"\\xff" * 6 + mac + b"\\x08\\x06" + arp)
    time.sleep(0.1)
"""
"""Instead of an agent: claims the address at once, whoever else has it."""
LIMIT_S = 30.0


@pytest.fixture
def reckless(bench: object) -> Iterator[Lab]:
    """A pair whose agents ask nobody; all power off."""
    assert bench  # it checks for root
    with Lab(agent_command=(sys.executable, "-c", CLAIMER)) as lab:
        yield lab


def ipmi(lab: Lab, machine: Machine, *words: str) -> str:
    """Ask a machine's BMC with a client that is not ours."""
    bmc = ["-H", bmc_address(machine.name), "-U", BMC_USER, "-P", PASSWORD]
    tool = ["ipmitool", "-I", "lanplus", "-C", "3", "-L", "OPERATOR", *bmc]
    return run([*inside(lab.network.namespace.pid), *tool, *words]).stdout.strip()


def boot_id(machine: Machine) -> str:
    """What the machine takes for the identity of its boot."""
    return machine.run("cat", "/proc/sys/kernel/random/boot_id").stdout


def test_power_is_power(reckless: Lab) -> None:
    """Off by IPMI, everything in the machine is dead when the BMC says so; on, it boots anew."""
    alpha = reckless.machines["alpha"]
    assert ipmi(reckless, alpha, "power", "status") == "Chassis Power is off"
    ipmi(reckless, alpha, "power", "on")
    reckless.client.wait_served(LIMIT_S, by="alpha", boot=1)
    first = boot_id(alpha)
    alpha.run("sh", "-c", "echo kept > /run/disk/kept; echo lost > /run/lost")
    assert ipmi(reckless, alpha, "power", "status") == "Chassis Power is on"
    before = alpha.processes()
    assert len(before) > 1
    ipmi(reckless, alpha, "power", "off")
    assert ipmi(reckless, alpha, "power", "status") == "Chassis Power is off"
    off_ns = reckless.power.wait(lambda e: e.get("state") == "off" and e["what"] == "power", 0)
    assert alpha.processes() == []
    assert reckless.observer.sightings(off_ns["at_ns"]) == []
    ipmi(reckless, alpha, "power", "on")
    reckless.client.wait_served(LIMIT_S, by="alpha", boot=2)
    assert boot_id(alpha) != first
    kept = alpha.run("sh", "-c", "cat /run/disk/kept; ls /run")
    assert kept.stdout.split()[0] == "kept"
    assert "lost" not in kept.stdout.split()


def test_two_holders_are_seen(reckless: Lab) -> None:
    """Where two machines hold the address, the checks for one holder fail."""
    reckless.power_on()
    alpha, beta = reckless.machines["alpha"], reckless.machines["beta"]
    for machine in (alpha, beta):
        reckless.observer.wait_holder(machine.mac, LIMIT_S)
    since_ns = time.monotonic_ns()
    for machine in (alpha, beta):
        reckless.observer.wait_holder(machine.mac, LIMIT_S, after_ns=since_ns)
    with pytest.raises(AssertionError, match="held by"):
        held_alone(reckless, alpha, since_ns)
    with pytest.raises(AssertionError, match="held by"):
        undisturbed(reckless, alpha, since_ns, gap_ms_max=500)


def test_takeover_without_proof_is_seen(reckless: Lab) -> None:
    """A takeover before the other is off, or off but never read as off, fails the check."""
    reckless.power_on("alpha")
    alpha, beta = reckless.machines["alpha"], reckless.machines["beta"]
    reckless.client.wait_served(LIMIT_S, by="alpha")
    since_ns = time.monotonic_ns()
    reckless.power_on("beta")
    reckless.observer.wait_holder(beta.mac, LIMIT_S)
    reckless.client.wait_served(LIMIT_S, by="beta")
    with pytest.raises(AssertionError, match="never lost its power"):
        taken_over(reckless, alpha, beta, since_ns)
    reckless.power_off("alpha")
    with pytest.raises(AssertionError, match="was seen before alpha was off"):
        taken_over(reckless, alpha, beta, since_ns)


def test_shot_at_the_innocent_is_seen(reckless: Lab) -> None:
    """An order to the wrong machine fails the check for quiet."""
    reckless.power_on("alpha")
    alpha, beta = reckless.machines["alpha"], reckless.machines["beta"]
    reckless.client.wait_served(LIMIT_S, by="alpha")
    since_ns = time.monotonic_ns()
    ipmi(reckless, beta, "power", "off")
    with pytest.raises(AssertionError, match="power_off"):
        undisturbed(reckless, alpha, since_ns, gap_ms_max=500)


def start_service(lab: Lab, machine: Machine) -> None:
    """Start nginx on a machine, as its agent would."""
    machine.run(str(lab.services.script), "nginx", "start")


def test_service_on_two_machines_is_seen(reckless: Lab) -> None:
    """Where two powered machines run a service, the check for one fails; powerless ones do not."""
    reckless.power_on()
    alpha, beta = reckless.machines["alpha"], reckless.machines["beta"]
    start_service(reckless, alpha)
    reckless.services.wait(alpha, "start", 0, LIMIT_S, what="0")
    never_both(reckless)
    reckless.power_off("alpha")
    start_service(reckless, beta)
    reckless.services.wait(beta, "start", 0, LIMIT_S, what="0")
    never_both(reckless)
    reckless.power_on("alpha")
    again_ns = time.monotonic_ns()
    start_service(reckless, alpha)
    reckless.services.wait(alpha, "start", again_ns, LIMIT_S, what="0")
    with pytest.raises(AssertionError, match="may run on"):
        never_both(reckless)


def test_lost_requests_are_seen(reckless: Lab) -> None:
    """Refused, cut off in flight, or answered wrongly: each is lost; what is answered is not."""
    reckless.power_on("alpha")
    alpha = reckless.machines["alpha"]
    with reckless.browsing("/slow") as slow:
        slow.record.wait(lambda e: "refused" in str(e.get("failure")), LIMIT_S)
        start_service(reckless, alpha)
        served = slow.wait_served(LIMIT_S, by="alpha")
        reckless.services.kill(alpha)
    killed = slow.lost(served["sent_ns"])
    assert any(entry["connected_ns"] for entry in killed), "none was in flight"
    assert not served["failure"]
    start_service(reckless, alpha)
    with reckless.browsing("/missing") as missing:
        missing.record.wait(lambda e: e.get("status") == 404, LIMIT_S, what="a wrong answer")
    assert len(missing.lost()) == len(missing.requests())
