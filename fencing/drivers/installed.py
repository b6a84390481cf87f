# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a fence agent's program is, and whether it is one that may be run."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from fencing import NotSentError
from fencing.findings import Trouble

FOLDER = Path("/usr/sbin")
"""Where agents are installed, and where a cluster looks for them."""
_NAME = re.compile(r"fence_[A-Za-z0-9_.+-]+")


def find(name: str) -> Path:
    """The program of the agent called `name`, or at that absolute path.

    It is judged as it is found; that nobody else may write to it is what keeps it so.

    Raises:
        NotSentError: There is none, or others could have put something else in its place.
    """
    path = Path(name)
    if not path.is_absolute():
        if _NAME.fullmatch(name) is None:
            text = f"agent {name!r} is neither fence_NAME nor an absolute path"
            raise NotSentError(text, Trouble.SETTINGS)
        path = FOLDER / name
    try:
        real = path.resolve(strict=True)
        file, folder = real.stat(), real.parent.stat()
    except OSError as error:
        raise NotSentError(f"{path}: {error.strerror}", Trouble.NOT_INSTALLED) from None
    if not stat.S_ISREG(file.st_mode) or not os.access(path, os.X_OK):
        raise NotSentError(f"{path} is no program", Trouble.NOT_INSTALLED)
    open_folder = folder.st_mode & stat.S_IWOTH and not folder.st_mode & stat.S_ISVTX
    if file.st_mode & stat.S_IWOTH or open_folder or file.st_uid not in (0, os.geteuid()):
        raise NotSentError(f"{path} could have been changed by others", Trouble.SETTINGS)
    return path
