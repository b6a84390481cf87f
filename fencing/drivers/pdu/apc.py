# SPDX-License-Identifier: GPL-2.0-or-later
"""APC and Schneider Electric switched rack PDUs with the command line of AOS 5 and later.

AP79xxB, AP86xx, AP89xx, and AP7900 with firmware 5. `olOff` acts at once; only `olDlyOff`, which
is not used, waits. Models that measure each outlet (AP86xx) have `olReading`.

Source: APC user guides 990-5569 and 990-5570 ("Command Line Interface"); fence_apc of ClusterLabs
(get_power_status5); captured log-in screens and `about` of cards with AOS 6.9.6. Not seen: a
serial dialogue of the PDU itself.
"""

from __future__ import annotations

from fencing.drivers.pdu.dialect import Dialect, Query

DIALECT = Dialect(
    name="apc",
    prompt=r"(?:\S+@)?apc>",  # `prompt -s long` puts the user before it.
    login=r"User Name\s*:",
    password=r"Password\s*:",  # noqa: S106  # a prompt
    logout="exit",
    off="olOff {outlet}",
    on="olOn {outlet}",
    status="olStatus all",
    row=r"^[ \t]*(?P<outlet>\d{1,2}):[ \t].*:[ \t]*(?P<state>[^:\n]+)$",
    refused=r"^[ \t]*E(?!000|001|002)\d{3}:.*$",
    current=Query(
        command="olReading {outlet} current",
        row=r"^[ \t]*(?P<outlet>\d{1,2}):.*:[ \t]*(?P<value>\d+(?:\.\d+)?)[ \t]*A[ \t]*$",
    ),
    serial=Query(command="about", row=r"^[ \t]*Serial Number:[ \t]*(?P<value>\S+)"),
)
