# SPDX-License-Identifier: GPL-2.0-or-later
"""Server Technology Sentry: a Switched CDU with firmware 7, a Switched PDU with firmware 8.

Source: installation and operations manuals (status, on, off, reboot, the table of both states,
16 outlets and then a question); powerman's sentry_cdu.dev (prompts, `More (Y/es N/o)`, `y` and what
follows it); fence_cdu (a row, "Command successful"). The words of a refusal are not known.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hil.pdu.console import Console
from hil.pdu.outlets import OnChange
from hil.pdu.serve import serve

_HEAD = (
    "\r\n\r\n   Outlet   Outlet                     Outlet     Control\r\n"
    "   ID       Name                       State      State\r\n\r\n"
)
_DONE = "\r\n   Command successful\r\n\r\n"
_REBOOT_S = 15.0


@dataclass
class SentryStates:
    """What else the status may say."""

    controls: dict[int, str] = field(default_factory=dict)
    """The control state of an outlet, whatever it was told last."""
    nameless: frozenset[int] = frozenset()


class Cdu(Console):
    """Its console. Commands and outlets are not case sensitive; an order may name several."""

    prompt = b"Switched CDU: "
    name_prompt = b"Username: "
    password_prompt = b"Password: "
    password_echo = b"*"
    page_prompt = b"More (Y/es N/o): "
    tower = ".AA"
    other_tower = ".AB"
    """Its outlets have the same numbers; all of them are on, always."""
    version = "Sentry Switched CDU Version 7.1c"

    def __init__(
        self,
        path: Path,
        *,
        account: tuple[str, str] = ("", ""),
        outlets: int = 8,
        on_change: OnChange | None = None,
        baud: int = 9600,
    ) -> None:
        super().__init__(path, account=account, outlets=outlets, on_change=on_change, baud=baud)
        self.states = SentryStates()
        self.others_ordered: list[str] = []
        """Orders to the other tower."""
        self._told: dict[int, str] = {}

    def banner(self) -> bytes:
        """Said to whoever logs in."""
        return f"\r\n\r\n{self.version}\r\n\r\n   Location: \r\n\r\n".encode()

    def refused(self) -> bytes:
        """Said before the name is asked again."""
        return b"\r\n   Access denied\r\n\r\n"

    def answer(self, command: str) -> bytes | None:
        """What the manuals say of each."""
        verb, _, which = command.partition(" ")
        rows = self._rows(which.upper().replace(",", " ").split())
        match verb.lower():
            case "logout" | "quit" | "exit":
                return None
            case _ if not rows:
                return b"\r\n\r\n   Outlet name not found\r\n\r\n"
            case "on" | "off" | "reboot":
                self._order(verb.lower(), rows)
            case "status":
                pass
            case _:
                return b"\r\n\r\n   Command not valid\r\n\r\n"
        return (_HEAD + "".join(map(self._row, rows)) + _DONE).encode()

    def _rows(self, names: list[str]) -> list[tuple[str, int]]:
        known = [
            (tower, outlet) for tower in (self.tower, self.other_tower) for outlet in self.listed()
        ]
        if names in ([], ["ALL"]):
            return known
        found = [row for row in known if f"{row[0]}{row[1]}" in names]
        return found if len(found) == len(names) else []

    def _order(self, verb: str, rows: list[tuple[str, int]]) -> None:
        ours = [outlet for tower, outlet in rows if tower == self.tower]
        self.others_ordered += [f"{t}{o}" for t, o in rows if t == self.other_tower]
        self._told |= dict.fromkeys(ours, verb.capitalize())
        self.switch(ours, on=verb == "on")
        if verb == "reboot":
            self.later(_REBOOT_S, lambda: self.switch(ours, on=True))

    def _row(self, row: tuple[str, int]) -> str:
        tower, outlet = row
        name = "" if outlet in self.states.nameless else f"Tower{tower[-2]}_Outlet{outlet}"
        if tower == self.other_tower:
            state = control = "On"
        else:
            state = self.word(outlet, "On", "Off")
            told = self._told.get(outlet, "On" if self.relays.on[outlet] else "Off")
            control = self.states.controls.get(outlet, told)
        return f"   {f'{tower}{outlet}':<9}{name:<27}{state:<11}{control}\r\n"


class Pdu(Cdu):
    """Firmware 8: no dot before the name of an outlet."""

    prompt = b"Switched PDU: "
    tower = "AA"
    other_tower = "BA"
    version = "Sentry Switched PDU Version 8.0k"


if __name__ == "__main__":
    serve(Cdu)
