# SPDX-License-Identifier: GPL-2.0-or-later
"""`make hil-shell`: a pair of virtual servers, running, and a shell beside them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

from hil.namespaces import inside
from hil.network import VIP
from hil.pair import BMC_USER, PASSWORD, bmc_address
from hil.qemu.image import image
from hil.qemu.lab import VirtualLab
from hil.qemu.proof import ready
from hil.qemu.saved import resumed

EXIT_NOT_ROOT = 77
_PROMPT = "hil"


def leave(number: int, _: FrameType | None) -> NoReturn:
    """A signal ends this by the ordinary way out, which cleans up; a second one is ignored."""
    for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(other, signal.SIG_IGN)
    raise SystemExit(128 + number)


def leave_in_order() -> None:
    """From now on, whatever signal ends this cleans up first."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)


def describe(lab: VirtualLab) -> str:
    """What a person needs to get at everything."""
    lines = [f"The pair runs. Its address is {VIP}; this shell is in its networks."]
    for name, guest in lab.machines.items():
        ipmi = f"ipmitool -I lanplus -C 3 -H {bmc_address(name)} -U {BMC_USER} -P {PASSWORD}"
        lines += [
            f"{name}:",
            f"  shell    {name}",
            f"  console  less +F {guest.server.console}",
            f"  BMC      {ipmi} -L OPERATOR chassis power status",
            f"  QEMU     {guest.server.qmp.parent}",
        ]
    return "\n".join([*lines, "Leaving the shell ends all of it.", ""])


def write_logins(lab: VirtualLab, directory: Path) -> None:
    """Make each server's name a command that logs in there, or runs a command there."""
    directory.mkdir()
    for name, guest in lab.machines.items():
        script = directory / name
        script.write_text(f'#!/bin/sh\nexec {guest.ssh.command_line()} "$@"\n')
        script.chmod(0o755)


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def main() -> None:
    """Until the person leaves the shell."""
    if os.geteuid() != 0:
        sys.stderr.write("hil: virtual servers need root, for their networks\n")
        raise SystemExit(EXIT_NOT_ROOT)
    leave_in_order()
    with resumed(image()) as lab:
        _say("The servers get power.\n")
        lab.power_on()
        ready(lab)
        write_logins(lab, lab.directory / "bin")
        _say(describe(lab))
        path = f"{lab.directory / 'bin'}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "PS1": f"{_PROMPT}> "}
        # Ctrl-C is for what runs in the shell; to ignore it would make that ignore it, too.
        signal.signal(signal.SIGINT, lambda *_: None)
        shell = subprocess.Popen(  # noqa: S603  # our own literals
            [*inside(lab.operator_pid), "sh", "-i"], env=environment
        )
        try:
            shell.wait()
        finally:
            shell.kill()
            shell.wait()


if __name__ == "__main__":
    main()
