# SPDX-License-Identifier: GPL-2.0-or-later
"""The disk and the kernel that both servers boot: Debian, and the project as it is now on it.

Debian's part takes minutes and is rebuilt when its recipe or the suite changes; the project's part
takes seconds and is rebuilt when a file of it changes.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hil.processes import ROOT, labour, run
from hil.qemu import cache
from hil.qemu.furniture import furnish

HERE = Path(__file__).parent
BASE_LIMIT_S = 1800.0
"""Debian takes three minutes to unpack on two busy processors; a slow mirror, longer."""
SYSTEM_LIMIT_S = 600.0
"""The package takes about a minute to build and to install."""
PROJECT = ("haagent", "fencing", "systemd", "udev", "packaging", "pyproject.toml")
"""What the package is made of; its documentation apart, which changes nothing in a server."""
OURS = (
    "qemu/furniture.py",
    "qemu/image.py",
    "qemu/service.py",
    "qemu/system.sh",
    "node_init.py",
    "network.py",
    "pair.py",
)
"""What the rest of the disk is made of."""
_INSTALL = """\
set -e
dpkg --install /install/*.deb
systemctl enable haagent.service
"""
_INSTALL_MORE = """\
mkdir -p /etc/postgresql-common/createcluster.d
echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.d/bench.conf
more="dpkg --skip-same-version --install /install/more/*.deb"
$more || $more  # the second time for those that want others installed before they are unpacked
dpkg-query -L {packages} | sed -n 's|^/lib/systemd/system/\\([^@]*\\.service\\)$|\\1|p' |
    xargs --no-run-if-empty systemctl disable
"""


@dataclass(frozen=True, slots=True)
class Image:
    """What a server boots from, none of it ever written to."""

    kernel: Path
    initrd: Path
    disk: Path
    """The root file system, raw ext4."""
    login_key: Path
    """The private key that root's account takes."""
    package: Path
    """The project's, which is installed there."""


def repository() -> tuple[str, str]:
    """Suite and address of the Debian that this machine itself is installed from.

    Raises:
        RuntimeError: Its apt names none.
    """
    suite = platform.freedesktop_os_release()["VERSION_CODENAME"]
    for refresh in (False, True):
        if refresh:
            run(["apt-get", "-qq", "update"])  # a machine may have forgotten its indexes
        # apt's own answer, whatever form its files have.
        what = ["--format", "$(CODENAME) $(REPO_URI)", "Created-By: Packages", "Component: main"]
        for line in run(["apt-get", "indextargets", *what]).stdout.splitlines():
            codename, _, address = line.partition(" ")
            if codename == suite:
                return suite, address
    raise RuntimeError(f"apt knows no index of {suite}")


def base() -> Path:
    """Debian without the project: a directory with tree/, vmlinuz and initrd.img."""
    suite, address = repository()
    recipe = HERE / "base.sh"

    def build(directory: Path) -> None:
        _say("building Debian for the servers: some minutes, once")
        command = ["sh", str(recipe), suite, address, str(directory)]
        labour(command, directory / "build.log", limit_s=BASE_LIMIT_S)

    return cache.built("base", [recipe.read_bytes(), suite.encode(), address.encode()], build)


def image(packages: Sequence[str] = ()) -> Image:
    """The image of the checkout as it is now, built if it has to be.

    Args:
        packages: Of Debian, installed as well; their services are not enabled.
    """
    debian = base()
    project = cache.tree(*(ROOT / name for name in PROJECT if (ROOT / name).exists()))
    ours = cache.tree(*(ROOT / "hil" / name for name in OURS))

    def build(directory: Path) -> None:
        _say("installing the project on the servers' disk")
        install, extra = directory / "install", directory / "extra"
        install.mkdir()
        extra.mkdir()
        _pack(install)
        if packages:
            _add(packages, debian / "tree", install)
        _make_key(directory / "login_key")
        furnish(extra, public_key=(directory / "login_key.pub").read_text())
        places = (str(path) for path in (debian, install, extra, directory))
        command = ["sh", str(HERE / "system.sh"), *places]
        labour(command, directory / "build.log", limit_s=SYSTEM_LIMIT_S)

    inputs = [debian.name.encode(), *project, *ours, _INSTALL.encode()]
    inputs += [package.encode() for package in packages]
    # Of kinds of their own, so that none pushes another out of the cache.
    result = cache.built(".".join(("system", *packages[:1])), inputs, build)
    (package,) = (result / "install").glob("*.deb")
    return Image(
        debian / "vmlinuz",
        debian / "initrd.img",
        result / "system.ext4",
        result / "login_key",
        package,
    )


def _pack(directory: Path) -> None:
    """Collect what is installed in the server, and how."""
    command = [sys.executable, str(ROOT / "packaging/build_deb.py"), str(directory)]
    labour(command, directory / "build.log", limit_s=SYSTEM_LIMIT_S)
    (directory / "install.sh").write_text(_INSTALL)


def _add(packages: Sequence[str], tree: Path, directory: Path) -> None:
    """Collect Debian's packages as well, with all that they need and the servers lack."""
    more = directory / "more"
    (more / "partial").mkdir(parents=True)
    command = ["apt-get", "--quiet", "--yes", "--no-install-recommends", "--download-only"]
    # This machine's sources and indexes, but what the servers have installed.
    for option in (
        f"Dir::State::status={tree}/var/lib/dpkg/status",
        f"Dir::Cache::archives={more}",
        "Debug::NoLocking=1",
    ):
        command += ["-o", option]
    labour([*command, "install", *packages], directory / "more.log", limit_s=SYSTEM_LIMIT_S)
    with (directory / "install.sh").open("a") as script:
        script.write(_INSTALL_MORE.format(packages=" ".join(packages)))


def _make_key(path: Path) -> None:
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", str(path)])


def _say(text: str) -> None:
    sys.stderr.write(f"hil: {text}\n")
