# SPDX-License-Identifier: GPL-2.0-or-later
"""`haagent` and `python -m haagent`: the command line, from which the agent itself is run.

haagent/cli/app.py has the commands; `haagent run` hands the configuration to haagent/agent.py.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command that the arguments name; ends the process with its exit code."""
    if not __debug__:
        sys.exit("haagent: will not run with assertions off (python -O): they guard its safety")
    # Imported late, so that the refusal above comes before anything else can happen.
    from haagent.cli.app import app  # noqa: PLC0415

    app(prog_name="haagent")


if __name__ == "__main__":
    main()
