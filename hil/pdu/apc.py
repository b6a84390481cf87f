# SPDX-License-Identifier: GPL-2.0-or-later
"""An APC AP8641: switched, each outlet measured, AOS 6.9.6.

Source: APC user guides of AP86xx and AP89xx, chapter "Command Line Interface" (log-in, error
codes, olOff, olOn, olReboot, olStatus, olReading, about); a captured log-in screen and a captured
`about` of AOS 6.9.6 cards.
"""

from __future__ import annotations

from typing import Protocol

from hil.pdu.console import Console
from hil.pdu.serve import serve

_RULE = "-" * 79 + "\r\n"
_BANNER = (
    "\r\n\r\nSchneider Electric                      Network Management Card AOS      v6.9.6\r\n"
    f"(c) Copyright 2020 All Rights Reserved  RPDU 2g APP                      v6.9.6\r\n{_RULE}"
    "Name      : apc9943CD                                 Date : 08/21/2021\r\n"
    "Contact   : Unknown                                   Time : 23:03:49\r\n"
    "Location  : Unknown                                   User : Super User\r\n"
    f"Up Time   : 0 Days 0 Hours 0 Minutes                  Stat : P+ N4+ N6+ A+\r\n{_RULE}"
    "\r\n\r\nType ? for command listing\r\n"
    "Use tcpip command for IP address(-i), subnet(-s), and gateway(-g)\r\n\r\n"
)
SUCCESS = "E000: Success\r\n"
NOT_FOUND = "E101: Command Not Found\r\n"
PARAMETER = "E102: Parameter Error\r\n"
LOAD_A = 0.8
"""What a machine draws that is on."""


class Apc(Console):
    """Its console. Commands are not case sensitive, an order takes a list of outlets."""

    prompt = b"\r\napc>"
    name_prompt = b"\r\nUser Name : "
    password_prompt = b"Password  : "
    password_echo = b"*"
    serial = "ZA1246002369"
    metered = True

    def banner(self) -> bytes:
        """The log-in screen."""
        return _BANNER.encode()

    def answer(self, command: str) -> bytes | None:
        """What the guide says of each."""
        verb, *arguments = command.split()
        match verb.lower(), arguments:
            case (("exit" | "quit" | "bye"), []):
                return None
            case "about", []:
                text = self._about()
            case "olstatus", [which]:
                text = self._each(which, self._state)
            case "olreading", [which, "current"] if self.metered:
                text = self._each(which, self._amperes)
            case ("oloff" | "olon" | "olreboot") as action, [which]:
                text = self._order(action, which)
            case (("about" | "olstatus" | "oloff" | "olon" | "olreboot"), _):
                text = PARAMETER
            case _:
                text = NOT_FOUND
        return text.encode()

    def _outlets(self, which: str) -> list[int]:
        """A number, a list of them, or all; [] if it is nothing of the kind."""
        if which.lower() == "all":
            return list(self.relays.on)
        parts = which.split(",")
        if not all(part.isdecimal() and int(part) in self.relays.on for part in parts):
            return []
        return [int(part) for part in parts]

    def _each(self, which: str, tell: _Tell) -> str:
        listed = [o for o in self._outlets(which) if o not in self.faults.unlisted]
        rows = "".join(f"{outlet:2}: Outlet {outlet}: {tell(outlet)}\r\n" for outlet in listed)
        return SUCCESS + rows if listed else PARAMETER

    def _state(self, outlet: int) -> str:
        pending = "*" if outlet in self.pending else ""
        return self.word(outlet, "On", "Off") + pending

    def _amperes(self, outlet: int) -> str:
        return f"{LOAD_A if self.relays.on[outlet] else 0.0:.1f} A"

    def _order(self, action: str, which: str) -> str:
        outlets = self._outlets(which)
        if not outlets:
            return PARAMETER
        self.switch(outlets, on=action == "olon")
        if action == "olreboot":
            self.later(5.0, lambda: self.switch(outlets, on=True))
        return SUCCESS

    def _about(self) -> str:
        return (
            f"{SUCCESS}Hardware Factory\r\n---------------\r\nModel Number:           AP8641\r\n"
            f"Serial Number:          {self.serial}\r\nHardware Revision:      05\r\n"
            "Manufacture Date:       11/05/2012\r\nMAC Address:            00 C0 B7 99 43 CD\r\n"
            "Management Uptime:      0 Days 0 Hours 19 Minutes\r\n\r\n"
            "Application Module\r\n---------------\r\nName:                   rpdu2g\r\n"
            "Version:                v6.9.6\r\n"
        )


class _Tell(Protocol):
    def __call__(self, outlet: int) -> str: ...


if __name__ == "__main__":
    serve(Apc)
