# SPDX-License-Identifier: GPL-2.0-or-later
"""Raritan PX2 and PX3, and other PDUs with their firmware (Xerus).

An order asks "Do you wish to turn outlet 5 off? [y/n]" unless it ends with `/y`; firmware that
asks all the same is answered. An outlet takes two lines of `show outlets`, the first with its name
if it has one. `show outlets 8 details` has the current of models that measure each outlet, "---"
where there is no reading. The user of a role without rights gets `>` in place of `#`.

Source: PX3 user guides 3.1 and 3.5 ("Using the Command Line Interface": prompts, power outlets,
/y, show outlets); fence_raritan_px3 of ClusterLabs, tested on a PX3-5466V (question, forms with
and without a name); captures of `show outlets all`, `show outlets 8 details` and `show pdu details`
of a RackLink P920R, firmware 2.2.0, with this command line (prompt `[name] # `, current, serial).
What it says to an outlet that does not exist is known in part: a caret under it, then a line.
"""

from __future__ import annotations

from fencing.drivers.pdu.dialect import Dialect, Query

DIALECT = Dialect(
    name="raritan",
    prompt=r"(?:\[[^\]\n]*\] ?)?[#>]",
    login=r"Username:",
    password=r"Password:",  # noqa: S106  # a prompt
    logout="exit",
    off="power outlets {outlet} off /y",
    on="power outlets {outlet} on /y",
    status="show outlets all",
    row=r"^Outlet (?P<outlet>\d{1,2})(?: - .*)?:.*\nPower state:(?P<state>.*)$",
    refused=r"(?<=\^\n).+$|^(?:Error|Unknown|Invalid|Access denied|Permission denied)\b.*$",
    confirm=r"Do you wish to turn outlet \d{1,2} (?:on|off)\? \[y/n\]",
    current=Query(
        command="show outlets {outlet} details",
        row=r"^RMS [Cc]urrent:[ \t]*(?P<value>\d+(?:\.\d+)?)[ \t]*A\b",
    ),
    serial=Query(command="show pdu details", row=r"^Serial [Nn]umber:[ \t]*(?P<value>\S+)[ \t]*$"),
    baud=115_200,
)
