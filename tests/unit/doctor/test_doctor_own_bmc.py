# SPDX-License-Identifier: GPL-2.0-or-later
"""What a BMC says of itself to ipmitool, beside what the configuration has of it."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, ip_address
from pathlib import Path

import pytest

from haagent.doctor import Verdict
from haagent.doctor.own_bmc import OwnBmc, compared, lan_address, own_bmc
from hil.bmc import IpmiSim


def test_the_own_bmc_is_asked_as_ipmitool_does(tmp_path: Path) -> None:
    """What ipmitool prints is read; here over the LAN, in hil/trials over /dev/ipmi0."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        port = int(one.getsockname()[1])
    bmc = IpmiSim(tmp_path / "bmc", port, user="haagent", password="bench-only")  # noqa: S106  # the bench's
    way = ("-I", "lanplus", "-C", "3", "-L", "operator", "-H", bmc.address, "-p", str(bmc.port))
    with bmc:
        found = own_bmc((*way, "-U", "haagent", "-P", "bench-only"))
        refused = own_bmc((*way, "-U", "haagent", "-P", "wrong"))
    assert found == OwnBmc(present=True, address=IPv4Address("127.0.0.1"))
    assert refused.address is None
    assert "no address" in refused.trouble


SAYS_11 = OwnBmc(present=True, address=IPv4Address("203.0.113.11"))


@pytest.mark.parametrize(
    ("bmc", "listed", "verdict", "text"),
    [
        (SAYS_11, {"203.0.113.11": "alpha-bmc"}, Verdict.OK, "as alpha-bmc has it"),
        (SAYS_11, {"203.0.113.12": "alpha-bmc"}, Verdict.WARNING, "has 203.0.113.12"),
        (SAYS_11, {"alpha-bmc.example": "alpha-bmc"}, Verdict.UNKNOWN, "not listed by"),
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
    ("shown", "address"),
    [
        (
            "IP Address Source       : Static Address\nIP Address              : 203.0.113.11\n",
            "203.0.113.11",
        ),
        ("IP Address              : 0.0.0.0\nSubnet Mask             : 0.0.0.0\n", None),
        ("Invalid channel: 3\n", None),
        ("IP Address              : nonsense\n", None),
        ("", None),
    ],
)
def test_the_address_of_a_bmc(shown: str, address: str | None) -> None:
    """Its address by its own line; none for one that is not set."""
    assert lan_address(shown) == (None if address is None else ip_address(address))
