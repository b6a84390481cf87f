# SPDX-License-Identifier: GPL-2.0-or-later
"""Every make that has a console with a prompt, by name."""

from __future__ import annotations

from dataclasses import dataclass

from hil.pdu.apc import Apc
from hil.pdu.baytech import Rpc3Nc, Rpc28Nc
from hil.pdu.console import Console
from hil.pdu.cyberpower import CyberPower
from hil.pdu.raritan import Raritan
from hil.pdu.sentry import Cdu
from hil.pdu.wti import Ips, Nps


@dataclass(frozen=True)
class Make:
    """One make of PDU: its dialect and who plays it."""

    dialect: str
    emulator: type[Console]
    user: str = "cyber"
    """"" where none is asked for."""


MAKES = {
    "cyberpower": Make("cyberpower", CyberPower),
    "apc": Make("apc", Apc),
    "wti": Make("wti", Nps),
    "wti-ips": Make("wti", Ips, user=""),
    "raritan": Make("raritan", Raritan),
    "sentry": Make("sentry", Cdu),
    "baytech": Make("baytech", Rpc3Nc),
    "baytech-28": Make("baytech", Rpc28Nc),
}
