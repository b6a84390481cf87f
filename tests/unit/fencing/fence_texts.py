# SPDX-License-Identifier: GPL-2.0-or-later
"""[[fence]] tables of every driver with nothing wrong in them, for the tests that read some."""

from __future__ import annotations

import tomllib

from fencing.config.device_table import DeviceTable, read_fences

WORD = "hunter2-is-a-secret"
"""What no line may show."""

BMC = """
[[fence]]
name = "alpha-bmc"
node = "alpha"
driver = "ipmi"
address = "203.0.113.11"
user = "haagent"
password_file = "password"
"""
PDU = """
[[fence]]
name = "alpha-pdu"
node = "alpha"
driver = "pdu"
level = 2
address = "/dev/pdu"
options = { dialect = "apc", outlets = [3, 4] }
"""
REDFISH = """
[[fence]]
name = "beta-bmc"
node = "beta"
driver = "redfish"
address = "203.0.113.12"
user = "haagent"
password_file = "password"
"""
AGENT = """
[[fence]]
name = "beta-agent"
node = "beta"
driver = "agent"
level = 2
options = { agent = "fence_dummy", type = "file", random_sleep_range = 3, wait = 1.5, quiet = true }
"""


def tables(text: str) -> tuple[DeviceTable, ...]:
    """The tables of a text with nothing wrong in any of them."""
    fences = read_fences(tomllib.loads(text))
    assert fences.whole, fences.problems
    return fences.tables
