# SPDX-License-Identifier: GPL-2.0-or-later
"""A chain of WTI RPS-10: a master and its satellites, one outlet each, addresses from 0.

Source: RPS-10 user's guide, section 4 (the command string, `*`, `T`); stonith's RPS-10 module
(answers); powerman's wti-rps10.dev, which puts two more control characters before a command and is
heard.
What it says to what is no command, or for a module that is not there, is taken to be nothing.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

from hil.pdu.console import RETURN, ConsoleFaults
from hil.pdu.outlets import OnChange, Relays
from hil.pdu.serve import serve
from hil.pdu.terminal import Terminal

_COMMAND = re.compile(rb"\x02\x18\x18\x02\x18\x18([0-9*])([01T?])\Z")
_HEARD_MAX = 64
TOGGLE_S = 5.0


class Rps10(Terminal):
    """The master's serial port. Of the faults those hold that need no login.

    Args:
        path: Where the serial line appears.
        account: Nobody is asked for it.
        outlets: How many modules there are.
        on_change: Told of every outlet that moves.
    """

    def __init__(
        self,
        path: Path,
        *,
        account: tuple[str, str] = ("", ""),
        outlets: int = 10,
        on_change: OnChange | None = None,
        baud: int = 9600,
    ) -> None:
        super().__init__(path, baud=baud)
        del account
        self.relays = Relays(outlets, on_change, first=0)
        self.faults = ConsoleFaults()
        self.commands: list[str] = []
        """Address and operation of each that was understood."""
        self.gap_s = 0.0
        """It hears nothing for so long after its last word."""
        self.unheard = 0
        """Characters that came too early."""
        self._heard = bytearray()
        self._deaf_until_s = 0.0

    def hear(self, character: int) -> None:
        """A return ends a command, if one stands before it."""
        if time.monotonic() < self._deaf_until_s:
            self.unheard += 1
            return
        if character != RETURN:
            self._heard.append(character)
            del self._heard[:-_HEARD_MAX]
            return
        command = _COMMAND.search(bytes(self._heard))
        self._heard.clear()
        if command is not None:
            self._obey(command[1].decode(), command[2].decode())
            self._deaf_until_s = time.monotonic() + self.gap_s

    def _obey(self, address: str, operation: str) -> None:
        self.commands.append(address + operation)
        there = [one for one in self.relays.on if one not in self.faults.unlisted]
        modules = [one for one in there if address in ("*", str(one))]
        if not modules:
            return
        for module in modules:
            for on in {"0": (False,), "1": (True,), "T": (False, True), "?": ()}[operation]:
                self._order(module, on=on, after_s=TOGGLE_S if operation == "T" and on else 0.0)
                self._tell(module, "On" if on else "Off")
            if operation == "?":
                self._tell(module, "On" if self.relays.on[module] else "Off")
        self.say(b"Complete\r\n")

    def _order(self, module: int, *, on: bool, after_s: float) -> None:
        if self.faults.ignores_orders:
            return
        delay_s = after_s + self.faults.own_delay_s
        if delay_s:
            self.later(delay_s, lambda: self.relays.switch([module], on=on))
        else:
            self.relays.switch([module], on=on)

    def _tell(self, module: int, word: str) -> None:
        self.say(f"Plug {module} {self.faults.lies.get(module, word)}\r\n".encode())


if __name__ == "__main__":
    serve(Rps10)
