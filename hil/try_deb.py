# SPDX-License-Identifier: GPL-2.0-or-later
"""`make deb-try`: the package on another Debian, or on another architecture under QEMU.

The Debian is unpacked once and kept in the cache; what is tried in it is in try_deb_inside.sh.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from hil.processes import DIE_WITH_US, ROOT
from hil.qemu import cache
from hil.qemu.image import repository

HERE = Path(__file__).parent
ARCHITECTURES = ("amd64", "arm64")
EXIT_USAGE = 64
NAMESPACES = ("--mount", "--pid", "--fork", "--kill-child")


def main() -> None:
    """Arguments: release and architecture; ends as the trial does."""
    if len(sys.argv) != 3 or sys.argv[2] not in ARCHITECTURES:
        sys.exit(EXIT_USAGE)
    release, architecture = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="haagent-try-") as name:
        build = [sys.executable, str(ROOT / "packaging/build_deb.py"), name]
        subprocess.run(build, env=os.environ | {"ARCH": architecture}, check=True)  # noqa: S603  # ours
        (package,) = Path(name).glob("*.deb")
        _, mirror = repository()
        tree = cache.home() / f"try-{release}-{architecture}"
        trial = ["sh", str(HERE / "try_deb.sh"), package, release, architecture, mirror, tree]
        command = [*DIE_WITH_US, "unshare", *NAMESPACES, *map(str, trial)]
        sys.exit(subprocess.run(command, cwd=ROOT, check=False).returncode)  # noqa: S603  # ours


if __name__ == "__main__":
    main()
