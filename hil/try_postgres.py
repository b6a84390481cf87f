# SPDX-License-Identifier: GPL-2.0-or-later
"""`make postgres-try`: the tests of the database with another version of PostgreSQL.

It lies where Debian's packages would put it, beside the own one, for these tests alone. With
`make database-proof VERSION=n` it does for that one.
"""

from __future__ import annotations

import os
import subprocess
import sys

from hil.postgres_versions import SERVER_ALONE, VERSIONS, laid_out
from hil.processes import DIE_WITH_US, ROOT

TESTS = (
    "tests/unit/postgres",
    "tests/net/test_postgres_async.py",
    "tests/net/test_postgres_health.py",
    "tests/net/test_postgres_return.py",
    "tests/net/test_postgres_sync.py",
    "tests/net/test_drill_writes.py",
)
LOGS = "tests/net/test_postgres_proof.py"
"""Reads both logs with the version's own pg_waldump."""
EXIT_USAGE = 64


def main() -> None:
    """Arguments: the version, and a command other than the tests; ends as that does."""
    version, *own = sys.argv[1:] or [""]
    if version not in map(str, VERSIONS):
        sys.stderr.write(f"VERSION is one of {', '.join(map(str, VERSIONS))}\n")
        sys.exit(EXIT_USAGE)
    every = TESTS if int(version) in SERVER_ALONE else (*TESTS, LOGS)
    tests = [sys.executable, "-m", "pytest", "-v", *every]
    command = [*DIE_WITH_US, *laid_out(int(version), own or tests)]
    environment = os.environ | {"POSTGRES": version}
    sys.exit(subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode)  # noqa: S603  # ours


if __name__ == "__main__":
    main()
