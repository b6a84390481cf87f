# SPDX-License-Identifier: GPL-2.0-or-later
"""Another version of a Debian package, for upgrades."""

from __future__ import annotations

from pathlib import Path

from hil.processes import run


def renamed(package: Path, folder: Path, version: str) -> Path:
    """The same package as another version: quick, for an upgrade."""
    parts = folder / f"parts-{version}"
    run(["dpkg-deb", "-R", str(package), str(parts)])
    control = parts / "DEBIAN/control"
    lines = control.read_text().splitlines()
    lines = [f"Version: {version}" if one.startswith("Version:") else one for one in lines]
    control.write_text("\n".join(lines) + "\n")
    target = folder / f"haagent_{version}.deb"
    run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(parts), str(target)])
    return target
