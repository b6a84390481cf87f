# SPDX-License-Identifier: GPL-2.0-or-later
"""What can be wrong with a fence device: every finding has a name, a weight and a remedy."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Trouble(Enum):
    """One thing that can be wrong; the value is whether it blocks, and what to do about it."""

    UNREACHABLE = True, "check its power, its cable, the address and what filters the way to it"
    LOGIN_REFUSED = True, "correct user and password file; see whether the account is locked"
    NO_SESSION = True, "somebody else uses it: end other sessions and programs, or restart the BMC"
    PRIVILEGE = True, "give the account the right to switch power: Operator or PowerControl"
    CERTIFICATE = True, "its certificate is not the one expected: check ca_file or fingerprint"
    REFUSED = True, "read what it said; its own log and manual know more"
    OTHER_MACHINE = True, "address or wiring belong to another machine: correct them, or identity"
    SAME_DEVICE = True, "two entries are one device: correct the address or the outlets of one"
    POWER_UNCLEAR = True, "it says neither on nor off: look at the machine and at the device"
    IMPLAUSIBLE = True, "it says off while the machine speaks: it belongs to another, or it lies"
    UNVERIFIABLE = True, "it cannot read the power back: nothing that it does can be a proof"
    DELAY = True, "its own delay leaves no time for a proof: shorten it there, or raise deadline"
    SETTINGS = True, "correct the [[fence]] entry; check-config says what is allowed"
    NOT_INSTALLED = True, "install what is named, on both nodes"

    NOT_LET_IN = False, "the node lets itself in when it joins; its own agent says why it did not"
    SHARED_DEVICE = False, "two levels are one device and fail together: add an independent one"
    RESTORE_POLICY = False, "set the restore policy to always-on, or the machine stays off"
    CERTIFICATE_ENDS = False, "renew the certificate before it ends, or no login succeeds after"
    CLOCK = False, "set its clock, or its certificate checks and its log mean nothing"
    IDENTITY_UNKNOWN = False, "it cannot say whose power it is: prove the wiring with a drill"
    POWER_FAULT = False, "it reports a fault of the power supply: look at the hardware"

    def __init__(self, blocks: bool, remedy: str) -> None:  # noqa: FBT001  # an enum's value is positional
        self.blocks = blocks
        """Whether the device cannot be counted on while this is so."""
        self.remedy = remedy

    @property
    def code(self) -> str:
        """The name in logs, status and JSON, e.g. "login_refused"."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Finding:
    """One trouble of one device, with what was seen; the text holds no secret."""

    trouble: Trouble
    text: str

    def __str__(self) -> str:
        return f"{self.trouble.code}: {self.text}"
