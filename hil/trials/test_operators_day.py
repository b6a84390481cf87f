# SPDX-License-Identifier: GPL-2.0-or-later
"""What an operator does to a server in a year, in one day: all around the agent comes and goes.

Several mishaps meet one pair, one after the other: each must leave it as it was.
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from hil.agent import Agent, alarms, fences_ready, link_state
from hil.network import VIP
from hil.pair import bmc_address
from hil.proof import undisturbed
from hil.qemu.furniture import CONFIGURATION
from hil.qemu.guest import Guest
from hil.qemu.lab import VirtualLab
from hil.qemu.proof import TAKEOVER_LIMIT_S, ready, taken_over, wait_back
from hil.trials.conftest import VirtualRoles
from hil.trials.test_agent import GAP_MS_MAX, QUIET_S, agent_pid

pytestmark = pytest.mark.virtual("a configuration that the bench may change")

FULL = "/var/lib/full"
DOCTOR_LIMIT_S = 150.0
"""Five seconds of waiting, and three times the start of a program, under emulation."""
JOURNALD = (
    "systemd-journald.service",
    "systemd-journald.socket",
    "systemd-journald-dev-log.socket",
    "systemd-journald-audit.socket",
)
_COPIED = "sed 's/^max_fences = 100/max_fences = 99/' {0} >/run/new && install -m 600 /run/new {0}"
_LIMIT_S = TAKEOVER_LIMIT_S


def test_day_of_an_operator_moves_nothing(lab: VirtualLab, roles: VirtualRoles) -> None:
    """Through all that befalls the active's system the same agent serves on; nobody is shot."""
    active, standby = roles
    before, since_ns = agent_pid(active), time.monotonic_ns()
    for step in (
        _confined_it_has_its_hardware,
        _reloaded_good_and_bad,
        _bus_restarted_and_killed,
        _journal_frozen_and_stopped,
        _networkd_restarted,
        _card_renamed,
        _disk_full,
    ):
        step(active, standby)
        assert agent_pid(active) == before, step.__name__
        assert ready(lab) == roles, step.__name__
        undisturbed(lab, active, since_ns, gap_ms_max=GAP_MS_MAX)


def _confined_it_has_its_hardware(active: Guest, standby: Guest) -> None:
    """In the unit as it is installed the agent has its watchdog, the PDU's line and the BMC."""
    for guest in (active, standby):
        status = guest.run("cat", f"/proc/{agent_pid(guest)}/status").stdout
        assert "\nNoNewPrivs:\t1\n" in status
        assert "\nSeccomp:\t2\n" in status
        assert guest.run("cat", "/sys/class/watchdog/watchdog0/state").stdout == "active\n"
        # A look over the slow line may have failed on a busy machine; there is another.
        Agent(guest).wait(fences_ready, _LIMIT_S, "BMC and PDU ready")
    doctor = ("haagent", "doctor", "--json", "--listen", "1")
    shown = active.ssh.run(*doctor, check=False, limit_s=DOCTOR_LIMIT_S).stdout
    said = {line["what"]: (line["verdict"], line["text"]) for line in json.loads(shown)}
    wanted = ("own BMC", "watchdog", "unit", "units", "realtime", "memory", "out of memory")
    assert {what: said[what][0] for what in wanted} == dict.fromkeys(wanted, "ok"), said
    assert bmc_address(active.name) in said["own BMC"][1]
    # What these servers have not: a time server, and networkd's drop-in, until a later step.
    assert said["time of day"][0] == said["networkd on eth0"][0] == "warning", said


def _reloaded_good_and_bad(active: Guest, standby: Guest) -> None:
    """A good file is taken in; a bad one is refused whole, which is said until it is mended."""
    for guest in (active, standby):
        _edit(guest, "s/^max_fences = 100/max_fences = 99/")
        guest.run("systemctl", "reload", "haagent.service")
    _edit(active, 's/^dead_after = .*/dead_after = "soon"/')
    done = active.run("systemctl", "reload", "haagent.service", check=False)
    assert done.returncode != 0
    assert "reload_refused" in alarms(_status(active))
    assert active.run("systemctl", "is-active", "haagent.service").stdout == "active\n"
    _edit(active, 's/^dead_after = .*/dead_after = "3s"/')
    active.run("systemctl", "reload", "haagent.service")
    assert "reload_refused" not in alarms(_status(active))


def _bus_restarted_and_killed(active: Guest, standby: Guest) -> None:
    """The agent asks systemd over the bus, and finds the next one."""
    for guest in (active, standby):
        guest.run("systemctl", "restart", "dbus.service")
        guest.run("systemctl", "kill", "--signal=KILL", "dbus.service")


def _journal_frozen_and_stopped(active: Guest, _standby: Guest) -> None:
    """Nobody takes the log's lines, and then nobody is there; what was lost is said afterwards."""
    active.run("systemctl", "kill", "--signal=STOP", JOURNALD[0])
    _say_something(active)
    active.run("systemctl", "kill", "--signal=KILL", JOURNALD[0])
    active.run("systemctl", "stop", *JOURNALD)
    _say_something(active)
    active.run("systemctl", "start", *JOURNALD)
    _say_something(active)
    assert _lost_lines(active) > 0


def _networkd_restarted(active: Guest, _standby: Guest) -> None:
    """Set up anew it takes the address away, which is put back; with our drop-in it does not."""
    changes = active.run("sh", "-c", _SET_UP_ANEW).stdout.splitlines()
    assert any(change.startswith("Deleted") for change in changes), changes
    assert not changes[-1].startswith("Deleted"), changes
    active.run("sh", "-c", _LAY_DROP_IN.format(name=active.name))
    assert active.run("sh", "-c", _SET_UP_ANEW).stdout == ""


_MARK = "203.0.113.199/32"
_SET_UP_ANEW = f"""
set -e
ip -o monitor address >/run/seen & monitor=$!
until grep -q {_MARK} /run/seen; do
    ip address add {_MARK} dev eth2; ip address del {_MARK} dev eth2
done
systemctl restart systemd-networkd.service
networkctl reconfigure eth0
/lib/systemd/systemd-networkd-wait-online --interface=eth0 --timeout=30
sleep {QUIET_S}
kill $monitor
grep '{VIP}/24' /run/seen || true
"""
"""Prints what the kernel told of the virtual address meanwhile: also that it is no longer the
second of its subnet, once the first is taken away."""
_LAY_DROP_IN = """
set -e
cd /etc/systemd/network
folder=$(echo *-{name}-lan.network).d
mkdir "$folder"
cp /usr/share/doc/haagent/examples/networkd-keep-vip.conf "$folder/50-haagent.conf"
networkctl reload
"""


def _card_renamed(active: Guest, _standby: Guest) -> None:
    """A heartbeat's card under another name: its link is down, by name; back, it is up again."""
    rename = "ip link set {0} down; ip link set {0} name {1}; ip link set {1} up"
    active.run("sh", "-c", rename.format("eth1", "moved0"))
    Agent(active).wait(lambda s: link_state(s, "ring") == "down", _LIMIT_S, "ring down")
    assert "link_ring" in alarms(_status(active))
    active.run("sh", "-c", rename.format("moved0", "eth1"))
    Agent(active).wait(lambda s: link_state(s, "ring") == "up", _LIMIT_S, "ring up")


def _disk_full(active: Guest, _standby: Guest) -> None:
    """With no byte left for its record the active serves on, says so, and is well with room."""
    active.run("sh", "-c", f"cat /dev/zero >{FULL}; sync; cat /dev/zero >>{FULL}", check=False)
    active.run("haagent", "maintenance", "on", check=False)
    shown = active.run("journalctl", "HAAGENT_EVENT=record.not_durable").stdout
    assert "No space left" in shown
    active.run("rm", FULL)
    active.run("haagent", "maintenance", "off")
    assert not _status(active)["maintenance"]


def test_failover_without_a_journal(lab: VirtualLab, roles: VirtualRoles) -> None:
    """The standby's journald is stopped: it takes over all the same, and says so afterwards."""
    active, standby = roles
    standby.run("systemctl", "stop", *JOURNALD)
    taken_over(lab, active, standby, active.crash())
    standby.run("systemctl", "start", *JOURNALD)
    _say_something(standby)
    assert _lost_lines(standby) > 0
    (failover,) = [r for r in Agent(standby).history() if "confirmed_off" in r["marks_ns"]]
    assert failover["outcome"] == "completed"


def test_configuration_just_taken_in_outlives_a_crash(lab: VirtualLab, roles: VirtualRoles) -> None:
    """A file that was copied and reloaded, and is nowhere but in memory, is on the disk by then."""
    active, standby = roles
    for guest in (standby, active):  # which then dies at once
        guest.run("sh", "-c", _COPIED.format(CONFIGURATION))
        guest.run("systemctl", "reload", "haagent.service")
    fault_ns = active.crash()
    taken_over(lab, active, standby, fault_ns)
    wait_back(lab, active, fault_ns)
    assert "max_fences = 99\n" in active.run("cat", CONFIGURATION).stdout
    assert "configuration_differs" not in alarms(_status(active))


def _status(guest: Guest) -> dict[str, Any]:
    return Agent(guest).wait(lambda _: True, _LIMIT_S, "an answer")


def _edit(guest: Guest, script: str) -> None:
    guest.run("sed", "-i", script, CONFIGURATION)


def _say_something(guest: Guest) -> None:
    """Give the agent reason for a few lines of its log, and the pair none for anything."""
    for word in ("on", "off"):
        guest.run("haagent", "maintenance", word)


def _lost_lines(guest: Guest) -> int:
    """How many lines of the agent's log were lost, as the journal has it."""
    shown = guest.run("journalctl", "-o", "json", "HAAGENT_EVENT=log.dropped").stdout
    return sum(int(json.loads(line)["HAAGENT_LOST"]) for line in shown.splitlines())
