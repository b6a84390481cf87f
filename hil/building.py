# SPDX-License-Identifier: GPL-2.0-or-later
"""What every lab is: built of parts in a directory of its own, and taken down whole."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

DISK = "/var/tmp"  # noqa: S108  # each lab makes a directory of its own name in it
"""Where machines keep their state. It outlives a reboot (hier(7)): /tmp is often memory alone, on
which no agent would keep its term, as `haagent doctor` says there."""


class Building:
    """A context manager: entering builds it, leaving takes it down, the last part first.

    Args:
        prefix: Of the name of its directory, which goes with it.
    """

    directory: Path
    """There from the entry on."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self.directory = Path(tempfile.mkdtemp(prefix=self._prefix, dir=DISK))
            self._stack.callback(shutil.rmtree, self.directory)
            self._build()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _build(self) -> None:
        """Add the parts; what is on the stack is taken down also when this fails."""
        raise NotImplementedError
