# SPDX-License-Identifier: GPL-2.0-or-later
"""What a BMC says of itself to ipmitool, beside what the configuration has of it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import pytest

from haagent.doctor import Verdict
from haagent.doctor.own_bmc import OwnBmc, compared, lan_addresses, own_bmc
from hil.bmc import IpmiSim
from hil.ports import free_port
from hil.rmcp import RmcpBmc
from hil.rmcp_lan import Channel


def test_the_own_bmc_is_asked_as_ipmitool_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ipmitool prints is read; here over the LAN, in hil/trials over /dev/ipmi0."""
    bmc = IpmiSim(tmp_path / "bmc", free_port(), user="haagent", password="bench-only")  # noqa: S106  # the bench's
    monkeypatch.setattr("haagent.doctor.own_bmc.CHANNELS", (1,))  # Each is a login that fails.
    way = ("-I", "lanplus", "-C", "3", "-L", "operator", "-H", bmc.address, "-p", str(bmc.port))
    with bmc:
        found = own_bmc((*way, "-U", "haagent", "-P", "bench-only"))
        refused = own_bmc((*way, "-U", "haagent", "-P", "wrong"))
    assert found == OwnBmc(present=True, addresses=(IPv4Address("127.0.0.1"),))
    assert refused.addresses == ()
    assert "no address" in refused.trouble


def test_every_channel_and_both_versions_are_asked() -> None:
    """A BMC that has its addresses on the third and the last channel, or of IPv6, has them."""
    unset, link_local = IPv6Address("::"), IPv6Address("fe80::1")
    wanted = tuple(map(ip_address, ("203.0.113.11", "2001:db8::8", "2001:db8::11")))
    bmc = RmcpBmc()
    bmc.chassis.channels = {
        2: Channel(),
        3: Channel(v4=IPv4Address("203.0.113.11")),
        11: Channel(
            static=(unset, IPv6Address("2001:db8::11")),
            dynamic=(link_local, IPv6Address("2001:db8::8")),
        ),
    }
    way = ("-I", "lanplus", "-C", "17", "-L", "operator", "-U", "haagent", "-P", "bench-only")
    with bmc:
        found = own_bmc((*way, "-H", bmc.address, "-p", str(bmc.port)))
    assert found == OwnBmc(present=True, addresses=wanted)


def test_a_bmc_that_is_slow_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it did not tell in time is told as such, and nobody waits for it."""
    monkeypatch.setattr("haagent.doctor.own_bmc.ASK_LIMIT_S", 0.01)
    bmc = RmcpBmc()
    bmc.link.silent = True
    way = ("-I", "lanplus", "-C", "17", "-L", "operator", "-U", "haagent", "-P", "bench-only")
    with bmc:
        found = own_bmc((*way, "-H", bmc.address, "-p", str(bmc.port)))
    assert found.addresses == ()
    assert "in 0.01 s" in found.trouble


SAYS_11 = OwnBmc(present=True, addresses=(IPv4Address("203.0.113.11"),))
SLOW = OwnBmc(present=True, addresses=SAYS_11.addresses, trouble="not all told in 0.01 s")
SAYS_BOTH = OwnBmc(present=True, addresses=(*SAYS_11.addresses, IPv6Address("2001:db8::11")))


@pytest.mark.parametrize(
    ("bmc", "listed", "verdict", "text"),
    [
        (SAYS_11, {"203.0.113.11": "alpha-bmc"}, Verdict.OK, "203.0.113.11 is what alpha-bmc has"),
        (SAYS_11, {"203.0.113.12": "alpha-bmc"}, Verdict.WARNING, "has 203.0.113.12"),
        (SAYS_11, {"alpha-bmc.example": "alpha-bmc"}, Verdict.UNKNOWN, "cannot be compared"),
        (SAYS_11, {"2001:db8::11": "alpha-bmc"}, Verdict.UNKNOWN, "cannot be compared"),
        (SAYS_BOTH, {"2001:DB8:0::11": "alpha-bmc"}, Verdict.OK, "2001:db8::11 is what alpha-bmc"),
        (SAYS_BOTH, {"2001:db8::12": "alpha-bmc"}, Verdict.WARNING, "has 2001:db8::12"),
        (SLOW, {"203.0.113.11": "alpha-bmc"}, Verdict.OK, "203.0.113.11 is what alpha-bmc has"),
        (SLOW, {"203.0.113.12": "alpha-bmc"}, Verdict.UNKNOWN, "in 0.01 s"),
        (OwnBmc(present=False), {"203.0.113.11": "alpha-bmc"}, Verdict.UNKNOWN, "no /dev/ipmi0"),
        (OwnBmc(present=True, trouble="mute"), {"203.0.113.11": "a"}, Verdict.UNKNOWN, "mute"),
    ],
)
def test_beside_the_configuration(
    bmc: OwnBmc, listed: dict[str, str], verdict: Verdict, text: str
) -> None:
    """Right, wrong, and whatever does not tell: never a tick for what was not compared."""
    line = compared(bmc, listed, "alpha")
    assert (line.verdict, text in line.text) == (verdict, True), line


@pytest.mark.parametrize(
    ("shown", "addresses"),
    [
        (
            "IP Address Source       : Static Address\nIP Address              : 203.0.113.11\n",
            {"203.0.113.11"},
        ),
        ("IP Address              : 0.0.0.0\nSubnet Mask             : 0.0.0.0\n", set()),
        ("Invalid channel: 3\n", set()),
        ("IP Address              : nonsense\n", set()),
        (
            "    Source/Type:    DHCPv6\n    Address: 2001:db8::8/64\n    Status: failed\n",
            set(),
        ),
        ("", set()),
    ],
)
def test_the_addresses_of_a_bmc(shown: str, addresses: set[str]) -> None:
    """An address by its own line; none for one that is not set, or not in use."""
    assert lan_addresses(shown) == {ip_address(text) for text in addresses}
