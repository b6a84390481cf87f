# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the programs that know: bounded, in the C locale, and silent when they are not there."""

from __future__ import annotations

import os
import shutil
import subprocess

LIMIT_S = 10.0


def output(*argv: str, limit_s: float = LIMIT_S) -> str | None:
    """What a program printed; None if it is not installed, failed, or took too long."""
    if shutil.which(argv[0]) is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603  # literals and names from the configuration
            argv,
            env=os.environ | {"LC_ALL": "C.UTF-8", "SYSTEMD_PAGER": ""},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limit_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None


def properties(unit: str, *names: str) -> dict[str, str]:
    """Properties of a unit as systemctl shows them; empty where there is no systemd."""
    shown = output("systemctl", "show", unit, *(f"--property={name}" for name in names))
    return dict(line.split("=", 1) for line in (shown or "").splitlines() if "=" in line)
