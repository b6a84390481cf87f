# SPDX-License-Identifier: GPL-2.0-or-later
"""What the agent asks of the kernel for itself, and for nothing that it starts."""

from __future__ import annotations

import subprocess
import sys

READ = "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
"""PR_GET_DUMPABLE."""


def test_no_core_dump_of_the_agent_alone() -> None:
    """The process that knows the passwords is not dumpable; a program that it starts is."""
    script = (
        "import subprocess, sys; from haagent import host; host.leave_no_core();"
        f"{READ.partition('; ')[0]}; {READ.partition('; ')[2]}; sys.stdout.flush();"
        f"subprocess.run([sys.executable, '-c', {READ!r}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["0", "1"]
