# SPDX-License-Identifier: GPL-2.0-or-later
"""Agents of Debian's resource-agents as resources: what they run is looked at without them."""

from __future__ import annotations

import asyncio
import http.client
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from ocf_bench import installed, refused

from haagent.resources import Condition, ResourceError
from haagent.resources.ocf import OcfResource
from haagent.resources.ocf_codes import UnfitError
from hil.ports import free_port

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="OCF agents need root")


def run(*command: str | Path) -> str:
    """Run a command of the bench."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


async def condition(resource: OcfResource) -> Condition:
    """What it says that it is."""
    return (await resource.monitor()).condition


def test_dummy(tmp_path: Path) -> None:
    """The course of a plain one, crash and restart in place included."""
    resource = installed("ocf:heartbeat:Dummy", tmp_path, {"fake": "x"})
    state = tmp_path / "state/Dummy-g.it.state"

    async def main() -> None:
        assert await resource.validate() == []
        assert resource.times.interval_s == 10.0
        assert await condition(resource) is Condition.STOPPED
        await resource.start()
        assert state.exists()
        assert await condition(resource) is Condition.ACTIVE
        state.unlink()
        reading = await resource.monitor()
        assert reading.condition is Condition.STOPPED
        assert reading.detail == "No process state file found"
        await resource.stop()
        await resource.start()
        await resource.stop()
        assert not state.exists()
        await resource.close()

    asyncio.run(main())


def test_dummy_misconfigured(tmp_path: Path) -> None:
    """A typo and a directory that is not there."""
    typo = installed("ocf:heartbeat:Dummy", tmp_path, {"fak": "x"})
    nowhere = installed("ocf:heartbeat:Dummy", tmp_path, {"state": "/nonexistent/state"})

    async def main() -> None:
        assert await typo.validate() == ["fak is unknown; did you mean fake?"]
        (found,) = await nowhere.validate()
        assert "parameters do not fit this node" in found
        assert "not writable" in found

    asyncio.run(main())


@pytest.mark.parametrize("provider", ["heartbeat", "pacemaker"])
def test_stateful(tmp_path: Path, provider: str) -> None:
    """Roles, and the score by either of the stand-ins; this agent cannot be stopped promoted."""
    state = tmp_path / "role"
    parameters = {"state": str(state)}
    resource = installed(f"ocf:{provider}:Stateful", tmp_path, parameters, promotable=True)

    async def main() -> None:
        assert await resource.validate() == []
        assert await resource.position() is None
        await resource.start()
        assert state.read_text().strip() in ("master", "Promoted")
        assert await resource.position() == 10
        await resource.stop()
        assert state.read_text().strip() in ("slave", "Unpromoted")
        assert await resource.position() == 5
        assert await condition(resource) is Condition.STANDBY
        await resource.start()
        await resource.retire()
        assert not state.exists()
        assert await resource.position() is None

    asyncio.run(main())


@pytest.fixture
def netns() -> Iterator[str]:
    """A namespace with an interface eth0 that has an address."""
    name = f"haatocf{os.getpid()}"
    run("ip", "netns", "add", name)
    try:
        run("ip", "-n", name, "link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
        for interface in ("eth0", "eth1"):
            run("ip", "-n", name, "link", "set", interface, "up")
        run("ip", "-n", name, "addr", "add", "192.0.2.11/24", "dev", "eth0")
        yield name
    finally:
        run("ip", "netns", "del", name)


def test_address(netns: str, tmp_path: Path) -> None:
    """IPaddr2 in a namespace: the kernel has the address, then not; somebody removes it."""
    parameters = {"ip": "192.0.2.77", "cidr_netmask": "24", "nic": "eth0"}
    parameters["network_namespace"] = netns
    resource = installed("ocf:heartbeat:IPaddr2", tmp_path, parameters)

    def is_there() -> bool:
        return " 192.0.2.77/24 " in run("ip", "-n", netns, "addr", "show", "dev", "eth0")

    async def main() -> None:
        assert await resource.validate() == []
        await resource.start()
        assert is_there()
        assert await condition(resource) is Condition.ACTIVE
        run("ip", "-n", netns, "addr", "del", "192.0.2.77/24", "dev", "eth0")
        assert await condition(resource) is Condition.STOPPED
        await resource.start()
        assert is_there()
        await resource.stop()
        assert not is_there()

    asyncio.run(main())


def test_address_on_no_interface(netns: str, tmp_path: Path) -> None:
    """An interface that is not there: not for this node, and nothing to be fenced for."""
    parameters = {"ip": "192.0.2.77", "cidr_netmask": "24", "nic": "eth9"}
    parameters["network_namespace"] = netns
    resource = installed("ocf:heartbeat:IPaddr2", tmp_path, parameters)

    async def main() -> None:
        assert isinstance(await refused(resource.start()), UnfitError)
        await resource.stop()

    asyncio.run(main())


@pytest.fixture
def mount_point(tmp_path: Path) -> Iterator[Path]:
    """A directory on which nothing is mounted afterwards."""
    path = tmp_path / "mnt"
    path.mkdir()
    yield path
    while is_mounted(path):
        run("umount", path)


@pytest.fixture
def loop_device(tmp_path: Path) -> Iterator[Path]:
    """A block device with an ext4 on it."""
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(8 << 20)
    run("mkfs.ext4", "-q", image)
    device = Path(run("losetup", "--find", "--show", image).strip())
    yield device
    run("losetup", "--detach", device)


def is_mounted(path: Path) -> bool:
    """The kernel says that something is mounted there."""
    return path.is_mount()


@contextmanager
def sitting_on(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process whose working directory it is."""
    with subprocess.Popen(["sleep", "600"], cwd=path) as sitter:
        try:
            yield sitter
        finally:
            sitter.kill()


def test_filesystem(tmp_path: Path, mount_point: Path, loop_device: Path) -> None:
    """Mounted, read and written at check level 20, unmounted; what lies on it stays."""
    parameters = {"device": str(loop_device), "directory": str(mount_point), "fstype": "ext4"}
    resource = installed("ocf:heartbeat:Filesystem", tmp_path, parameters)

    async def main() -> None:
        assert await resource.validate() == []
        assert resource.times.interval_s == 20.0
        await resource.start()
        assert is_mounted(mount_point)
        (mount_point / "data").write_text("kept")
        assert await condition(resource) is Condition.ACTIVE
        await resource.stop()
        assert not is_mounted(mount_point)
        assert not (mount_point / "data").exists()
        await resource.start()
        assert (mount_point / "data").read_text() == "kept"
        await resource.stop()

    asyncio.run(main())


def test_filesystem_in_use(tmp_path: Path, mount_point: Path, loop_device: Path) -> None:
    """Whoever sits on it is killed by the agent, and only then it is stopped."""
    parameters = {"device": str(loop_device), "directory": str(mount_point), "fstype": "ext4"}
    resource = installed("ocf:heartbeat:Filesystem", tmp_path, parameters)

    async def main() -> None:
        await resource.start()
        with sitting_on(mount_point) as sitter:
            await resource.stop()
            assert sitter.wait(10) < 0
        assert not is_mounted(mount_point)

    asyncio.run(main())


def test_filesystem_that_cannot_be_unmounted(
    tmp_path: Path, mount_point: Path, loop_device: Path
) -> None:
    """S7: told not to kill, the agent fails to stop what is in use, and so do we."""
    parameters = {"device": str(loop_device), "directory": str(mount_point), "fstype": "ext4"}
    parameters["force_unmount"] = "false"
    limits_s = {"stop": 3.0}
    resource = installed("ocf:heartbeat:Filesystem", tmp_path, parameters, limits_s=limits_s)

    async def main() -> None:
        await resource.start()
        with sitting_on(mount_point):
            await refused(resource.stop())
        assert is_mounted(mount_point)
        await resource.stop()
        assert not is_mounted(mount_point)

    asyncio.run(main())


def test_filesystem_gone_read_only(tmp_path: Path, mount_point: Path, loop_device: Path) -> None:
    """A disk that went read-only is a failed monitor at check level 20."""
    parameters = {"device": str(loop_device), "directory": str(mount_point), "fstype": "ext4"}
    resource = installed("ocf:heartbeat:Filesystem", tmp_path, parameters, check_level=20)

    async def main() -> None:
        await resource.start()
        assert await condition(resource) is Condition.ACTIVE
        run("mount", "-o", "remount,ro", mount_point)
        assert await condition(resource) is Condition.FAILED
        run("mount", "-o", "remount,rw", mount_point)
        await resource.stop()

    asyncio.run(main())


NGINX = """
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 16; }}
http {{
    access_log off;
    server {{
        listen 127.0.0.1:{port};
        location / {{ return 200 "served\\n"; }}
        location /status {{ stub_status; }}
    }}
}}
"""


class Nginx:
    """One nginx's configuration, and what a client sees of it."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.configuration = folder / "nginx.conf"
        self.configuration.write_text(NGINX.format(folder=folder, port=port))
        status = f"http://127.0.0.1:{port}/status"
        self.parameters = {"configfile": str(self.configuration), "status10url": status}

    def serves(self) -> bool:
        """A client gets its page."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/")
            return connection.getresponse().read() == b"served\n"
        except OSError:
            return False
        finally:
            connection.close()

    def kill(self) -> None:
        """Its master and workers: these would serve on without it, and the agent look away."""
        os.killpg(int((self.folder / "nginx.pid").read_text()), signal.SIGKILL)


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Nginx]:
    """Not running; ended afterwards if it is."""
    if shutil.which("nginx", path="/usr/sbin") is None:
        pytest.skip("nginx is not installed")
    server = Nginx(tmp_path, free_port())
    yield server
    with suppress(OSError, ValueError):
        server.kill()


def test_nginx(nginx: Nginx, tmp_path: Path) -> None:
    """Served, crashed, restarted, stopped: as a client sees it."""
    resource = installed("ocf:heartbeat:nginx", tmp_path, nginx.parameters, check_level=10)

    async def main() -> None:
        assert await resource.validate() == []
        assert await condition(resource) is Condition.STOPPED
        await resource.start()
        assert nginx.serves()
        assert await condition(resource) is Condition.ACTIVE
        nginx.kill()
        assert await condition(resource) is not Condition.ACTIVE
        await resource.stop()
        assert not nginx.serves()
        await resource.start()
        assert nginx.serves()
        await resource.stop()
        assert not nginx.serves()

    asyncio.run(main())


def test_nginx_misconfigured(nginx: Nginx, tmp_path: Path) -> None:
    """The agent's own words at check time; a start that fails needs no fencing."""
    nginx.configuration.write_text("nonsense;")
    resource = installed("ocf:heartbeat:nginx", tmp_path, nginx.parameters, check_level=10)

    async def main() -> None:
        (found,) = await resource.validate()
        assert "reported a configuration error" in found
        with pytest.raises(ResourceError):
            await resource.start()
        await resource.stop()

    asyncio.run(main())
