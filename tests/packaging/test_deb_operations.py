# SPDX-License-Identifier: GPL-2.0-or-later
"""An operator's day on a node with the package installed: what happens to it, and what it keeps.

One node holds its group all the time; each test leaves it so. That no address comes or goes is
read off the kernel's own account.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from deb_bench import LIMIT_S, LOG, PASSWORDS, VIP, Debian, built, debian
from nm_bench import OWN, managing

from hil.pid1 import SYSTEMD

pytestmark = [
    pytest.mark.deb,
    pytest.mark.timeout(LIMIT_S),
    pytest.mark.skipif(
        os.geteuid() != 0 or not SYSTEMD.exists(), reason="needs root and Debian's systemd"
    ),
]
CONFIG = "/etc/haagent/haagent.toml"
STATE = "/var/lib/haagent"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Debian]:
    """One that holds its group: its peer is off, says the operator."""
    package = built(tmp_path_factory)
    with debian(tmp_path_factory.mktemp("node")) as machine:
        machine.run("dpkg", "-i", str(package))
        machine.configure()
        # A small disk of its own, so that it can be filled.
        machine.shell(f"mount -t tmpfs -o size=2m tmpfs {STATE}")
        machine.run("systemctl", "enable", "--now", "haagent.service")
        machine.until(lambda: bool(machine.status()), "answering")
        machine.shell("echo beta | haagent confirm-off")
        machine.until(machine.has_vip, "holding the address")
        yield machine


@contextmanager
def keeps_its_address(node: Debian, folder: Path, *, agent: bool = True) -> Iterator[None]:
    """Whatever happens, no address changes; nor does the agent, unless another is expected."""
    before = node.main_pid()
    with node.address_changes(folder) as changes:
        yield
        if agent:
            assert node.main_pid() == before, node.log()
        else:
            node.until(lambda: node.main_pid() not in {"0", before}, "replaced")
        node.until(lambda: bool(node.status()), "answering")
        node.until(lambda: node.status()["groups"][0]["role"] == "active", "active")
    assert changes == []
    assert node.has_vip()


def alarms(node: Debian) -> set[str]:
    """Codes of what a person should look at."""
    return {alarm["code"] for alarm in node.status()["alarms"]}


def said_by_systemd(node: Debian) -> str:
    """The unit's line of status."""
    return node.run("systemctl", "show", "--property=StatusText", "--value", "haagent.service")


def test_reload(node: Debian, tmp_path: Path) -> None:
    """`systemctl reload` takes a good file in, refuses a bad one whole, and is told so by all."""
    with keeps_its_address(node, tmp_path):
        node.shell(f"""sed -i 's/^dead_after = .*/dead_after = "1300ms"/' {CONFIG}""")
        node.run("systemctl", "reload", "haagent.service")
        assert "timing.dead_after" in node.log()
        node.shell(f"""sed -i 's/^dead_after = .*/dead_after = "soon"/' {CONFIG}""")
        failed = node.run("sh", "-c", "systemctl reload haagent.service || echo code $?")
        assert "code 1" in failed
        assert "reload refused" in said_by_systemd(node)
        assert "timing.dead_after" in said_by_systemd(node)
        assert "reload_refused" in alarms(node)
        assert node.run("systemctl", "is-active", "haagent.service") == "active\n"
        node.shell(f"""sed -i 's/^dead_after = .*/dead_after = "1s"/' {CONFIG}""")
        node.run("systemctl", "reload", "haagent.service")
        assert "refused" not in said_by_systemd(node)
        assert "reload_refused" not in alarms(node)


def test_secrets_as_credentials(node: Debian, tmp_path: Path) -> None:
    """With its key and passwords from systemd alone the agent runs, reloads, and tidies up.

    At a console they are those of the running agent.
    """
    with keeps_its_address(node, tmp_path, agent=False):
        node.shell(_HIDDEN)
        node.path(LOG).write_text("")
        node.run("systemctl", "restart", "haagent.service")
        node.until(lambda: bool(node.status()), "answering")
        node.run("systemctl", "reload", "haagent.service")
        node.run("haagent", "check-config", CONFIG)
        # Its ExecStopPost reads the configuration as well, and says what it cannot read.
        node.run("systemctl", "restart", "haagent.service")
    assert "refused" not in said_by_systemd(node)
    assert "CREDENTIALS_DIRECTORY" not in node.log()
    assert "cannot be read" not in node.log()
    with keeps_its_address(node, tmp_path, agent=False):
        node.shell(_SHOWN)


_SECRETS = ("key.1", *PASSWORDS)
_DROP_IN = "/etc/systemd/system/haagent.service.d/credentials.conf"
_HIDDEN = f"""
mkdir -m 700 /etc/elsewhere
mkdir -p "$(dirname {_DROP_IN})"
echo '[Service]' >{_DROP_IN}
for name in {" ".join(_SECRETS)}; do
    mv /etc/haagent/$name /etc/elsewhere
    echo "LoadCredential=$name:/etc/elsewhere/$name" >>{_DROP_IN}
    sed -i "s/\\"$name\\"/\\"credential:$name\\"/" {CONFIG}
done
systemctl daemon-reload
"""
_SHOWN = f"""
mv /etc/elsewhere/* /etc/haagent
rm {_DROP_IN}
sed -i 's/"credential:/"/' {CONFIG}
systemctl daemon-reload
systemctl restart haagent.service
"""


def test_doctor_knows_units_and_confinement(node: Debian) -> None:
    """Our unit enabled or not, a rival or none, a hook that came by a reload, which says so too."""

    def said() -> dict[str, str]:
        lines = json.loads(node.run("haagent", "doctor", "--json", "--listen", "0.1", check=False))
        return {line["what"]: f"{line['verdict']}: {line['text']}" for line in lines}

    sound = said()
    assert sound["unit"] == "ok: haagent.service is enabled, and runs"
    assert sound["units"] == "ok: no other cluster manager runs or starts here"
    assert "hardening" not in sound
    node.shell(f"cp {CONFIG} {CONFIG}.kept; sed -i '{_HOOK}' {CONFIG}")
    assert "on_alarm run confined until" in node.run("haagent", "reload")
    assert "config.confined" in node.log()
    node.shell(f"printf '{_RIVAL}' > /etc/systemd/system/keepalived.service")
    node.run("systemctl", "enable", "keepalived.service")
    node.run("systemctl", "disable", "haagent.service")
    ill = said()
    node.run("systemctl", "disable", "keepalived.service")
    node.run("systemctl", "enable", "haagent.service")
    node.shell(f"mv {CONFIG}.kept {CONFIG}")
    assert "confined" not in node.run("haagent", "reload")
    assert "warning: haagent.service is not enabled" in ill["unit"]
    assert "warning: keepalived run here too" in ill["units"]
    assert "warning: on_alarm run in the agent's confinement" in ill["hardening"]


_HOOK = r'/^\[hooks\]/a on_alarm = ["/bin/true"]'
_RIVAL = "[Service]\\nExecStart=/bin/true\\n[Install]\\nWantedBy=multi-user.target\\n"


def test_frozen_agent_is_replaced(node: Debian, tmp_path: Path) -> None:
    """SIGSTOP: the unit's watchdog ends the agent after 5 s; the next one takes up all of it."""
    with keeps_its_address(node, tmp_path, agent=False):
        node.run("systemctl", "kill", "--signal=STOP", "--kill-who=main", "haagent.service")
    shown = node.run("systemctl", "show", "--property=NRestarts", "--value", "haagent.service")
    assert int(shown) >= 1


def test_bus_is_restarted(node: Debian, tmp_path: Path) -> None:
    """A new D-Bus daemon is nothing to an agent."""
    with keeps_its_address(node, tmp_path):
        node.run("systemctl", "restart", "dbus.service")
        assert node.run("systemctl", "is-active", "dbus.service") == "active\n"
        node.run("systemctl", "kill", "--signal=KILL", "dbus.service")
        node.until(lambda: bool(node.status()), "answering")
        node.run("systemctl", "restart", "dbus.service")


def test_card_is_renamed(node: Debian) -> None:
    """A heartbeat's card under another name: its link is down, by name; back, it is up again."""

    def ring() -> str:
        links = {link["name"]: link["state"] for link in node.status()["links"]}
        return str(links["ring"])

    before = node.main_pid()
    node.shell("ip link set eth1 down; ip link set eth1 name moved0; ip link set moved0 up")
    node.until(lambda: ring() == "down", "down")
    assert "link_ring" in alarms(node)
    node.shell("ip link set moved0 down; ip link set moved0 name eth1; ip link set eth1 up")
    node.until(lambda: ring() != "down", "there again")
    assert node.main_pid() == before
    assert node.has_vip()


def test_disk_is_full(node: Debian, tmp_path: Path) -> None:
    """With no byte left for its state the agent goes on, says so, and is itself again with room."""
    with keeps_its_address(node, tmp_path):
        node.shell(f"dd if=/dev/zero of={STATE}/filler bs=4k 2>/dev/null || true")
        node.run("haagent", "maintenance", "on", check=False)
        node.until(lambda: "record.not_durable" in node.log(), "saying that nothing is kept")
        assert node.status()["groups"][0]["role"] == "active"
        node.shell(f"rm {STATE}/filler")
        node.run("haagent", "maintenance", "off")
        assert not node.status()["maintenance"]


def test_killed_agent_is_replaced_with_a_full_disk(node: Debian, tmp_path: Path) -> None:
    """`kill -9` while the disk is full: the next agent still finds and holds what runs here."""
    node.shell(f"dd if=/dev/zero of={STATE}/filler bs=4k 2>/dev/null || true")
    with keeps_its_address(node, tmp_path, agent=False):
        node.run("systemctl", "kill", "--signal=KILL", "--kill-who=main", "haagent.service")
    node.shell(f"rm {STATE}/filler")


def test_network_manager_with_our_drop_in(node: Debian, tmp_path: Path) -> None:
    """Reload, restart and a lost carrier leave our address alone, on a card that a real one has.

    Set up by hand it takes ours off, and the agent puts it back. Started on a card with nothing
    else, as a killed agent leaves it, it brings up its own profile, and never lists ours there.
    """
    with managing(node) as manager:
        assert "ok: leaves a virtual address there" in _said_of_network_manager(node)
        with node.address_changes(tmp_path) as changes:
            node.run("nmcli", "general", "reload")
            node.run("systemctl", "restart", "NetworkManager.service")
            manager.take_the_cable_out_and_in()
            node.until(lambda: manager.connection() == "connected:lan", "connected")
        # Its own it may remove and add, where ours was there first and is the primary one.
        assert [line for line in changes if VIP in line] == []
        assert manager.has_own_address()
        for command in ("device reapply eth0", "connection up lan"):
            _puts_it_back(node, "nmcli", *command.split())
        _another_agent(node)
        manager.start_as_after_a_boot()
        node.until(lambda: manager.has_own_address() and node.has_vip(), "both addresses")
        assert manager.addresses() == OWN


def test_network_manager_without_our_drop_in(node: Debian) -> None:
    """A lost carrier costs the node its own address until a person helps, as doctor foretells.

    Ours is put back on the card that has lost both, and is taken for a connection.
    """
    with managing(node) as manager:
        manager.without_our_drop_in()
        assert "warning: manages it without ignore-carrier" in _said_of_network_manager(node)
        _another_agent(node)
        manager.take_the_cable_out_and_in()
        node.until(lambda: manager.connection() == "connected (externally):eth0", "taken over")
        assert node.has_vip()
        assert not manager.has_own_address()
        assert "warning: takes what it found there" in _said_of_network_manager(node)
        node.run("nmcli", "connection", "up", "lan")
        node.until(lambda: manager.has_own_address() and node.has_vip(), "both addresses")


def _said_of_network_manager(node: Debian) -> str:
    lines = json.loads(node.run("haagent", "doctor", "--json", "--listen", "0.1", check=False))
    (line,) = [line for line in lines if line["what"] == "NetworkManager on eth0"]
    return f"{line['verdict']}: {line['text']}"


def _puts_it_back(node: Debian, *command: str) -> None:
    """The command takes the address off, once or twice, and the agent puts it on and says so."""
    _another_agent(node)
    before = _times_put_back(node)
    node.run(*command)
    node.until(lambda: _times_put_back(node) > before and node.has_vip(), "put back")


def _times_put_back(node: Debian) -> int:
    return node.path(LOG).read_text().count("vip.put_back")


def _another_agent(node: Debian) -> None:
    """Killed and replaced: the new one has not fought for the address yet."""
    before = node.main_pid()
    node.run("systemctl", "kill", "--signal=KILL", "--kill-who=main", "haagent.service")
    node.until(lambda: node.main_pid() not in {"0", before} and bool(node.status()), "replaced")
