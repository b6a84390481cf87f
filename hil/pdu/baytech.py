# SPDX-License-Identifier: GPL-2.0-or-later
"""BayTech RPC3-NC with 8 outlets, RPC28-NC with two outlets in a line and a habit of dropping.

Source: the screens of powerman's simulator of them (t/simulators/baytech.c: banners, status, help,
"Input error", both prompts), its scripts (what is dropped, what is said to log out), the DS-RPC
owner's manual (outlet 0, the question), stonith's module (`username>`, `password>`, `(Y/N)>`).
"""

from __future__ import annotations

from hil.pdu.console import NEWLINE, RETURN, Console
from hil.pdu.serve import serve

_HELP = '\r\nType "Help" for a list of commands\r\n\r\n'
_INPUT_ERROR = b"Input error\r\n\r\n"


class Rpc3Nc(Console):
    """Its console. Commands are not case sensitive; outlet 0 is all of them, and so is `all`."""

    prompt = b"\r\nRPC3-NC>"
    name_prompt = b"\r\nEnter username>"
    password_prompt = b"Enter password>"
    asks = False
    """Whether commands are to be confirmed."""
    load = (
        "   Average Power:     338 Watts\r\nTrue RMS Voltage:   120.9 Volts\r\n"
        "True RMS Current:     2.9 Amps\r\nMaximum Detected:     4.3 Amps\r\n"
        " Circuit Breaker:       Good\r\n\r\nInternal Temperature:  40.0 C\r\n\r\n\r\n"
    )
    in_a_line = 1

    _asked: tuple[list[int], str] = ([], "")

    def banner(self) -> bytes:
        """Its options."""
        return (
            b"\r\n\r\nRPC3-NC Series\r\n(C) 2002 by BayTech\r\nF4.00\r\n\r\n"
            b"Option(s) Installed:\r\nTrue RMS Current\r\nInternal Temperature\r\n"
            b"True RMS Voltage\r\n\r\n"
        )

    def refused(self) -> bytes:
        """Said before the name is asked again."""
        return b"\r\nInvalid password\r\n"

    def answer(self, command: str) -> bytes | None:
        """An order is answered with the prompt, when it was carried out."""
        verb, _, which = command.lower().partition(" ")
        if verb in ("exit", "logout", "logoff"):
            return None
        if verb == "status":
            return self._status().encode()
        outlets = self._outlets(which)
        if verb not in ("on", "off", "reboot") or not outlets:
            return _INPUT_ERROR
        if self.asks:
            self._asked = (outlets, verb)
            self.question = f"\r\nTurn {verb.capitalize()} Outlet {which} (Y/N)?> ".encode()
            return b""
        return self._order(outlets, verb)

    def reply(self, question: bytes, line: str) -> bytes:
        """`Y` carries it out."""
        assert question
        return self._order(*self._asked) if line.upper() == "Y" else b""

    def _outlets(self, which: str) -> list[int]:
        if which in ("0", "all"):
            return list(self.relays.on)
        number = int(which) if which.isdecimal() else 0
        return [number] * (number in self.relays.on)

    def _order(self, outlets: list[int], verb: str) -> bytes:
        self.switch(outlets, on=verb == "on")
        if verb == "reboot":
            self.later(9.0, lambda: self.switch(outlets, on=True))
        return b""

    def _status(self) -> str:
        cells = [self._cell(outlet) for outlet in self.listed()]
        lines = range(0, len(cells), self.in_a_line)
        rows = "".join("".join(cells[at : at + self.in_a_line]) + "\r\n" for at in lines)
        return f"\r\n\r\n{self.load}{rows}{_HELP}"

    def _cell(self, outlet: int) -> str:
        """Its name, e.g. `Outlet  1`, and its state."""
        state = self.word(outlet, "On ", "Off")
        return f"{outlet:2})...Outlet {outlet:2}       : {state}          "


class OpenRpc3Nc(Rpc3Nc):
    """Without access control, as powerman wants it."""

    name_prompt = b""
    password_prompt = b""


class Rpc28Nc(Rpc3Nc):
    """Loses what comes first in a line, unless the line before it was empty."""

    load = (
        "                    Outlet  1-10         Outlet 11-21 \r\n"
        "   Average Power:     619 Watts     :        5 Watts \r\n"
        "True RMS Voltage:   117.9 Volts     :    118.8 Volts \r\n"
        "True RMS Current:     5.4 Amps      :      0.1 Amps\r\n"
        "Maximum Detected:     6.9 Amps      :      2.8 Amps\r\n"
        " Circuit Breaker:       Good        :        Good  \r\n\r\n"
        "Internal Temperature:  30.0 C\r\n\r\n\r\n"
    )
    in_a_line = 2
    dropped = 0
    """Characters that it lost so far."""

    prompt = b"\r\nRPC-28>"
    _other_prompt = b"\r\nRPC-28A>"
    _to_lose = 0

    def hear(self, character: int) -> None:
        """Drop the first two characters after a line that was not empty; two prompts take turns."""
        if character == RETURN:
            self._to_lose = 2 if self._typed and self.session else 0
            self.prompt, self._other_prompt = self._other_prompt, self.prompt
        elif self._to_lose and self.session and character != NEWLINE and character >= ord(" "):
            self._to_lose -= 1
            self.dropped += 1
            return
        super().hear(character)


class OpenRpc28Nc(Rpc28Nc):
    """Without access control, as powerman wants it."""

    name_prompt = b""
    password_prompt = b""


if __name__ == "__main__":
    serve(Rpc3Nc)
