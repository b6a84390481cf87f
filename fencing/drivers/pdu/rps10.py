# SPDX-License-Identifier: GPL-2.0-or-later
"""Western Telematic (WTI) RPS-10: up to ten modules in a chain, an outlet each, addresses 0 to 9.

There is no console: every command is a fixed "password" of control characters, the address, one
character that says what to do, and a return. It is answered with "Plug 3 Off" and "Complete" and
never echoed, so a garbled address cuts another module and nothing can prevent that: the line should
be short. A module that does not exist does not answer. The master hears the next command 0.5 s
after the last one at 9600 baud; at 2400 it wants 1.5 s, so leave it at 9600. `T` (off, then on
again after 5 or 10 s) and the address `*` (all) are never sent.

Source: RPS-10 user's guide, section 4; the RPS-10 module of Linux-HA's stonith (answers, line ends,
"RPS-10 Ready"); powerman's wti-rps10.dev (pauses).
"""

from __future__ import annotations

from fencing.drivers.pdu.dialect import Dialect

PASSWORD = "\x02\x18\x18\x02\x18\x18"  # noqa: S105  # the same in every RPS-10, and in its guide

DIALECT = Dialect(
    name="rps10",
    prompt=r"Complete\n?",
    off=PASSWORD + "{outlet}0",
    on=PASSWORD + "{outlet}1",
    status=PASSWORD + "{outlet}?",
    row=r"^Plug (?P<outlet>\d) (?P<state>.*)$",
    refused=r"(?!)",  # It knows no refusal, only silence.
    lowest=0,
    highest=9,
    wakes=False,
    echoes=False,
    erase=b"",
    gap_s=0.5,
)
