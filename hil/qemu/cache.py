# SPDX-License-Identifier: GPL-2.0-or-later
"""What takes long to build is built once: kept in the user's cache under a hash of its inputs."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

KEPT_PER_KIND = 3
"""Results of one kind that stay, the last used ones; another run may still use the last but one."""
_KEY_DIGITS = 16


def home() -> Path:
    """Where all of it is; made when missing."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = cache / "haagent-hil"
    path.mkdir(parents=True, exist_ok=True)
    return path


def key(parts: Iterable[bytes]) -> str:
    """A short hash of inputs, each of any length."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:_KEY_DIGITS]


def tree(*places: Path) -> list[bytes]:
    """Files below some places, their names and contents, as inputs of a key."""
    parts = []
    for place in places:
        files = [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.is_file())
        for path in files:
            if "__pycache__" not in path.parts:
                parts += [str(path.relative_to(place.parent)).encode(), path.read_bytes()]
    return parts


def built(kind: str, inputs: Iterable[bytes], build: Callable[[Path], None]) -> Path:
    """The directory that `build` fills, from the cache if it was built of these inputs before.

    Only a build that returned is kept, and two runs never build one kind at once.

    Args:
        kind: What it is; a part of its name.
        inputs: Everything that decides the result.
        build: Fills an empty directory; the result must not depend on its name.
    """
    result = home() / f"{kind}-{key(inputs)}"
    with (home() / f"{kind}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not result.exists():
            for abandoned in home().glob(f"{kind}.new.*"):
                shutil.rmtree(abandoned)
            new = Path(tempfile.mkdtemp(prefix=f"{kind}.new.", dir=home()))
            try:
                build(new)
                new.rename(result)
            except BaseException:
                shutil.rmtree(new)
                raise
        os.utime(result)
        _forget_old(kind)
    return result


def _forget_old(kind: str) -> None:
    # With the whole key: "peer-tuned" is another kind than "peer", and has a lock beside it.
    found = home().glob(f"{kind}-{'[0-9a-f]' * _KEY_DIGITS}")
    kept = sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)
    for path in kept[KEPT_PER_KIND:]:
        shutil.rmtree(path)
