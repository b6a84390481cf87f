# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration of each page in docs/resources runs: every group is started, read and stopped.

On a machine of its own in namespaces: a real systemd with the pages' units, the pages' interfaces,
the program and the disk that they name. The services are stand-ins; what starts them is not.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hil.pid1 import Pid1, booted
from hil.processes import ROOT, run

PAGES = sorted((ROOT / "docs" / "resources").glob("*.md"))
LIMIT_S = 60.0
DISK = Path("/dev/vg/files")
"""As the page about OCF agents has it."""
UNITS = ("nginx", "named", "nfs-server")
APP = """#!/bin/sh
state=/run/app
case $1 in
start) touch $state ;;
stop) rm -f $state ;;
status) [ -e $state ] || exit 7 ;;
position) echo 42 ;;
esac
"""
MACHINE = """
set -e
for number in 0 1; do
    ip link add eth$number type veth peer name far$number
    ip link set far$number up
    ip link set eth$number up
done
ip addr add 192.0.2.11/24 dev eth0
mount -t tmpfs tmpfs /usr/local/sbin
install -m 0755 "$1" /usr/local/sbin/app
mount -t tmpfs tmpfs /srv
mkdir /srv/files
for place in /var/lib/postgresql /etc/postgresql /run/postgresql; do
    mkdir -p $place
    mount -t tmpfs -o uid=postgres,gid=postgres,mode=755 tmpfs $place
done
become="setpriv --reuid=postgres --regid=postgres --init-groups --"
$become /usr/lib/postgresql/15/bin/initdb -D /var/lib/postgresql/15/main -N --auth=peer > /dev/null
$become mkdir -p /etc/postgresql/15/main
cat > /etc/postgresql/15/main/postgresql.conf <<END
data_directory = '/var/lib/postgresql/15/main'
unix_socket_directories = '/run/postgresql'
END
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pid1]:
    """A machine on which every page's configuration fits."""
    folder = tmp_path_factory.mktemp("pages")
    units = folder / "units"
    units.mkdir()
    for name in UNITS:
        text = "[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/bin/sleep infinity\n"
        (units / f"{name}.service").write_text(text)
    app = folder / "app"
    app.write_text(APP)
    with booted(units) as running:
        run([*running.enter, "sh", "-c", MACHINE, "sh", str(app)])
        yield running


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A block device with an ext4 on it, under the page's name for it."""
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(8 << 20)
    run(["mkfs.ext4", "-q", str(image)])
    device = run(["losetup", "--find", "--show", str(image)]).stdout.strip()
    DISK.parent.mkdir()
    DISK.symlink_to(device)
    try:
        yield DISK
    finally:
        DISK.unlink()
        DISK.parent.rmdir()
        run(["losetup", "--detach", device])


def configuration(folder: Path, page: Path) -> Path:
    """The page's configuration, with the key and the passwords that it names."""
    (block,) = re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL)
    secrets = {"key.1": "11" * 32, "alpha-bmc.password": "secret", "beta-bmc.password": "secret"}
    for name, content in secrets.items():
        (folder / name).write_text(content)
        (folder / name).chmod(0o600)
    file = folder / "haagent.toml"
    file.write_text(block)
    return file


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
@pytest.mark.usefixtures("disk")
def test_the_page_runs(machine: Pid1, tmp_path: Path, page: Path) -> None:
    """Everything that the page configures is active while held, and stopped afterwards."""
    file = configuration(tmp_path, page)
    program = Path(__file__).with_name("page_run.py")
    done = subprocess.run(
        [*machine.enter, "env", f"PYTHONPATH={ROOT}", sys.executable, program, file, "alpha"],
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)
    for moment, condition in (("held", "active"), ("stopped", "stopped")):
        for group, resources in read[moment].items():
            assert resources, group
            assert set(resources.values()) == {condition}, (moment, group, resources)
