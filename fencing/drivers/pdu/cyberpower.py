# SPDX-License-Identifier: GPL-2.0-or-later
"""CyberPower PDU41xxx and PDU81xxx.

Source: captures of a PDU41002, firmware 1.3.4 (rickmellor/benchctrl, tests/fixtures/pdu41002 and
KNOWN_LIMITATIONS F-9 to F-12); "Intelligent PDU User Guide" K01-E000003-04, command lists.
An order is answered with the prompt and nothing else, whether or not the outlet moves.
"""

from __future__ import annotations

from fencing.drivers.pdu.dialect import Dialect, Query

DIALECT = Dialect(
    name="cyberpower",
    prompt=r"CyberPower >",
    login=r"Login Name ?:",
    password=r"Login Password ?:",  # noqa: S106  # a prompt
    welcome=r"Welcome |^CyberPower System",
    logout="exit",
    login_answer_s=16.0,  # A refusal takes up to 15 s.
    refuses_after_session_s=15.0,
    off="oltctrl index {outlet} act off",
    on="oltctrl index {outlet} act on",
    status="oltsta show",
    row=r"^[ \t]*(?P<outlet>\d{1,2})[ \t]+(?:.*[ \t])?(?P<state>[A-Za-z]\S*)[ \t]*$",
    refused=r"^[ \t]*(?:Error : .*|Index number must .*)$",
    delay=Query(
        command="oltcfg index all show",
        row=r"^[ \t]*(?P<outlet>\d{1,2})[ \t].*\d+ s[ \t]+(?P<value>\d+) s[ \t]+\d+ s[ \t]*$",
    ),
    serial=Query(command="sys show", row=r"^[ \t]*MAC Address : (?P<value>[0-9A-Fa-f-]{17})"),
)
