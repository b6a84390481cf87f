# SPDX-License-Identifier: GPL-2.0-or-later
"""A real systemd-networkd takes a virtual address off its interface, or leaves it alone if told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DROPIN = ROOT / "systemd/examples/networkd-keep-vip.conf"
DOCTOR = (
    "from haagent.doctor.netconfig import Root, _networkd; print(_networkd('lan0', Root()).verdict)"
)
LIMIT_S = 60
SCRIPT = """
set -e
mount -t sysfs -o ro sysfs /sys   # read-only, as in a container: networkd waits for no udev
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /etc/systemd/network
mkdir -p /run/dbus /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/netif/lldp
chown -R systemd-network /run/systemd/netif
dbus-daemon --system --fork --nopidfile --address=unix:path=/run/dbus/system_bus_socket
ip link add lan0 type veth peer name far0
ip link set far0 up
cat > /etc/systemd/network/lan.network <<END
[Match]
Name=lan0
[Network]
Address=192.0.2.11/24
LinkLocalAddressing=no
IPv6AcceptRA=no
END
if [ -n "$1" ]; then
    mkdir /etc/systemd/network/lan.network.d
    echo "$1" > /etc/systemd/network/lan.network.d/50-haagent.conf
fi
SYSTEMD_LOG_LEVEL=debug /lib/systemd/systemd-networkd > /run/log 2>&1 &
configured() {
    n=0
    until [ "$(grep -c 'lan0: State changed: configuring -> configured' /run/log)" -ge "$1" ]; do
        n=$((n + 1)); [ $n -lt 300 ] || { cat /run/log; exit 1; }; sleep 0.1
    done
}
configured 1
ip address add 192.0.2.10/24 dev lan0
networkctl reconfigure lan0
configured 2
ip -brief -4 address show lan0
"$2" -c "$3"
"""


def told(value: str) -> str:
    """A drop-in with that value."""
    return f"[Network]\nKeepConfiguration={value}\n"


@pytest.mark.parametrize(
    ("dropin", "keeps"),
    [
        pytest.param("", False, id="as-usual"),
        pytest.param(DROPIN.read_text(), True, id="with-our-drop-in"),
        pytest.param(told("yes"), True, id="yes"),
        pytest.param(told("T"), True, id="a-truth"),
        pytest.param(told("dhcp"), False, id="dhcp"),
        pytest.param(told("dhcp-on-stop"), False, id="dhcp-on-stop"),
        pytest.param(told("Static"), False, id="misspelt"),
    ],
)
def test_the_drop_in_keeps_the_address(dropin: str, *, keeps: bool) -> None:
    """Set up anew, networkd removes what it did not add, or keeps it if told. Doctor knows."""
    namespaces = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child")
    arguments = (dropin, sys.executable, DOCTOR)
    done = subprocess.run(
        [*namespaces, "sh", "-c", SCRIPT, "sh", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    addresses, verdict = done.stdout.splitlines()
    assert "192.0.2.11/24" in addresses
    assert ("192.0.2.10/24" in addresses) is keeps
    assert verdict == ("ok" if keeps else "warning")
