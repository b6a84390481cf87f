# SPDX-License-Identifier: GPL-2.0-or-later
"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SocketOption = Annotated[
    Path,
    typer.Option("--socket", envvar="HAAGENT_SOCKET", help="Control socket of the agent."),
]
NodeOption = Annotated[
    str | None, typer.Option("--node", help="Name of this node; the host name if left out.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

DEFAULT_SOCKET = Path("/run/haagent/control.sock")
DEFAULT_CONFIG = Path("/etc/haagent/haagent.toml")
