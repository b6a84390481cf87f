# SPDX-License-Identifier: GPL-2.0-or-later
"""How the servers' processors are made: by KVM where it proved itself, else in software.

`/dev/kvm` can be there and open, and still no kernel boots on it, or it hangs for ever: so the
servers' own kernel is booted once, up to the point where it looks for its disk.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from hil.processes import DIE_WITH_US
from hil.qemu import cache

EMULATED = ("-accel", "tcg,thread=multi", "-cpu", "max")
KVM = ("-accel", "kvm", "-cpu", "host")
TRIAL_LIMIT_S = 20.0
"""A kernel gets there in 2 s under a KVM that works; one that does not has been seen to hang."""
_BOOTED = "Unable to mount root fs"
"""What a kernel says that is up and was given nothing to run and no disk."""


def accelerator(kernel: Path, initrd: Path) -> tuple[str, ...]:
    """The arguments for QEMU; the trial is made once for each boot of this machine."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return EMULATED
    this_boot = Path("/proc/sys/kernel/random/boot_id").read_bytes()

    def build(directory: Path) -> None:
        works = boots(KVM, kernel, initrd, directory / "console.log")
        (directory / "works.json").write_text(json.dumps(works))

    tried = cache.built("kvm", [this_boot, str(kernel).encode()], build)
    return KVM if json.loads((tried / "works.json").read_text()) else EMULATED


def boots(
    processor: tuple[str, ...],
    kernel: Path,
    initrd: Path,
    console: Path,
    limit_s: float = TRIAL_LIMIT_S,
) -> bool:
    """Whether a kernel comes to look for its disk on such a processor, within a limit."""
    # It finds none and panics, and so QEMU ends: nothing is left to be killed.
    line = "console=ttyS0 rdinit=/none panic=-1"
    machine = ["qemu-system-x86_64", "-nodefaults", "-display", "none", "-no-reboot", "-m", "512"]
    command = [*DIE_WITH_US, *machine, *processor, "-serial", f"file:{console}"]
    command += ["-kernel", str(kernel), "-initrd", str(initrd), "-append", line]
    with console.with_suffix(".qemu").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603  # our own literals and paths
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        try:
            process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return False
        finally:
            process.kill()
            process.wait()
    return console.exists() and _BOOTED in console.read_text(errors="replace")
