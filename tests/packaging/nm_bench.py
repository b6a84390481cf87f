# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's own NetworkManager on a throw-away Debian, managing the card of the virtual address."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deb_bench import Debian

UNIT = Path("/lib/systemd/system/NetworkManager.service")
EXAMPLE = "/usr/share/doc/haagent/examples/networkmanager-keep-vip.conf"
DROP_IN = "/etc/NetworkManager/conf.d/50-haagent.conf"
OWN = "192.0.2.11/24"
PROFILE = f"""[connection]
id=lan
type=ethernet
interface-name=eth0
[ipv4]
method=manual
address1={OWN}
[ipv6]
method=disabled
"""
# It waits 5 s for a carrier that is gone before it acts; here a tenth, to the same end.
CONFIGURATION = """[keyfile]
unmanaged-devices=*,except:interface-name:eth0
[device]
carrier-wait-timeout=100
"""
START = f"""
umask 077
cat > /etc/NetworkManager/system-connections/lan.nmconnection <<'END'
{PROFILE}END
cat > /etc/NetworkManager/conf.d/10-bench.conf <<'END'
{CONFIGURATION}END
sed s/lan0/eth0/ {EXAMPLE} > {DROP_IN}
rm -f /etc/systemd/system/NetworkManager*.service
hostname > /etc/hostname  # it would take another one from there
mkdir -p /run/systemd/system/NetworkManager.service.d
ln -sf {UNIT} /run/systemd/system/
# With /sys read-only, as in a container, it waits for no udev.
echo '[Service]\nReadOnlyPaths=/sys' > /run/systemd/system/NetworkManager.service.d/bench.conf
systemctl daemon-reload
"""


class NetworkManager:
    """One at work."""

    def __init__(self, node: Debian) -> None:
        """Made by `managing`."""
        self._node = node

    def connection(self) -> str:
        """State and profile of the card."""
        shown = self._node.run("nmcli", "-t", "-f", "DEVICE,STATE,CONNECTION", "device")
        (line,) = re.findall(r"^eth0:(.*)$", shown, re.MULTILINE)
        return str(line)

    def has_own_address(self) -> bool:
        """The address of the profile is there."""
        return f"inet {OWN} " in self._node.run("ip", "address", "show", "eth0")

    def addresses(self) -> str:
        """What it takes for the addresses of its profile."""
        return self._node.run("nmcli", "-g", "ipv4.addresses", "connection", "show", "lan").strip()

    def take_the_cable_out_and_in(self) -> None:
        """Long enough for it to see both."""
        self._node.shell("ip link set switch0 down")
        self._node.until(lambda: "NO-CARRIER" in self._card(), "without a carrier")
        seen = 'test "$(nmcli -g WIRED-PROPERTIES.CARRIER device show eth0)" = off'
        self._node.shell(f"until {seen}; do sleep 0.05; done; sleep 0.5")
        self._node.shell("ip link set switch0 up")
        self._node.until(lambda: "NO-CARRIER" not in self._card(), "with a carrier")

    def start_as_after_a_boot(self) -> None:
        """On a card that has the virtual address and nothing else, without what it remembered."""
        self._node.shell(f"""
            systemctl stop NetworkManager.service
            rm -rf /run/NetworkManager
            ip address del {OWN} dev eth0
            systemctl start NetworkManager.service
        """)

    def without_our_drop_in(self) -> None:
        """As Debian has it."""
        self._node.shell(f"rm {DROP_IN}; nmcli general reload")

    def _card(self) -> str:
        return self._node.run("ip", "link", "show", "eth0")


@contextmanager
def managing(node: Debian) -> Iterator[NetworkManager]:
    """It manages the card, with our drop-in; afterwards nobody does, and the card is as before."""
    node.shell(f"{START} systemctl start NetworkManager.service")
    network_manager = NetworkManager(node)
    try:
        node.until(lambda: network_manager.connection() == "connected:lan", "managed")
        yield network_manager
    finally:
        node.shell(f"systemctl stop NetworkManager.service; rm -f {DROP_IN}")
        node.shell(f"ip address replace {OWN} dev eth0")
