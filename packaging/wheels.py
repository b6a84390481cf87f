# SPDX-License-Identifier: GPL-2.0-or-later
"""Modules for several Pythons, out of wheels, by one Python: see docs/adr/0010.

pip takes the wheels that fit another Python's tags, but it judges the conditions of requirements
("; python_version < '3.13'") by the Python it runs on. So what it has laid is judged again here,
for each Python that is to use it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

MINORS = (11, 12, 13, 14)
"""Debian 12, Ubuntu 24.04, Debian 13, and the one after: of Python 3."""
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
"""Debian's names to those in the tags of wheels."""
ELF_MACHINES = {"amd64": 62, "arm64": 183}
"""Source: elf.h, EM_X86_64 and EM_AARCH64."""
GLIBC_MINOR_MAX = 35
"""Of the oldest system that we install on. Source: Ubuntu 22.04, libc6 2.35."""
PIPS_AT_ONCE = 2


class BuildError(Exception):
    """The package cannot be built; says why in one line."""


@dataclass(frozen=True, slots=True)
class Carried:
    """One distribution that the package carries."""

    name: str
    version: str
    licence: str


def fill(environment: Path, architecture: str, project: Path, constraints: Path) -> list[Carried]:
    """Fill `environment`/lib: python3/ with what every Python can take, python3.X/ with the rest.

    Args:
        environment: The virtual environment that is being made.
        architecture: One of MACHINES.
        project: The wheel of this project.
        constraints: The versions that the tests ran with, as pip takes them.

    Returns:
        What lies in it, in the order of names.

    Raises:
        BuildError: there is no wheel for one of the Pythons, something is missing, or a library
            is for another machine.
    """
    shared = environment / "lib/python3/site-packages"
    trees = {minor: environment / f"lib/python3.{minor}/site-packages" for minor in MINORS}
    pip = _Pip(architecture, constraints)
    pip.install(MINORS[0], shared, str(project))
    bound = [one for one in metadata.distributions(path=[str(shared)]) if _is_bound(one)]
    names = [f"{one.name}=={one.version}" for one in bound]
    for one in bound:
        _move(one, shared, trees[MINORS[0]])
    with ThreadPoolExecutor(PIPS_AT_ONCE) as pool:
        others = MINORS[1:]
        list(pool.map(lambda minor: pip.install(minor, trees[minor], "--no-deps", *names), others))
    for minor, tree in trees.items():
        # Read by site.py; a path that is not absolute begins at the file's own folder.
        (tree / "shared.pth").write_text("../../python3/site-packages\n", encoding="utf-8")
        _judge([shared, tree], minor)
    judge_machine(environment, architecture)
    everything = metadata.distributions(path=[str(shared), str(trees[MINORS[0]])])
    carried = [Carried(one.name, one.version, _licence(one)) for one in everything]
    return sorted(carried, key=lambda one: one.name.lower())


@dataclass(frozen=True, slots=True)
class _Pip:
    """pip, which takes wheels for other machines and Pythons than its own."""

    architecture: str
    constraints: Path

    def install(self, minor: int, tree: Path, *wanted: str) -> None:
        """Install these into the tree, for that Python.

        Raises:
            BuildError: pip's own words.
        """
        machine = MACHINES[self.architecture]
        tags = [f"manylinux_2_{glibc}_{machine}" for glibc in range(GLIBC_MINOR_MAX, 4, -1)]
        tags += [f"manylinux{year}_{machine}" for year in ("2014", "2010", "1")]
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile"]
        command += ["--target", str(tree), "--only-binary", ":all:"]
        command += ["--constraint", str(self.constraints)]
        command += ["--implementation", "cp", "--python-version", f"3.{minor}"]
        command += [part for abi in (f"cp3{minor}", "abi3", "none") for part in ("--abi", abi)]
        command += [part for tag in tags for part in ("--platform", tag)]
        done = subprocess.run([*command, *wanted], capture_output=True, text=True, check=False)
        if done.returncode:
            raise BuildError(f"pip for Python 3.{minor}: {done.stderr.strip()}")
        _strip(tree)


def _is_bound(one: metadata.Distribution) -> bool:
    """Whether it has libraries for one Python only. Source: PEP 425, abi tag."""
    tags = re.findall(r"^Tag: \S+?-(\S+?)-", one.read_text("WHEEL") or "", re.MULTILINE)
    return not set(tags) <= {"none", "abi3"}


def _move(one: metadata.Distribution, source: Path, target: Path) -> None:
    """Move all of its files to another tree."""
    for file in tuple(one.files or ()):
        if not (source / file).exists():
            continue  # pip lists programs, which are gone.
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        (source / file).rename(target / file)
    for folder in sorted(source.rglob("*/"), reverse=True):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _strip(tree: Path) -> None:
    """Take away what only the machine that builds has a use for."""
    # The programs come from us, with the environment's own interpreter in their first line.
    shutil.rmtree(tree / "bin", ignore_errors=True)
    for name in ("direct_url.json", "REQUESTED"):
        # The first says in which folder our wheel was built.
        for path in tree.glob(f"*.dist-info/{name}"):
            _forget(path)


def _forget(path: Path) -> None:
    """Remove a file and its line in the list of its distribution."""
    record = path.with_name("RECORD")
    name = f"{path.parent.name}/{path.name},"
    lines = record.read_text(encoding="utf-8").splitlines(keepends=True)
    record.write_text(
        "".join(line for line in lines if not line.startswith(name)), encoding="utf-8"
    )
    path.unlink()


def _judge(trees: list[Path], minor: int) -> None:
    """Every requirement of everything in the trees is met in them, on the Python they are for.

    Raises:
        BuildError: names the first that is not.
    """
    found_in = metadata.distributions(path=list(map(str, trees)))
    there = {canonicalize_name(one.name): one for one in found_in}
    situation = {
        "python_version": f"3.{minor}",
        "python_full_version": f"3.{minor}.0",
        "extra": "",
    }
    for one in there.values():
        for line in one.requires or ():
            wanted = Requirement(line)
            if wanted.marker is not None and not wanted.marker.evaluate(situation):
                continue
            found = there.get(canonicalize_name(wanted.name))
            if found is None or not wanted.specifier.contains(found.version, prereleases=True):
                raise BuildError(f"Python 3.{minor}: {one.name} wants {line}, and it is not there")


def judge_machine(environment: Path, architecture: str) -> None:
    """Every compiled library in it is for that architecture, whatever the name of its wheel said.

    Raises:
        BuildError: names the first that is not.
    """
    for path in environment.rglob("*.so*"):
        with path.open("rb") as file:
            header = file.read(20)
        if header[:4] != b"\x7fELF" or header[18] != ELF_MACHINES[architecture]:
            raise BuildError(f"{path}: not for {architecture}")


def _licence(one: metadata.Distribution) -> str:
    """What it says of its licence: the SPDX expression, else its classifiers, else a line."""
    fields = one.metadata
    if "License-Expression" in fields:
        return fields["License-Expression"]
    named = [
        line.rpartition(" :: ")[2]
        for line in fields.get_all("Classifier", [])
        if line.startswith("License ::")
    ]
    (line, *_) = fields.get_all("License", ["see its dist-info"])
    return " / ".join(named) or line.partition("\n")[0]


def glibc_minor(environment: Path) -> int:
    """The least glibc (2.N) that every library in it can live with. Source: PEP 600."""
    needed = [5]
    for path in environment.glob("lib/*/site-packages/*.dist-info/WHEEL"):
        text = path.read_text(encoding="utf-8")
        found = [int(minor) for minor in re.findall(r"manylinux_2_(\d+)_", text)]
        found += [17] if "manylinux2014_" in text else []
        if found:
            needed.append(min(found))
    return max(needed)
