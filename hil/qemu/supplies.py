# SPDX-License-Identifier: GPL-2.0-or-later
"""The power outlets of a server: two supplies, a PDU with a serial console, which the peer has.

A server, and its BMC with it, lose their power when both outlets are off, and have it again when
one is on.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Self

from hil.pair import PASSWORD
from hil.pdu.makes import MAKES

OUTLETS = (1, 2)
APC = "apc"
"""The usual make."""


class Supplies:
    """The PDU of one server, from `with` to its end."""

    def __init__(
        self,
        path: Path,
        *,
        pull: Callable[[], object],
        plug: Callable[[], object],
        told: Callable[[str], object] | None = None,
        make: str = APC,
    ) -> None:
        """Prepare.

        Args:
            path: Where the PDU's serial line appears.
            pull: Cuts the power of the server and of its BMC.
            plug: Gives it back.
            told: Hears every command that it is given.
            make: Of the PDU: a name in MAKES.
        """
        self._pull = pull
        self._plug = plug
        of = MAKES[make]
        account = (of.user, PASSWORD)
        self.pdu = of.emulator(path, account=account, outlets=8, on_change=self._on_change)
        """The emulator, with faults on demand."""
        self.pdu.on_command = told
        self.fed = True
        """Whether power comes out of it."""

    def __enter__(self) -> Self:
        self.pdu.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.pdu.__exit__()

    def _on_change(self, outlet: int, on: bool) -> None:  # noqa: FBT001  # the form of OnChange
        if outlet not in OUTLETS:
            return
        fed = on or any(self.pdu.relays.on[number] for number in OUTLETS)
        if fed is not self.fed:
            self.fed = fed
            (self._plug if fed else self._pull)()
