# SPDX-License-Identifier: GPL-2.0-or-later
"""Power switches of Western Telematic: an NPS with names, an older IPS that wants a password only.

Source: VMR/NPS user's guide, sections 9.2 and 9.2.1 (commands, "Sure?", the asterisk); captured
screens of an NPS 2.12 ("Plugs to be turned on", "Processing - Please wait", the status screen) and
of an IPS 1.41d; fence_wti (`login: `, `Password: `, the pager's `Enter: `).
"""

from __future__ import annotations

import re

from hil.pdu.console import Console
from hil.pdu.serve import serve

_RULE = "-----+------------------+-------------+--------+-----------------+---------+\r\n"
_SURE = b"\r\nAre you sure? (Y/N): "


class Nps(Console):
    """A Network Power Switch."""

    prompt = b"\r\nNPS> "
    name_prompt = b"\r\nlogin: "
    password_prompt = b"Password: "
    password_echo = b"*"
    page_prompt = b"Press Enter: "
    title = "Network Power Switch v2.12     Site: (undefined)"
    default = "ON"
    """What the column of the power-up default says."""

    _asked: tuple[str, list[int]] = ("", [])

    def banner(self) -> bytes:
        """The status screen."""
        return self._screen().encode()

    def answer(self, command: str) -> bytes | None:
        """Commands begin with a slash and are not case sensitive."""
        verb, _, rest = command.lower().partition(" ")
        if verb == "/x":
            return None
        if verb == "/s":
            return self._screen().encode()
        if verb in ("/on", "/off", "/boot"):
            which, _, sure = rest.partition(",")
            outlets = self._plugs(which.strip())
            if not outlets:
                return b"\r\nInvalid Plug\r\n"
            if sure.strip() == "y":
                return self._carried_out(verb, outlets)
            self.question = _SURE
            self._asked = (verb, outlets)
            plugs = "".join(f"Plug A{o}: InfeedA_Outlet{o}\r\n" for o in outlets)
            return f"\r\nPlugs to be turned {verb[1:]}\r\n\r\n{plugs}".encode()
        return b"\r\nInvalid Command\r\n"

    def reply(self, question: bytes, line: str) -> bytes:
        """`Y` carries it out, anything else does not."""
        assert question == _SURE
        return self._carried_out(*self._asked) if line.lower() == "y" else self._screen().encode()

    def _plugs(self, which: str) -> list[int]:
        if which in ("*", "all"):
            return list(self.relays.on)
        number = re.fullmatch(r"a?(\d+)", which)
        outlet = int(number[1]) if number else 0
        return [outlet] * (outlet in self.relays.on)

    def _carried_out(self, verb: str, outlets: list[int]) -> bytes:
        self.switch(outlets, on=verb == "/on")
        if verb == "/boot":
            self.later(0.5, lambda: self.switch(outlets, on=True))
        wait = "\r\nProcessing - Please wait or <CR> to continue...\r\n"
        return (wait + self._screen()).encode()

    def _screen(self) -> str:
        rows = "".join(map(self._row, self.listed()))
        head = "Plug | Name             | Password    | Status | Boot/Seq. Delay | Default |\r\n"
        return f"\r\n{self.title}\r\n\r\n{head}{_RULE}{rows}{_RULE}"

    def _row(self, outlet: int) -> str:
        state = self.word(outlet, "ON", "OFF") + ("*" if outlet in self.pending else "")
        name, delay = f"InfeedA_Outlet{outlet}", "    0.5 Secs"
        last = f"{delay:<16}| {self.default:^8}|\r\n"
        return f" {outlet:<4}| {name:<17}| (undefined) | {state:^7}| {last}"


class Ips(Nps):
    """An Internet Power Switch: no user names, names of plugs not defined."""

    prompt = b"\r\nIPS> "
    name_prompt = b""
    password_prompt = b"\r\nPassword: "
    title = "Internet Power Switch v1.41d    Site ID: (undefined)"


if __name__ == "__main__":
    serve(Nps)
