# SPDX-License-Identifier: GPL-2.0-or-later
"""This machine's own BMC, from the inside: is it the one that the peer is told to power off?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from haagent.asking import output
from haagent.doctor import Line, Subject, ok, unknown, warning
from haagent.doctor.fences import BOARD_DRIVERS

IPMI_DEVICES = ("/dev/ipmi0", "/dev/ipmi/0", "/dev/ipmidev/0")
"""As ipmitool looks for them."""
SMBIOS_IPMI = Path("/sys/firmware/dmi/entries/38-0")
"""Source: SMBIOS 3.7, 7.39, "IPMI Device Information"."""
CHANNELS = range(1, 8)
ASK_LIMIT_S = 15.0
"""A BMC that is busy takes some seconds for a parameter."""


@dataclass(frozen=True, slots=True)
class OwnBmc:
    """What this machine's own BMC says of itself."""

    present: bool
    address: IPv4Address | None = None
    trouble: str = ""
    """Why its address could not be asked."""


def look(subject: Subject) -> Iterator[Line]:
    """Its own address beside those that the configuration has for this node's power."""
    me = subject.configuration.pair.me
    listed = {
        device.address: device.name
        for device in subject.configuration.devices[me]
        if device.driver in BOARD_DRIVERS
    }
    if listed:
        yield compared(own_bmc(), listed, subject.configuration.node_names[me])


def compared(bmc: OwnBmc, listed: Mapping[str, str], node: str) -> Line:
    """What is to be said of it.

    Args:
        bmc: As it was found.
        listed: Names of the BMCs by which the configuration has this node powered off, by address.
        node: This one.
    """
    what, names = "own BMC", ", ".join(listed.values())
    if not bmc.present:
        text = f"no /dev/ipmi0 here: whether {names} is this machine's is seen by the peer only"
        return unknown(what, text, "modprobe ipmi_si ipmi_devintf")
    if bmc.address is None:
        return unknown(what, bmc.trouble, "install ipmitool; look into the firmware's setup")
    if name := listed.get(str(bmc.address)):
        return ok(what, f"says that its address is {bmc.address}, as {name} has it")
    if not all(map(_is_ipv4, listed)):
        text = f"says that its address is {bmc.address}; {names} is not listed by an IPv4 address"
        return unknown(what, text, "see whether they are one: haagent fence cycle at a quiet hour")
    text = f"says that its address is {bmc.address}; {names} of {node} has {', '.join(listed)}"
    remedy = "correct [[fence]] address, or the BMC's own; behind NAT: prove it by fence cycle"
    return warning(what, text, remedy)


def _is_ipv4(text: str) -> bool:
    """Whether it can be compared with what a BMC says: no name, no other version."""
    try:
        IPv4Address(text)
    except ValueError:
        return False
    return True


def own_bmc(interface: Sequence[str] = ("-I", "open")) -> OwnBmc:
    """This machine's own BMC, asked through the kernel's driver.

    Args:
        interface: How ipmitool reaches it; another way is for tests.
    """
    local = interface[:2] == ("-I", "open")
    if local and not any(Path(path).exists() for path in IPMI_DEVICES):
        if SMBIOS_IPMI.exists():
            text = "no /dev/ipmi0, although the firmware names a BMC: modprobe ipmi_si ipmi_devintf"
            return OwnBmc(present=True, trouble=text)
        return OwnBmc(present=False)
    for channel in CHANNELS:
        shown = output("ipmitool", *interface, "lan", "print", str(channel), limit_s=ASK_LIMIT_S)
        address = lan_address(shown or "")
        if address is not None:
            return OwnBmc(present=True, address=address)
    return OwnBmc(present=True, trouble="ipmitool is missing, or the BMC has no address on a LAN")


def lan_address(shown: str) -> IPv4Address | None:
    """The address in what `ipmitool lan print` shows; None for one that is not set."""
    match = re.search(r"^IP Address\s*: (\S+)$", shown, re.MULTILINE)
    try:
        address = IPv4Address(match[1]) if match else None
    except ValueError:
        return None
    return None if address is None or address.is_unspecified else address
