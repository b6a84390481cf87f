# SPDX-License-Identifier: GPL-2.0-or-later
"""A CyberPower PDU41002, firmware 1.3.4.

Source: captures of the real one over its serial console, byte for byte where they are
(rickmellor/benchctrl, tests/fixtures/pdu41002: serial_reads, outlet_switch, errors).
"""

from __future__ import annotations

import re

from hil.pdu.console import Console
from hil.pdu.serve import serve

_BANNER = (
    "CyberPowerSystems Inc., Command Shell v1.0\r\n\r\nWelcome Administrator!\r\n"
    "CyberPower System\r\nePDU Firmware Version    1.3.4           PDU41002\r\n"
    "+------- Information -------------------------------------------------------+\r\n"
    "Name     : PDU                           Date : 2026/08/24\r\n"
    "Contact  : Administrator                 Time : 14:13:07\r\n"
    "Location : Office                        User : Administrator\r\n"
    "Up Time  : 0 days 0 hours 35 mins 07 secs.\r\n\r\n"
    "(c) 2015, CyberPower Systems, Inc. All rights reserved.\r\n"
    "+------- Console -----------------------------------------------------------+\r\n"
)
_RULE = "    " + "-" * 77 + "\r\n"
_VERBS = """devsta devcfg oltsta oltcfg oltctrl schedule date ntp sys dst login admin device
oltuser radius ldap tcpip tcpip6 snmpv1 snmpv3 trap web console ftp eventlog syslog menumode clear
exit"""


class CyberPower(Console):
    """Its console; all outlets cut after `off_delay_s`, three seconds as it is shipped."""

    prompt = b"CyberPower > "
    name_prompt = b"Login Name : "
    password_prompt = b"Login Password : "
    mac = "00-0C-15-42-29-41"
    off_delay_s = 3

    def banner(self) -> bytes:
        """Who made it, and who is logged in."""
        return _BANNER.encode()

    def refused(self) -> bytes:
        """Said before the name is asked again."""
        return b"\r\nLogin Failed\r\n\r\n"

    def answer(self, command: str) -> bytes | None:
        """The few commands that were captured, and the three shapes of its errors."""
        match command.split():
            case ["exit"]:
                return None
            case ["sys", "show"]:
                text = self._system()
            case ["oltsta", "show"]:
                text = self._states()
            case ["oltcfg", "index", "all", "show"]:
                text = self._delays()
            case ["oltsta", "index", index, "show"]:
                text = self._state(index)
            case ["oltctrl", "index", index, "act", action]:
                text = self._control(command, index, action)
            case _:
                verbs = "".join(f"    {verb}\r\n" for verb in _VERBS.split())
                text = f"\n\r             ^\r\nError : Command not found\r\n\r\n{verbs}\r\n"
        return text.encode()

    def _system(self) -> str:
        return (
            "    Name : PDU\r\n    Location : Office\r\n    Contact : Administrator\r\n"
            "    Model : PDU41002\r\n    Hardware Version : 1.2\r\n    Firmware Version : 1.3.4\r\n"
            f"    MAC Address : {self.mac}\r\n\r\n"
        )

    def _states(self) -> str:
        rows = "".join(
            f"    {outlet:<2} {f'Outlet{outlet}':<37}{self.word(outlet, 'On', 'Off'):<4}\r\n"
            for outlet in self.listed()
        )
        return f"\r\n    #  {'Name':<37}Status\r\n{_RULE}{rows}\r\n"

    def _delays(self) -> str:
        rows = "".join(
            f"    {outlet:<2} {f'Outlet{outlet}':<38}3 s        {self.off_delay_s} s       5 s\r\n"
            for outlet in self.relays.on
        )
        head = f"\r\n    #  {'Name':<40}On       Off       Reboot\r\n"
        return f"{head}{'':<45}Delay     Delay     Duration\r\n{_RULE}{rows}\r\n"

    def _state(self, index: str) -> str:
        if index not in map(str, self.relays.on):
            return f"\r\nIndex number must be 1 to {len(self.relays.on)}\r\n\r\n\r\n"
        word = self.word(int(index), "On", "Off")
        name = f"Outlet{index}"
        return f"\r\n    {name}\r\n    Outlet Name : {name}\r\n    Status :      {word}\r\n\r\n"

    def _control(self, command: str, index: str, action: str) -> str:
        outlets = list(self.relays.on) if index == "all" else [int(index or 0)] * index.isdigit()
        if not outlets or outlets[0] not in self.relays.on:
            return f"\r\nIndex number must be 1 to {len(self.relays.on)}\r\n\r\n\r\n"
        if action not in ("on", "off"):
            column = " " * (len(self.prompt) + len(re.sub(r"\S+$", "", command)))
            usage = "act <on | off| reboot| delayon| delayoff| delayreboot| cancel>"
            error = f"Error : Parameter Error\r\n    oltctrl index <outlet index> {usage}\r\n"
            return f"\n\r{column}^\r\n{error}"
        self.faults.own_delay_s = self.off_delay_s if action == "off" else 0
        self.switch(outlets, on=action == "on")
        return "\r\n"


if __name__ == "__main__":
    serve(CyberPower)
