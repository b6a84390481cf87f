# SPDX-License-Identifier: GPL-2.0-or-later
"""A Raritan PX3-5466V: switched, each outlet measured, some outlets with a name.

Source: captures of `show outlets all`, `show outlets 8 details` and `show pdu details` of a
RackLink P920R, which has the same command line, byte for byte where they are; fence_raritan_px3
(question, outlets without a name, groups); PX3 user guides (prompts, /y, power outlets, several
outlets at once, all). The words after the caret of a refusal are not known, only that they name a
label.
"""

from __future__ import annotations

from hil.pdu.console import Console
from hil.pdu.serve import serve

NAMES = {2: "Test", 3: "HP Switch: core"}
"""One of them with the colon that ends a name."""
LOAD_A = 0.713
_REST = (
    "RMS Voltage:        119 V (normal)\r\nLine Frequency:     60.0 Hz (normal)\r\n"
    "Active Power:       {watts} W (normal)\r\nApparent Power:     {watts} VA (normal)\r\n"
    "Power Factor:       --- (no reading)\r\nActive Energy:      413682 Wh (normal)\r\n\r\n"
    "Cycling power off period: PDU defined (5 s)\r\nNon critical:             False\r\n\r\n"
    "Receptacle type:   NEMA 5-20R\r\nRated current:     16 A\r\n"
    "Operating voltage: 100-150 V\r\n\r\n"
)
_PDU = (
    "PDU 'My PDU'\r\nModel:            PX3-5466V\r\nFirmware Version: 3.6.0.5-46706\r\n"
    "Serial Number:    {serial}\r\nBoard Revision:   0x10\r\n\r\n"
    "Relay behavior on power loss:     Latching\r\n"
    "Trip cause outlet handling:       Keep unchanged\r\n"
    "Power cycle delay:                5 seconds\r\n\r\n"
)


class Raritan(Console):
    """Its console."""

    prompt = b"[My PDU] # "
    name_prompt = b"Username: "
    password_prompt = b"Password: "
    serial = "QKB7300042"
    metered = True
    knows_y = True
    """Whether `/y` spares the question."""

    _asked: tuple[list[int], str] = ([], "")

    def banner(self) -> bytes:
        """Said to whoever logs in."""
        return b"\r\nWelcome to PX3 CLI!\r\nLast login: 2026-11-24 02:15:01 CET\r\n\r\n"

    def answer(self, command: str) -> bytes | None:
        """The commands that were captured, and orders with all that may be named in them."""
        match command.split():
            case ["exit"]:
                return None
            case ["show", "pdu", "details"]:
                text = _PDU.format(serial=self.serial)
            case ["show", "outlets", which]:
                text = "".join(f"{self._state(o)}\r\n" for o in self._labels(which))
            case ["show", "outlets", which, "details"]:
                text = "".join(self._details(o) for o in self._labels(which))
            case ["power", "outlets", which, ("on" | "off" | "cycle") as action, *sure]:
                return self._order(command, self._labels(which), action, sure == ["/y"])
            case _:
                return b"Unknown command.\r\n"
        return text.encode() or _refusal(command)

    def reply(self, question: bytes, line: str) -> bytes:
        """`y` carries it out."""
        assert question
        if line == "y":
            self._switch(*self._asked)
        return b""

    def _labels(self, which: str) -> list[int]:
        """Outlets by number, by several numbers, by a range, or all."""
        if which == "all":
            return self.listed()
        found: list[int] = []
        for part in which.split(","):
            low, _, high = part.partition("-")
            if not low.isdecimal() or not (high or low).isdecimal():
                return []
            found += range(int(low), int(high or low) + 1)
        return found if set(found) <= set(self.listed()) else []

    def _state(self, outlet: int) -> str:
        name = f" - {NAMES[outlet]}" if outlet in NAMES else ""
        return f"Outlet {outlet}{name}:\r\nPower state: {self.word(outlet, 'On', 'Off')}\r\n"

    def _details(self, outlet: int) -> str:
        amperes = LOAD_A if self.relays.on[outlet] else 0.0
        current = f"RMS Current:        {amperes:.3f} A (normal)\r\n" if self.metered else ""
        return f"{self._state(outlet)}\r\n{current}{_REST.format(watts=int(amperes * 119))}"

    def _order(self, command: str, outlets: list[int], action: str, sure: bool) -> bytes:  # noqa: FBT001  # what the command says
        if not outlets:
            return _refusal(command)
        if sure and self.knows_y:
            self._switch(outlets, action)
            return b""
        which = f"outlet {outlets[0]}" if len(outlets) == 1 else f"{len(outlets)} outlets"
        act = "cycle {}?" if action == "cycle" else f"turn {{}} {action}?"
        self.question = f"Do you wish to {act.format(which)} [y/n] ".encode()
        self._asked = (outlets, action)
        return b""

    def _switch(self, outlets: list[int], action: str) -> None:
        self.switch(outlets, on=action == "on")
        if action == "cycle":
            self.later(5.0, lambda: self.switch(outlets, on=True))


def _refusal(command: str) -> bytes:
    return f"{' ' * len(command.split(maxsplit=2)[0])}^\r\nInvalid outlet label.\r\n".encode()


if __name__ == "__main__":
    serve(Raritan)
