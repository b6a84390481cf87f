# SPDX-License-Identifier: GPL-2.0-or-later
"""Real OCF agents: an nginx, a file system, a promotable resource and an address of their own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hil.agent import Agent, group, role
from hil.groups import AGENT_VIP, BOTH, OTHER_VIP
from hil.lab import Lab
from hil.machine import Machine
from hil.proof import held_alone
from hil.watch import TAKEOVER_LIMIT_S, orders

OPTIONS = BOTH
MOVE_LIMIT_S = 90.0
"""OCF agents are shell scripts, and nginx's sleeps a second in each stop."""
MOUNT = "/run/data"
FILL = (
    "rm -rf .Filesystem_status; cat /dev/zero > full; i=0; while : > full.$i; do i=$((i + 1)); done"
)
"""Until neither a block nor an inode is left; what the agent had there goes first, as its file
could be written again in its place. (Of blocks alone a new mount of ext4 finds some more.)"""


@pytest.fixture
def holder(lab: Lab) -> Iterator[Machine]:
    """Who has the file system: beta, since that is where its group fails back to."""
    beta = lab.machines["beta"]
    Agent(beta).wait(lambda s: role(s, "data") == "active", MOVE_LIMIT_S, "data at home")
    yield beta
    Agent(lab.other(beta)).ask("standby", node=beta.name, on=False)


def mounted(machine: Machine) -> str:
    """How the file system is mounted, by the kernel's own list: "rw", "ro", or "" for not."""
    for line in Path(f"/proc/{machine.pid}/mounts").read_text().splitlines():
        _, where, _, options, *_ = line.split()
        if where == MOUNT:
            return options[:2]
    return ""


def noted(machine: Machine) -> str:
    """What the promotable resource is, by what its agent notes; "" for stopped."""
    note = machine.path("/run/Stateful-data.state.state")
    return note.read_text().strip() if note.exists() else ""


def ended(machine: Machine, after_ns: int) -> bool:
    """Whether an agent of the machine ended since a time."""
    return any(entry["what"] == "agent_ended" for entry in machine.init.record.since(after_ns))


def test_agents_move_whole(lab: Lab, holder: Machine) -> None:
    """File system, promoted role and both addresses move together; what is promotable runs on."""
    peer = lab.other(holder)
    observers = [lab.observe(address) for address in (OTHER_VIP, AGENT_VIP)]
    for observer in observers:
        observer.wait_holder(holder.mac, TAKEOVER_LIMIT_S)
    assert (mounted(holder), mounted(peer)) == ("rw", "")
    assert (noted(holder), noted(peer)) == ("Promoted", "Unpromoted")
    since_ns = time.monotonic_ns()
    assert Agent(holder).ask("standby", on=True)["ok"]
    for observer in observers:
        observer.wait_holder(peer.mac, MOVE_LIMIT_S, after_ns=since_ns)
    Agent(peer).wait(lambda s: role(s, "data") == "active", MOVE_LIMIT_S, "data there")
    assert (mounted(holder), mounted(peer)) == ("", "rw")
    Agent(holder).wait(lambda _: noted(holder) != "", MOVE_LIMIT_S, "its standby")
    assert (noted(holder), noted(peer)) == ("Unpromoted", "Promoted")
    for observer in observers:
        assert observer.holders(since_ns) in ([holder.mac, peer.mac], [peer.mac])
    assert orders(lab, since_ns) == []


def test_killed_nginx_is_restarted_by_its_agent(lab: Lab) -> None:
    """ocf:heartbeat:nginx: killed, it is seen to be down and started in place."""
    alpha = lab.machines["alpha"]
    since_ns = time.monotonic_ns()
    with lab.browsing() as browser:
        browser.wait_served(TAKEOVER_LIMIT_S, by=alpha.name)
        lab.services.kill(alpha)
        killed_ns = time.monotonic_ns()
        browser.wait_served(TAKEOVER_LIMIT_S, after_ns=killed_ns, by=alpha.name)
    assert browser.lost(), "it was not even down"
    held_alone(lab, alpha, since_ns)
    assert orders(lab, since_ns) == []


def test_read_only_file_system_is_mounted_anew(lab: Lab, holder: Machine) -> None:
    """A file system that the kernel made read-only is a failed monitor, cured in place."""
    since_ns = time.monotonic_ns()
    holder.run("mount", "-o", "remount,ro", MOUNT)
    assert mounted(holder) == "ro"
    observer = lab.observe(OTHER_VIP)
    Agent(holder).wait(
        lambda s: mounted(holder) == "rw" and "failed" not in str(group(s, "data")),
        MOVE_LIMIT_S,
        "mounted anew",
    )
    observer.wait_holder(holder.mac, MOVE_LIMIT_S, after_ns=time.monotonic_ns())
    assert set(observer.holders(since_ns)) == {holder.mac}
    assert not ended(holder, since_ns), "the agent died of it"
    assert orders(lab, since_ns) == []


def test_full_file_system_is_handed_over(lab: Lab, holder: Machine) -> None:
    """No restart empties a full disk: the group goes to the peer, whose disk is its own."""
    peer = lab.other(holder)
    since_ns = time.monotonic_ns()
    filled = holder.run("sh", "-c", f"cd {MOUNT} && {FILL}", check=False)
    assert "No space left" in filled.stderr
    lab.observe(OTHER_VIP).wait_holder(peer.mac, MOVE_LIMIT_S, after_ns=since_ns)
    assert Agent(holder).ask("standby", on=True)["ok"]  # it would go home, and find it full
    assert (mounted(holder), mounted(peer)) == ("", "rw")
    assert not ended(holder, since_ns), "the agent died of it"
    assert orders(lab, since_ns) == []
    holder.run("sh", "-ec", "mount -o loop /run/disk/data.img /mnt; rm /mnt/full*; umount /mnt")
