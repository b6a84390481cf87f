# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands for the system that the agent lives in: `install`, and `tidy`, which its unit runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from haagent.cli import asking, client
from haagent.cli.loading import places_or_exit
from haagent.cli.options import DEFAULT_CONFIG, NodeOption
from haagent.cli.verdict import Exit
from haagent.errors import EdgeError

PACKAGED = Path("usr/lib/systemd/system/haagent.service")
TOLD = (("systemctl", "daemon-reload"), ("udevadm", "control", "--reload"))
"""Who reads the files only when told to."""
MADE = (("systemd-sysusers",), ("systemd-tmpfiles", "--create", "haagent.conf"))
"""Group and folders, which would else be made by the next boot. They stay, as they may be used."""
TIDY_TIMEOUT_S = 2.0


def add_to(app: typer.Typer) -> None:
    """Make these commands of an application."""
    app.command()(install)
    app.command()(tidy)


def install(
    *,
    root: Annotated[
        Path, typer.Option("--root", help="Lay them below this folder, and start nothing.")
    ] = Path("/"),
    remove: Annotated[bool, typer.Option("--remove", help="Take them away again.")] = False,
) -> None:
    """Lay unit, udev rules, group and links for an environment that pip has made.

    Only for such: the Debian package brings them along. Nothing is enabled or started.
    Exit codes: 0 done, 1 refused or failed.
    """
    from haagent.install import Owner, lay, take_away  # noqa: PLC0415 reads files of its own

    if (root / PACKAGED).exists():
        asking.fail(f"{root / PACKAGED}: the package has laid everything", Exit.DEGRADED)
    work = take_away if remove else lay
    try:
        for path in work(Owner.ADMINISTRATOR, root=root, environment=Path(sys.prefix)):
            typer.echo(f"{'removed' if remove else 'laid'} {path}")
    except EdgeError as error:
        asking.fail(str(error), Exit.DEGRADED)
    if root == Path("/"):
        _activate(TOLD if remove else MADE + TOLD)


def tidy(
    config: Annotated[
        Path, typer.Option("--config", help="The configuration file.")
    ] = DEFAULT_CONFIG,
    node: NodeOption = None,
) -> None:
    """Remove virtual addresses that this node does not hold, when no agent runs.

    Those of a group that it holds stay: the next agent takes them up. No key or password is read.
    Exit codes: 0 none is left, 1 refused or failed, 78 the configuration is refused.
    """
    from haagent.tidy import tidy as remove  # noqa: PLC0415 pyroute2 is large

    places = places_or_exit(config, node)
    if _runs(places.control_socket):
        asking.fail("an agent runs here, and looks after its addresses itself", Exit.DEGRADED)
    try:
        removed = remove(places)
    except EdgeError as error:
        asking.fail(str(error), Exit.DEGRADED)
    for vip in removed:
        typer.echo(f"removed {vip.address} from {vip.interface}")


def _runs(socket: Path) -> bool:
    """Whether anything like an agent is at the socket, also one that does not answer in time."""
    try:
        client.ask(socket, {"verb": "status"}, TIDY_TIMEOUT_S)
    except client.NotRunningError:
        return False
    except EdgeError:
        return True
    return True


def _activate(commands: Iterable[tuple[str, ...]]) -> None:
    """Let what runs already know of the files; what is not installed or does not run is left."""
    running = Path("/run/systemd/system").is_dir()
    for command in commands:
        if shutil.which(command[0]) is None or (command[0] == "systemctl" and not running):
            continue
        # A container has no udev to talk to, and needs none.
        done = subprocess.run(  # noqa: S603  # literals
            command, env=os.environ | {"LC_ALL": "C.UTF-8"}, capture_output=True, check=False
        )
        if done.returncode and command[0] != "udevadm":
            typer.echo(f"{' '.join(command)}: failed with {done.returncode}", err=True)
