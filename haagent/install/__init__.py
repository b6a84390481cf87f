# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the files that the system must know go: units, rules, users, links into the environment.

The Debian package and `haagent install` lay the same files, the one below /usr/lib as a package
does, the other below /etc as an administrator does. Their sources are the project's folders
systemd/ and udev/, of which this package has a link each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from haagent.errors import EdgeError

ENVIRONMENT = "/opt/haagent"
"""The environment that the files name; another one is put in its place."""
HERE = Path(__file__).parent


class Owner(Enum):
    """Who answers for the files: this decides where they go."""

    PACKAGE = "usr/lib"
    ADMINISTRATOR = "etc"


@dataclass(frozen=True, slots=True)
class File:
    """One file of ours in the system's folders."""

    source: str
    """Below this package."""
    target: str
    """Below /usr/lib or /etc."""
    mode: int = 0o644


FILES = (
    File("systemd/haagent.service", "systemd/system/haagent.service"),
    File("systemd/haagent-observer.service", "systemd/system/haagent-observer.service"),
    File("systemd/haagent-drill.service", "systemd/system/haagent-drill.service"),
    File("systemd/haagent-drill.timer", "systemd/system/haagent-drill.timer"),
    File("systemd/sysusers.conf", "sysusers.d/haagent.conf"),
    File("systemd/tmpfiles.conf", "tmpfiles.d/haagent.conf"),
    File("systemd/networkd.conf", "systemd/networkd.conf.d/50-haagent.conf"),
    File("systemd/generator", "systemd/system-generators/haagent-generator", 0o755),
    File("udev/70-haagent.rules", "udev/rules.d/70-haagent.rules"),
)
LINKS = {
    Owner.PACKAGE: {"usr/bin/haagent": "haagent", "usr/sbin/fence_haagent": "fence_haagent"},
    # Pacemaker looks for fence agents in /usr/sbin only.
    Owner.ADMINISTRATOR: {
        "usr/local/bin/haagent": "haagent",
        "usr/sbin/fence_haagent": "fence_haagent",
    },
}
"""Link to the program in the environment's bin/ that it leads to."""


def lay(owner: Owner, *, root: Path, environment: Path) -> Iterator[Path]:
    """Write every file and link; yields each path, below the root, once it is there.

    Args:
        owner: Who answers for them.
        root: "/", or the folder that is to become it.
        environment: The virtual environment with our programs, as seen when the root is "/".

    Raises:
        EdgeError: a file cannot be written, or something that is not ours is in a link's place.
    """
    for file in FILES:
        text = (HERE / file.source).read_text(encoding="utf-8")
        target = root / owner.value / file.target
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text.replace(ENVIRONMENT, str(environment)), encoding="utf-8")
            target.chmod(file.mode)
        except OSError as error:
            raise EdgeError(f"{target}: {error.strerror}") from None
        yield target
    for name, program in LINKS[owner].items():
        yield _link(root / name, environment / "bin" / program)


def take_away(owner: Owner, *, root: Path, environment: Path) -> Iterator[Path]:
    """Remove what `lay` wrote; yields each path that was there. Links of others stay.

    Raises:
        EdgeError: one cannot be removed.
    """
    ours = [root / owner.value / file.target for file in FILES]
    for name, program in LINKS[owner].items():
        link = root / name
        if link.is_symlink() and link.readlink() == environment / "bin" / program:
            ours.append(link)
    for path in ours:
        try:
            path.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise EdgeError(f"{path}: {error.strerror}") from None
        yield path


def _link(link: Path, target: Path) -> Path:
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.is_symlink():
            link.unlink()
        link.symlink_to(target)
    except FileExistsError:
        raise EdgeError(f"{link}: is there and no link; move it away") from None
    except OSError as error:
        raise EdgeError(f"{link}: {error.strerror}") from None
    return link
