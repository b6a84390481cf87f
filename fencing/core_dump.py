# SPDX-License-Identifier: GPL-2.0-or-later
"""No core dump of a process that knows passwords: it would hold them for whoever finds the file."""

from __future__ import annotations

import resource


def forbid() -> None:
    """Have neither this process nor what it starts leave one, however it dies.

    systemd-coredump keeps to this limit too, although the kernel would give it the core.
    """
    _, allowed = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, allowed))
