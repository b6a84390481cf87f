# SPDX-License-Identifier: GPL-2.0-or-later
"""What the bench puts on a server's disk beside the project: network, service, a way in.

Both servers have the same disk. Who one is, it is told on the kernel's command line and by the
hardware addresses of its interfaces.
"""

from __future__ import annotations

from pathlib import Path

from hil.pair import NODES, ports
from hil.processes import ROOT

SERVICE_UNIT = "bench-web.service"
"""The service of the pair; it runs where haagent starts it."""
UP = "up"
"""What a server writes to its second serial line once it is booted."""
STARTING, STOPPED = "starting", "stopped"
"""What it writes there before the service runs, and when nothing of it runs any more."""
CONFIGURATION = "/etc/haagent/haagent.toml"
_LIBRARY = Path("usr/local/lib/bench")
_SERVICE_MODULES = ("hil/__init__.py", "hil/node_init.py", "hil/qemu/__init__.py")

_ONLINE = "systemd-networkd-wait-online"

_FILES = {
    "etc/fstab": "/dev/vda / ext4 defaults 0 1\n",
    "etc/hosts": "127.0.0.1 localhost\n"
    + "".join(f"{ports(n)[0].addresses[0].partition('/')[0]} {n}\n" for n in NODES),
    # The BMC of this very machine, and the loss and delay that scenarios ask for.
    "etc/modules-load.d/bench.conf": "ipmi_si\nipmi_devintf\ni6300esb\nsch_netem\n",
    # Quiet, or each question to an agent that is not there would be a line on the console.
    "etc/ssh/sshd_config.d/bench.conf": "PermitRootLogin prohibit-password\nUsePAM no\n"
    "LogLevel QUIET\n",
    # What was logged last must be readable after the power is gone: so it goes to the console,
    # which the bench keeps.
    "etc/systemd/journald.conf.d/bench.conf": "[Journal]\nStorage=volatile\n"
    "ForwardToConsole=yes\nTTYPath=/dev/ttyS0\nMaxLevelConsole=info\nRateLimitBurst=0\n",
    "etc/systemd/system.conf.d/bench.conf": "[Manager]\nShowStatus=no\n",
    # The pair's configuration comes later: until then there is nothing to run.
    "etc/systemd/system/haagent.service.d/bench.conf": "[Unit]\n"
    f"ConditionPathExists={CONFIGURATION}\n",
    f"etc/systemd/system/{SERVICE_UNIT}": "[Unit]\nDescription=The service of the bench\n"
    "[Service]\nType=notify\nEnvironment=PYTHONPATH=/usr/local/lib/bench\n"
    "ExecStart=/usr/bin/python3 -m hil.qemu.service\n",
    # Apart, because a real server of hil.metal has no such line.
    f"etc/systemd/system/{SERVICE_UNIT}.d/bell.conf": "[Service]\n"
    f"ExecStartPre=/bin/sh -c 'echo {STARTING} >/dev/ttyS1'\n"
    f"ExecStopPost=/bin/sh -c 'echo {STOPPED} >/dev/ttyS1'\n",
    # Waits for all networks, and a direct cable has no carrier while the peer is off.
    f"etc/systemd/system/{_ONLINE}.service.d/bench.conf": "[Service]\nExecStart=\n"
    f"ExecStart=/lib/systemd/{_ONLINE} --timeout=0\n",
    # On most servers some service or other wants network-online.target.
    "etc/systemd/system/bench-up.service": "[Unit]\nDescription=Tell the bench\n"
    "Wants=network-online.target\nAfter=multi-user.target ssh.service\n[Service]\nType=oneshot\n"
    f"ExecStart=/bin/sh -c 'echo {UP} >/dev/ttyS1'\n",
}
_WANTED = {
    "multi-user.target.wants/systemd-networkd.service": "/lib/systemd/system/",
    "multi-user.target.wants/bench-up.service": "/etc/systemd/system/",
    f"network-online.target.wants/{_ONLINE}.service": "/lib/systemd/system/",
}


def service_files() -> dict[str, str]:
    """The service and its unit, by their absolute paths on a server."""
    unit = f"etc/systemd/system/{SERVICE_UNIT}"
    modules = {
        str(_LIBRARY / name): (ROOT / name).read_text()
        for name in (*_SERVICE_MODULES, "hil/qemu/service.py")
    }
    return {f"/{path}": text for path, text in {unit: _FILES[unit], **modules}.items()}


def furnish(root: Path, *, public_key: str) -> None:
    """Lay everything out below a directory that will be copied over the server's root."""
    for name, content in _FILES.items():
        _write(root / name, content)
    for node in NODES:
        for port in ports(node):
            addresses = "".join(f"Address={address}\n" for address in port.addresses)
            _write(
                root / f"etc/systemd/network/10-{node}-{port.wire}.network",
                f"[Match]\nMACAddress={port.mac}\n[Network]\n{addresses}"
                "IPv6AcceptRA=no\nLinkLocalAddressing=no\nIPv6DuplicateAddressDetection=0\n",
            )
    for link, place in _WANTED.items():
        path = root / "etc/systemd/system" / link
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(place + path.name)
    for name, content in service_files().items():
        _write(root / name.removeprefix("/"), content)
    _write(root / "root/.ssh/authorized_keys", public_key)
    (root / "root/.ssh").chmod(0o700)


def _write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
