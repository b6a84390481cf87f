# SPDX-License-Identifier: GPL-2.0-or-later
"""The web side of a server's BMC: Redfish, whose orders switch the same power as those of IPMI."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from hil.namespaces import within
from hil.pair import BMC_USER, PASSWORD
from hil.power import Powered, PowerSwitch
from hil.redfish.bmc import RedfishBmc
from hil.redfish.certificates import Authority
from hil.redfish.machine import Faults, Machine

PORT = 443


@dataclass(slots=True, kw_only=True)
class _Behind(Machine):
    """The server as its BMC sees it. What can be wrong with its orders is the switch's matter."""

    switch: PowerSwitch
    server: Powered

    def state(self) -> str:
        """What the BMC says of it."""
        return "On" if self.switch.obey("get power") == "power:1" else "Off"

    def order(self, reset_type: str, faults: Faults) -> bool:
        """Carry out a reset type; False if it is so already."""
        del faults
        was_on, on = self.server.is_on, reset_type in ("On", "ForceOn")
        self.switch.obey(f"set power {int(on)}")
        return was_on is not on


class Redfish:
    """One such door, closed at first."""

    def __init__(
        self, address: str, identity: UUID, authority: Authority, *, network_pid: int
    ) -> None:
        """Prepare.

        Args:
            address: Where it will listen.
            identity: The system UUID that it tells.
            authority: Signs what it shows.
            network_pid: A process in the network of that address.
        """
        self._address, self._identity = address, identity
        self._authority = authority
        self._network_pid = network_pid
        self._bmc: RedfishBmc | None = None

    @property
    def bmc(self) -> RedfishBmc:
        """The emulator, with faults on demand; its machine's are the switch's matter."""
        assert self._bmc is not None, "it was never offered"
        return self._bmc

    def offer(self, face: str, switch: PowerSwitch, server: Powered) -> None:
        """Open it, as some maker has it."""
        certificate = self._authority.issue((self._address,))
        bmc = RedfishBmc(certificate, face=face, address=self._address, port=PORT)
        bmc.user, bmc.password = BMC_USER, PASSWORD
        bmc.machines = {bmc.face.system: _Behind(self._identity, switch=switch, server=server)}
        self._bmc = bmc
        self.start()

    def start(self) -> None:
        """Open it again, if it was ever offered."""
        if self._bmc is not None:
            within(self._network_pid, self._bmc.start)

    def expire(self) -> None:
        """Have it show a certificate that ended yesterday, and begin anew."""
        self.bmc.show(self._authority.issue((self._address,), days=-1))
        self.bmc.restart()

    def stop(self) -> None:
        """Close it, in mid answer; that it was closed already is no error."""
        if self._bmc is not None:
            self._bmc.stop()
