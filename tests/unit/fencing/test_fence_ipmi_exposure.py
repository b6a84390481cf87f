# SPDX-License-Identifier: GPL-2.0-or-later
"""A BMC that lets anybody in is found out, by two that answer for real."""

from __future__ import annotations

import socket
from pathlib import Path

from fencing.drivers.ipmi_exposure import Exposure, exposure
from hil.bmc import IpmiSim
from hil.ports import free_port
from hil.rmcp import RmcpBmc


def test_ipmi_sim_takes_cipher_suite_zero(tmp_path: Path) -> None:
    """ipmi_sim opens a session without authentication, and its nameless user is switched off."""
    bmc = IpmiSim(tmp_path / "bmc", free_port(), user="haagent", password="pw-of-the-test")  # noqa: S106  # the bench's
    bmc.start()
    try:
        found = exposure(bmc.address, bmc.port)
    finally:
        bmc.kill()
    assert found.cipher_zero is True
    assert found.null_user is not None


def test_one_that_demands_authentication() -> None:
    """A BMC with suites 17 and 3 alone refuses suite 0, and is not called open."""
    with RmcpBmc() as bmc:
        found = exposure(bmc.address, bmc.port)
    assert found.cipher_zero is False
    assert not found.anonymous


def test_silence_says_nothing() -> None:
    """Where nobody answers, nothing is claimed either way."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind(("127.0.0.1", 0))
        assert exposure("127.0.0.1", mute.getsockname()[1], answer_s=0.05) == Exposure()
