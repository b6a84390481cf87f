# SPDX-License-Identifier: GPL-2.0-or-later
"""Which piece of hardware an interface is, as the kernel's device tree has it."""

from __future__ import annotations

import re
from pathlib import Path

SYSFS = Path("/sys")
_PCI = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")


def ports(interface: str, sysfs: Path = SYSFS) -> frozenset[Path] | None:
    """Devices that carry an interface: of a bond or a VLAN those below it.

    Returns:
        Their places in the device tree; None if some has none (a veth, a tunnel).
    """
    folder = sysfs / "class/net" / interface
    lower = sorted(path.name.removeprefix("lower_") for path in folder.glob("lower_*"))
    if lower:
        found: frozenset[Path] = frozenset()
        for name in lower:
            below = ports(name, sysfs)
            if below is None:
                return None
            found |= below
        return found
    device = folder / "device"
    return frozenset({device.resolve()}) if device.exists() else None


def shared_card(one: frozenset[Path], other: frozenset[Path]) -> str:
    """What two interfaces have in common, so that it takes both with it; "" for nothing."""
    for mine in one:
        for its in other:
            if mine == its:
                return f"the same device {mine.name}"
            slots = _slots(mine), _slots(its)
            if not all(slots):
                continue
            if slots[0][-1] == slots[1][-1]:
                return f"ports of one PCI card, {slots[0][-1]}"
            if len(slots[0]) > 1 and slots[0][0] == slots[1][0]:
                return f"behind one PCI port, {slots[0][0]}"
    return ""


def _slots(device: Path) -> list[str]:
    """The PCI devices on the way to it, root port first, without their functions.

    Functions of one device are one chip. Source: PCI Local Bus 3.0, 3.2.2.3.
    """
    return [part.partition(".")[0] for part in device.parts if _PCI.fullmatch(part)]
