# SPDX-License-Identifier: GPL-2.0-or-later
"""A node's permission to write to a shared disk: its key in the disk's persistent reservation.

Carried out by fence_scsi or fence_mpath, and told apart from power by everybody who asks
`fencing.drivers.cuts_power`: *off* says that the key is gone, not that the node is. One disk an
entry, because these agents say *on* as soon as one of several disks knows the key.

Source: fence_scsi and fence_mpath of fence-agents 4.12.1; docs/adr/0018.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fencing import DeviceSettings, Inspection, NotSentError
from fencing.drivers.agent import AgentDevice, lacks
from fencing.drivers.metadata import Metadata
from fencing.findings import Trouble

MULTIPLE = frozenset(", \t")
"""Where these agents take one text for several disks."""


class PermissionDevice(AgentDevice):
    """One node's key on one disk.

    `off` removes it, from any node whose own key is there. `on` registers it for the node that it
    runs on, whoever's it is: so only that node itself may order it.
    """

    def __init__(self, settings: DeviceSettings) -> None:
        options = dict(settings.options)
        self._disk, self._key = str(options.pop("disk")), str(options.pop("key"))
        # fence_scsi wants a plug that it does not look at; of fence_mpath it is the key.
        options |= {"devices": self._disk, "key": self._key, "plug": self._key}
        super().__init__(replace(settings, options=options))

    def evidence(self) -> str:
        """Whose key was looked for."""
        said = super().evidence()
        return said and f"key {self._key}, {said}"

    def inspect(self) -> Inspection:
        """Where it is; that it answers is seen by every status."""
        return Inspection(mark=f"{self._disk} {self._key}")

    def _judge(self, program: Path, metadata: Metadata) -> None:
        reasons = lacks(metadata, "on", "off", "status")
        if not metadata.fabric:
            reasons.append('no permission; of what switches power the driver is "agent"')
        if MULTIPLE & set(self._disk):
            raise NotSentError("disk: one of each [[fence]]", Trouble.SETTINGS)
        if reasons:
            raise NotSentError(f"{program.name}: {reasons[0]}", Trouble.UNVERIFIABLE)
