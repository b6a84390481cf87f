# SPDX-License-Identifier: GPL-2.0-or-later
"""What is remembered of a resource with an OCF agent, in files of this boot.

In its folders are: notes of the agents' own (state, HA_RSCTMP), promotion scores as the stand-ins
for Pacemaker's tools write them (scores), a file for each resource of which something may be up on
this node (up), and the stand-ins (tools).
"""

from __future__ import annotations

import sys
from pathlib import Path

import structlog

from haagent.resources import ResourceError
from haagent.resources.crm_shim import TOOLS

PASSED_ON = {"sm-notify": Path("/usr/sbin/sm-notify")}
"""What agents (nfsnotify) look for in HA_SBIN_DIR that is none of Pacemaker's."""
STAND_IN = "haagent-crm"
"""Our console script that runs crm_shim, beside the interpreter."""


class NotesError(ResourceError):
    """Nothing can be written there: it is full, or read-only."""


class Notes:
    """Those of one resource.

    Args:
        directory: For the notes of all of them; root's alone, and empty after a boot.
        instance: Unique name of the resource.
    """

    def __init__(self, directory: Path, instance: str) -> None:
        self.directory = directory
        self.score_file = directory / "scores" / instance
        self._up_file = directory / "up" / instance
        self._up = False
        """As the file says, and where that could not be written, too."""
        self._log = structlog.get_logger(of=instance)

    def lay_out(self) -> None:
        """Make the directory what agents expect; harmless when repeated.

        Raises:
            NotesError: It cannot be made so.
        """
        try:
            self._lay_out()
        except OSError as error:
            raise self._error(error) from error

    def may_be_up(self) -> bool:
        """Whether something of the resource may be up on this node."""
        try:
            return self._up or self._up_file.exists()
        except OSError:
            return True  # Nobody can tell.

    def remember_up(self) -> None:
        """From now on something of it may be up; this process knows it in any case.

        Raises:
            NotesError: The next process would not know it.
        """
        self._up = True
        try:
            if not self._up_file.exists():  # To touch it again takes a directory that is writable.
                self._lay_out()
                self._up_file.touch()
        except OSError as error:
            raise self._error(error) from error

    def forget_up(self) -> None:
        """It was seen stopped."""
        self._up = False
        try:
            self._up_file.unlink(missing_ok=True)
        except OSError as error:
            # To take for up what is stopped costs a stop more, and believes no lenient probe.
            self._log.warning("resource.note_stays", why=str(self._error(error)))

    def _lay_out(self) -> None:
        for name in ("state", "scores", "up", "tools"):
            (self.directory / name).mkdir(mode=0o755, parents=True, exist_ok=True)
        stand_in = Path(sys.executable).with_name(STAND_IN)
        for name, target in {**dict.fromkeys(TOOLS, stand_in), **PASSED_ON}.items():
            link = self.directory / "tools" / name
            if not link.is_symlink() or link.readlink() != target:
                link.unlink(missing_ok=True)
                link.symlink_to(target)

    def _error(self, error: OSError) -> NotesError:
        return NotesError(f"no note of it can be kept in {self.directory}: {error.strerror}")
