# SPDX-License-Identifier: GPL-2.0-or-later
"""A pair that is ready, kept: a scenario goes on from there in seconds in place of booting it.

Both servers are stopped at one moment and go on at one moment, so for their monotonic clocks no
time has passed, and nobody here looks at the others. What is not kept are the BMCs: the agents find
their sessions gone, as after a restart of a BMC, and log in anew.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from hil.pair import NODES
from hil.processes import ROOT, run
from hil.qemu import cache
from hil.qemu.accelerator import accelerator
from hil.qemu.configuration import Settings
from hil.qemu.guest import Guest
from hil.qemu.image import Image
from hil.qemu.lab import VirtualLab
from hil.qemu.proof import ready
from hil.qemu.supplies import APC

_DECIDES = ("hardware.py", "guest.py", "saved.py", "configuration.py")
"""What a saved state fits to, beside the image: the servers' hardware."""


READY_LIMIT_S = 300.0
"""Two agents that start at once under emulation take half a minute each to be loaded alone."""
LENIENT = Settings(extra='[watchdog]\ntimeout = "60s"')
"""A server whose agent dies waits for the next one: emulated, that one is loaded for half a minute.

On metal it is back within a second, long before the usual 10 s.
"""


def booted(image: Image) -> Path:
    """The directory with disks and states of a booted pair of this image, as scenarios want it."""
    return kept("booted", image, partial(_configure, Settings()))


def lenient(image: Image) -> Path:
    """Another such pair, LENIENT."""
    return kept("booted.lenient", image, partial(_configure, LENIENT), [repr(LENIENT).encode()])


def kept(
    kind: str,
    image: Image,
    prepare: Callable[[VirtualLab], object],
    inputs: Iterable[bytes] = (),
) -> Path:
    """The directory with disks and states of a booted pair of this image.

    Args:
        kind: Its kind in the cache.
        image: What the servers boot from.
        prepare: Makes the booted pair what it is to be, and returns when it is.
        inputs: What decides this, beside the image and the hardware.
    """
    modules = (ROOT / "hil/qemu" / name for name in _DECIDES)
    version = run(["qemu-system-x86_64", "--version"]).stdout
    processor = " ".join(accelerator(image.kernel, image.initrd))
    parts = [str(image).encode(), version.encode(), processor.encode(), *cache.tree(*modules)]
    return cache.built(kind, [*parts, *inputs], lambda path: _boot(image, path, prepare))


def resumed(image: Image, *, make: str = APC) -> VirtualLab:
    """A pair whose servers, at their first power on, are booted already.

    With PDUs of another make, its agents have to be told of that.
    """
    return going_on(image, booted(image), make=make)


def going_on(image: Image, state: Path, *, make: str = APC) -> VirtualLab:
    """A pair whose servers, at their first power on, go on from a state that was kept."""

    def furnish(guest: Guest) -> None:
        guest.make_disk(state / f"{guest.name}.qcow2", "qcow2")
        guest.resume = state / f"{guest.name}.state"

    return VirtualLab(image, furnish=furnish, make=make)


def _configure(settings: Settings, lab: VirtualLab) -> None:
    lab.configure(settings)
    ready(lab, limit_s=READY_LIMIT_S)


def _boot(image: Image, directory: Path, prepare: Callable[[VirtualLab], object]) -> None:
    with VirtualLab(image) as lab:
        guests = [lab.machines[name] for name in NODES]
        at_ns = lab.power_on()
        for guest in guests:
            guest.wait_up(at_ns)
            # Whatever is still being done would be done again after every resumption.
            guest.run("systemctl", "is-system-running", "--wait", check=False)
        prepare(lab)
        for guest in guests:
            guest.run("sync")
            guest.ssh.close()
        for guest in guests:
            guest.freeze()
        for guest in guests:
            guest.save(directory / f"{guest.name}.state")
            guest.power_off()
            shutil.move(guest.server.disk, directory / f"{guest.name}.qcow2")
