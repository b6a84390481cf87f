# SPDX-License-Identifier: GPL-2.0-or-later
"""Our own RMCP+ BMC, witnessed by ipmitool, which knows nothing of it."""

from __future__ import annotations

import os
import subprocess

import pytest

from hil.rmcp import RmcpBmc
from hil.rmcp_sessions import OPERATOR, USER, PrivilegeCheck

KG = b"0123456789abcdefghij"
LIMIT_S = 60.0


def _ipmitool(
    bmc: RmcpBmc, *command: str, suite: int = 17, kg: bytes = b"", password: bytes = b""
) -> subprocess.CompletedProcess[str]:
    where = ("-I", "lanplus", "-H", bmc.address, "-p", str(bmc.port), "-N", "1", "-R", "1")
    who = ("-U", bmc.user, "-E", "-L", "OPERATOR", "-C", str(suite))
    key = ("-k", kg.decode()) if kg else ()
    environment = {**os.environ, "IPMI_PASSWORD": (password or bmc.password).decode()}
    return subprocess.run(
        ["ipmitool", *where, *who, *key, *command],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )


@pytest.mark.parametrize("kg", [b"", KG], ids=["no Kg", "Kg"])
@pytest.mark.parametrize("suite", [17, 3])
def test_power(suite: int, kg: bytes) -> None:
    """Both suites, with and without a BMC key: power is read and switched, and all log out."""
    with RmcpBmc(kg=kg) as bmc:
        assert _ipmitool(bmc, "power", "status", suite=suite, kg=kg).stdout.endswith(" on\n")
        assert _ipmitool(bmc, "power", "off", suite=suite, kg=kg).returncode == 0
        assert not bmc.chassis.on
        assert _ipmitool(bmc, "power", "status", suite=suite, kg=kg).stdout.endswith(" off\n")
        assert bmc.sessions == 0


def test_chassis_status() -> None:
    """Faults and restore policy are where a client looks for them."""
    with RmcpBmc() as bmc:
        bmc.chassis.flags = 1 << 3
        told = _ipmitool(bmc, "chassis", "status").stdout
    assert "Main Power Fault     : true" in told
    assert "Power Restore Policy : always-on" in told


def test_guid_and_address() -> None:
    """The system GUID and the channel's MAC address are told."""
    with RmcpBmc() as bmc:
        backwards = bmc.table.guid.bytes[::-1].hex()
        told = _ipmitool(bmc, "mc", "guid").stdout.replace("-", "")
        assert backwards in told
        parameter = _ipmitool(bmc, "raw", "0x0c", "0x02", "0x0e", "5", "0", "0").stdout
        assert parameter.strip() == "11 02 00 00 00 00 01"


@pytest.mark.parametrize(
    ("suite", "kg", "password", "complaint"),
    [
        (17, b"wrong", b"", "Unable to establish"),
        (17, KG, b"wrong", "Unable to establish"),
        (3, KG, b"", "Error in open session response"),
    ],
    ids=["Kg", "password", "suite"],
)
def test_refusals(suite: int, kg: bytes, password: bytes, complaint: str) -> None:
    """A wrong key, a wrong password and a suite that is switched off let nobody in."""
    with RmcpBmc(kg=KG, suites=(17,)) as bmc:
        asked = _ipmitool(bmc, "power", "off", suite=suite, kg=kg, password=password)
        assert asked.returncode != 0
        assert complaint in asked.stderr
        assert bmc.chassis.orders == []


def test_table_is_full() -> None:
    """Without a free slot nobody logs in."""
    with RmcpBmc(slots=0) as bmc:
        assert "resources" in _ipmitool(bmc, "power", "status").stderr


@pytest.mark.parametrize("check", PrivilegeCheck)
def test_privilege(check: PrivilegeCheck) -> None:
    """A User's account switches nothing, wherever that is found out."""
    with RmcpBmc(privilege=USER, privilege_check=check) as bmc:
        asked = _ipmitool(bmc, "power", "off")
        assert asked.returncode != 0
        assert bmc.chassis.on
        bmc.table.privilege = OPERATOR
        assert _ipmitool(bmc, "power", "off").returncode == 0
