# SPDX-License-Identifier: GPL-2.0-or-later
"""This machine's own BMC, from the inside: is it the one that the peer is told to power off?"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from haagent.asking import output
from haagent.doctor import Line, Subject, ok, unknown, warning
from haagent.doctor.fences import BOARD_DRIVERS

IPMI_DEVICES = ("/dev/ipmi0", "/dev/ipmi/0", "/dev/ipmidev/0")
"""As ipmitool looks for them."""
SMBIOS_IPMI = Path("/sys/firmware/dmi/entries/38-0")
"""Source: SMBIOS 3.7, 7.39, "IPMI Device Information"."""
CHANNELS = range(1, 12)
"""Those that may be of a LAN. Source: IPMI 2.0, 6.3, "Channel Numbers"."""
ASK_LIMIT_S = 30.0
"""For all questions together: a BMC that is busy takes some seconds for a parameter."""

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class OwnBmc:
    """What this machine's own BMC says of itself."""

    present: bool
    addresses: tuple[Address, ...] = ()
    """On all its channels of a LAN, those of IPv4 first."""
    trouble: str = ""
    """Why they could not be asked, or not all of them."""


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
    if not bmc.addresses:
        return unknown(what, bmc.trouble, "install ipmitool; look into the firmware's setup")
    says = f"says that it has {', '.join(map(str, bmc.addresses))}"
    known = {_parsed(text): name for text, name in listed.items()}
    if match := next((one for one in bmc.addresses if one in known), None):
        return ok(what, f"{says}; {match} is what {known[match]} has")
    if bmc.trouble:
        return unknown(what, f"{says}; {bmc.trouble}", "ask again; restart a BMC that stays slow")
    told = {address.version for address in bmc.addresses}
    if not all(address is not None and address.version in told for address in known):
        text = f"{says}; {names} is listed by {', '.join(listed)}, which cannot be compared"
        return unknown(what, text, "see whether they are one: haagent fence cycle at a quiet hour")
    text = f"{says}; {names} of {node} has {', '.join(listed)}"
    remedy = "correct [[fence]] address, or the BMC's own; behind NAT: prove it by fence cycle"
    return warning(what, text, remedy)


def _parsed(text: str) -> Address | None:
    """An address that can be compared with what a BMC says, however it is written; no name."""
    try:
        return ip_address(text)
    except ValueError:
        return None


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
    end_s = time.monotonic() + ASK_LIMIT_S
    addresses, trouble = _asked(interface, end_s), ""
    if time.monotonic() > end_s:
        trouble = f"it did not tell all of its addresses in {ASK_LIMIT_S:g} s"
    elif not addresses:
        trouble = "ipmitool is missing, or the BMC has no address on a LAN"
    return OwnBmc(present=True, addresses=addresses, trouble=trouble)


def _asked(interface: Sequence[str], end_s: float) -> tuple[Address, ...]:
    """Every address that it tells by then. ipmitool before 1.8.19 does not ask for IPv6."""
    found: set[Address] = set()
    for channel in map(str, CHANNELS):
        for question in (("lan", "print", channel), *_V6_QUESTIONS):
            words = (word.format(channel=channel) for word in question)
            left_s = max(end_s - time.monotonic(), 0.0)
            shown = output("ipmitool", *interface, *words, limit_s=left_s)
            if shown is None and question[0] == "lan":
                break  # No channel of a LAN.
            found |= lan_addresses(shown or "")
    return tuple(sorted(found, key=lambda one: (one.version, one)))


_V6_QUESTIONS = (
    ("lan6", "print", "{channel}", "static_addr"),
    ("lan6", "print", "{channel}", "dynamic_addr"),
)
_SHOWN_V4 = re.compile(r"^IP Address\s*: (\S+)$", re.MULTILINE)
_SHOWN_V6 = re.compile(
    r"^ +(?:Enabled: +yes|Source/Type: .*)\n +Address: +([^\s/]+)/\d+\n +Status: +active$",
    re.MULTILINE,
)


def lan_addresses(shown: str) -> frozenset[Address]:
    """Those in what `ipmitool lan print` or `lan6 print` shows that are in use.

    No link-local ones: they say nothing without an interface of ours.
    """
    texts = (*_SHOWN_V4.findall(shown), *_SHOWN_V6.findall(shown))
    addresses = (_parsed(text) for text in texts)
    return frozenset(
        one for one in addresses if one and not (one.is_unspecified or one.is_link_local)
    )
