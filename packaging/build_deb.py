# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds the Debian package of the checkout: `make deb`. Prints the path of what it has made.

What it carries and why is in docs/adr/0010. Needs no root. The same checkout, with the same wheels,
gives the same bytes: every time in it is that of the last commit.

ARCH=arm64 builds for another architecture, VERSION=1.2 under another version.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from gzip import GzipFile
from pathlib import Path

import completion
import man_pages
from cli_tree import program
from wheels import MACHINES, MINORS, BuildError, Carried, fill, glibc_minor

from haagent import __version__
from haagent.install import ENVIRONMENT, FILES, Owner, lay

ROOT = Path(__file__).parents[1]
PARTS = Path(__file__).parent / "debian"
PROGRAMS = {
    "haagent": "haagent.__main__",
    "fence_haagent": "fencing.fence_agent",
    "haagent-crm": "haagent.resources.crm_shim",
}
"""As in pyproject.toml, which a test compares."""
# -I: neither PYTHONPATH (/usr/share/fence has a module named fencing) nor PYTHONOPTIMIZE counts.
PROGRAM = """#!{environment}/bin/python3 -I
import sys

from {module} import main

sys.exit(main())
"""
CONTROL = """Package: haagent
Version: {version}
Architecture: {architecture}
Maintainer: {maintainer}
Installed-Size: {size}
Depends: {depends}
Recommends: udev, dbus
Suggests: fence-agents, resource-agents, ipmitool, pacemaker
Section: admin
Priority: optional
Description: high availability for a pair of servers
 One node is active and holds the service and its virtual address, the other
 stands by. When the active falls silent, the standby first switches it off by
 hardware (IPMI, Redfish, serial PDU or any fence agent), reads the power back
 as off, and only then takes over. Then the peer gets its power back.
 .
 Everything but Python itself is in an environment of its own, /opt/haagent.
"""
MAINTAINER = "haagent developers <haagent@example.org>"
"""Nobody else's name: who publishes the package puts in their own (MAINTAINER=)."""
GLIBC = 28
MODE_PROGRAM = 0o755


def build(target: Path, architecture: str) -> Path:
    """Build the package into a folder; its path.

    Raises:
        BuildError: something that it needs is missing.
    """
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or _git("log", "-1", "--format=%ct"))
    os.environ["SOURCE_DATE_EPOCH"] = str(epoch)
    version = os.environ.get("VERSION") or _version(epoch)
    with tempfile.TemporaryDirectory(prefix="haagent-deb-") as name:
        folder = Path(name)
        root = folder / "root"
        carried = _environment(root, folder, architecture)
        list(lay(Owner.PACKAGE, root=root, environment=Path(ENVIRONMENT)))
        (root / "etc/haagent").mkdir(parents=True)
        (root / "var/lib/haagent").mkdir(parents=True)
        _manuals(root)
        _documents(root, version, epoch, carried)
        _control(root, version, architecture)
        _level(root, epoch)
        target.mkdir(parents=True, exist_ok=True)
        package = target / f"haagent_{version}_{architecture}.deb"
        command: list[str | Path] = [
            "dpkg-deb",
            "--root-owner-group",
            "-Zxz",
            "-z2",
            "--build",
            root,
            package,
        ]
        _run(command)
    return package


def _environment(root: Path, folder: Path, architecture: str) -> list[Carried]:
    """The virtual environment, without the link to its interpreter, which postinst makes."""
    sources = _sources(folder / "sources")
    _run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, sources])
    (wheel,) = folder.glob("haagent-*.whl")
    constraints = folder / "constraints.txt"
    # The package carries the very versions that the tests run with.
    freeze = [sys.executable, "-m", "pip", "freeze", "--exclude-editable"]
    constraints.write_text(_run(freeze), encoding="utf-8")
    environment = root / ENVIRONMENT.lstrip("/")
    carried = fill(environment, architecture, wheel, constraints)
    (environment / "pyvenv.cfg").write_text(
        "home = /usr/bin\ninclude-system-site-packages = false\n", encoding="utf-8"
    )
    programs = environment / "bin"
    programs.mkdir()
    for name, module in PROGRAMS.items():
        path = programs / name
        path.write_text(PROGRAM.format(environment=ENVIRONMENT, module=module), encoding="utf-8")
    return carried


def _sources(folder: Path) -> Path:
    """A copy of what git knows or would take: no leftover of another build gets into the wheel."""
    names = _git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in filter(None, names):
        source, target = ROOT / name, folder / name
        if not source.is_symlink() and not source.exists():
            continue  # Removed and not committed yet.
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target, follow_symlinks=False)
    return folder


def _manuals(root: Path) -> None:
    described = program()
    manuals = root / "usr/share/man"
    for name, text in man_pages.pages(described).items():
        _gzip(manuals / f"man{name[-1]}" / f"{name}.gz", text)
    for place, text in completion.scripts(described).items():
        _write(root / place, text)


def _documents(root: Path, version: str, epoch: int, carried: Iterable[Carried]) -> None:
    documents = root / "usr/share/doc/haagent"
    date = format_datetime(datetime.fromtimestamp(epoch, UTC))
    entry = f"haagent ({version}) unstable; urgency=medium\n\n  * See CHANGELOG.md.\n"
    _gzip(documents / "changelog.gz", f"{entry}\n -- {_maintainer()}  {date}\n")
    for name in ("README.md", "CHANGELOG.md", *_pages()):
        _write(documents / name.removeprefix("docs/"), (ROOT / name).read_text(encoding="utf-8"))
    table = "".join(f" {one.name} {one.version}: {one.licence}\n" for one in carried)
    licences = (PARTS / "copyright").read_text(encoding="utf-8")
    _write(documents / "copyright", licences.replace("@CARRIED@\n", table))
    for name, text in _examples().items():
        _write(documents / "examples" / name, text)
    _write(
        root / "usr/share/lintian/overrides/haagent",
        (PARTS / "lintian-overrides").read_text(encoding="utf-8"),
    )


def _pages() -> list[str]:
    found = (path for end in (".md", ".yml", ".json") for path in (ROOT / "docs").rglob(f"*{end}"))
    return sorted(str(path.relative_to(ROOT)) for path in found)


def _examples() -> dict[str, str]:
    """Every complete configuration of the pages, which their tests load, and ready drop-ins."""
    page = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    found = {"haagent.toml": re.findall(r"```toml\n(.*?)```", page, re.DOTALL)[0]}
    for folder in ("systemd", "udev"):
        for path in sorted((ROOT / folder / "examples").iterdir()):
            found[path.name] = path.read_text(encoding="utf-8")
    return found


def _control(root: Path, version: str, architecture: str) -> None:
    sizes = {path.lstat().st_ino: path.lstat().st_size for path in root.rglob("*")}
    text = CONTROL.format(
        version=version,
        architecture=architecture,
        maintainer=_maintainer(),
        size=sum(sizes.values()) // 1024,
        depends=_depends(root),
    )
    folder = root / "DEBIAN"
    sums = []
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink():
            digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
            sums.append(f"{digest}  {path.relative_to(root)}\n")
    _write(folder / "md5sums", "".join(sums))
    _write(folder / "control", text)
    for name in ("preinst", "postinst", "prerm", "postrm", "triggers"):
        script = (PARTS / name).read_text(encoding="utf-8")
        script = script.replace("@MINORS@", " ".join(map(str, reversed(MINORS))))
        _write(folder / name, script)


def _depends(root: Path) -> str:
    pythons = " | ".join(f"python3.{minor}" for minor in MINORS)
    needed = (
        f"python3 (>= 3.{MINORS[0]}) | {pythons}",
        f"python3 (<< 3.{MINORS[-1] + 1})",
        f"libc6 (>= 2.{glibc_minor(root / ENVIRONMENT.lstrip('/'))})",
        "systemd",
        "iproute2",
    )
    return ", ".join(needed)


def _level(root: Path, epoch: int) -> None:
    """Modes and times that depend neither on who builds nor on when."""
    scripts = ("preinst", "postinst", "prerm", "postrm")
    programs = {root / "DEBIAN" / name for name in scripts}
    programs |= {root / ENVIRONMENT.lstrip("/") / "bin" / name for name in PROGRAMS}
    laid = root / Owner.PACKAGE.value
    programs |= {laid / file.target for file in FILES if file.mode == MODE_PROGRAM}
    for path in (root, *root.rglob("*")):
        if path.is_symlink():
            os.utime(path, (epoch, epoch), follow_symlinks=False)
            continue
        # In a wheel the bits are as its maker's disk had them.
        executable = path.is_dir() or path in programs
        path.chmod(MODE_PROGRAM if executable else 0o644)
        os.utime(path, (epoch, epoch))


def _version(epoch: int) -> str:
    """The version, and of what is not released yet also when it was committed, so it only rises."""
    if _git("tag", "--points-at", "HEAD", "--list", f"v{__version__}").strip():
        return __version__
    changed = "+changed" if _git("status", "--porcelain").strip() else ""
    moment = datetime.fromtimestamp(epoch, UTC).strftime("%Y%m%d%H%M%S")
    return f"{__version__}~git{moment}.{_git('rev-parse', '--short=8', 'HEAD').strip()}{changed}"


def _maintainer() -> str:
    return os.environ.get("MAINTAINER") or MAINTAINER


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _gzip(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file, GzipFile("", "wb", 9, file, mtime=0) as packed:
        packed.write(text.encode())


def _git(*arguments: str) -> str:
    return _run(["git", "-C", ROOT, *arguments])


def _run(command: Sequence[str | Path]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout


def main() -> None:
    """Build into dist/, or into the folder that is named."""
    architecture = os.environ.get("ARCH") or _run(["dpkg", "--print-architecture"]).strip()
    if architecture not in MACHINES:
        sys.exit(f"build_deb: no wheels for {architecture}; one of {', '.join(MACHINES)}")
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist"
    try:
        print(build(target, architecture))
    except BuildError as error:
        sys.exit(f"build_deb: {error}")


if __name__ == "__main__":
    main()
