# SPDX-License-Identifier: GPL-2.0-or-later
"""No two fence tables are one device, or one machine, without a word."""

from __future__ import annotations

import pytest
from fence_texts import AGENT, BMC, PDU, REDFISH, tables

from fencing.config.shared_devices import check_devices


def beside(first: str, second: str, *changes: tuple[str, str]) -> dict[str, bool]:
    """What is said of the second table beside the first: key path to whether it refuses."""
    for old, new in changes:
        assert old in second, old
        second = second.replace(old, new)
    problems = check_devices(tables(first + second))
    assert all(problem.where.startswith("fence.b.") for problem in problems), problems
    return {problem.where.removeprefix("fence.b."): problem.refuses for problem in problems}


OTHER_NODE = ('"alpha"', '"beta"')
SAME_SYSTEM = ("level = 1", 'level = 1\noptions = { system = "1" }')
BMC_B = BMC.replace("alpha-bmc", "b") + "level = 1\n"
PDU_B = PDU.replace("alpha-pdu", "b")
REDFISH_B = REDFISH.replace("beta-bmc", "b") + "level = 1\n"
AGENT_B = AGENT.replace("beta-agent", "b")
REFUSED, WARNED = True, False

PAIRS = [
    ("one BMC of two nodes", BMC, BMC_B, [OTHER_NODE], {"address": REFUSED}),
    ("one BMC in two levels", BMC, BMC_B, [("level = 1", "level = 2")], {"address": REFUSED}),
    ("another user of it", BMC, BMC_B, [('"haagent"', '"root"')], {"address": REFUSED}),
    (
        "its default port",
        BMC,
        BMC_B,
        [("level = 1", "options = { port = 623 }")],
        {"address": REFUSED},
    ),
    ("another port", BMC, BMC_B, [("level = 1", "options = { port = 624 }")], {}),
    ("another address", BMC, BMC_B, [("203.0.113.11", "203.0.113.12")], {}),
    ("one host name", BMC.replace("203.0.113.11", "bmc"), BMC_B, [("203.0.113.11", "BMC")],
     {"address": REFUSED}),
    ("two spellings", BMC.replace("203.0.113.11", "2001:db8::1"), BMC_B,
     [("203.0.113.11", "2001:DB8:0::1")], {"address": REFUSED}),
    ("one service, one system", REDFISH, REDFISH_B, [SAME_SYSTEM], {"address": REFUSED}),
    ("one service, two systems", REDFISH + 'options = { system = "2" }\n', REDFISH_B,
     [SAME_SYSTEM], {}),
    ("two protocols", BMC.replace('"alpha"', '"beta"'), REDFISH_B,
     [("203.0.113.12", "203.0.113.11")], {"address": WARNED}),
    ("two protocols, two nodes", BMC, REDFISH_B, [("203.0.113.12", "203.0.113.11")],
     {"address": REFUSED}),
    ("two protocols, a port forwarded", BMC, REDFISH_B,
     [("203.0.113.12", "203.0.113.11"), ("level = 1", "options = { port = 8443 }")], {}),
    ("two protocols, a chassis", BMC, REDFISH_B,
     [("203.0.113.12", "203.0.113.11"), SAME_SYSTEM], {}),
    ("one line, one outlet", PDU, PDU_B, [("[3, 4]", "[4, 5]")], {"address": REFUSED}),
    ("one line, two outlets", PDU, PDU_B, [("[3, 4]", "[5]")], {"address": WARNED}),
    ("one line, two towers", PDU, PDU_B, [("[3, 4]", '[3], tower = "B"')], {"address": WARNED}),
    ("a line of each node", PDU, PDU_B, [OTHER_NODE], {"address": WARNED}),
    ("one PDU of two nodes", PDU, PDU_B, [OTHER_NODE, ("[3, 4]", "[5]")], {}),
    ("two lines", PDU, PDU_B, [("/dev/pdu", "/dev/pdu2")], {}),
    ("a line spelt twice", PDU, PDU_B, [("/dev/pdu", "//dev/./pdu/")], {"address": REFUSED}),
    ("one agent", AGENT, AGENT_B, [('"beta"', '"alpha"')], {"options": REFUSED}),
    ("an agent's two plugs", AGENT, AGENT_B, [("quiet = true", "quiet = false")], {}),
    ("one name", BMC.replace("alpha-bmc", "B"), BMC_B, [("203.0.113.11", "203.0.113.12")],
     {"name": REFUSED}),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second", "changes", "said"), [row[1:] for row in PAIRS],
                         ids=[row[0] for row in PAIRS])  # fmt: skip
def test_two_entries_that_are_one_device(
    first: str, second: str, changes: list[tuple[str, str]], said: dict[str, bool]
) -> None:
    """S2: no device stands for two nodes or two levels; what may be right is a warning."""
    assert beside(first, second, *changes) == said


def test_one_identity_of_two_nodes() -> None:
    """No two machines share a UUID; two devices of one machine do."""
    uuid = 'identity = "b1234567-89ab-cdef-a123-456789abcdef"\n'
    assert beside(BMC + uuid, REDFISH_B + uuid) == {"identity": REFUSED}
    same_node = ('node = "beta"', 'node = "alpha"')
    assert beside(BMC + uuid, REDFISH_B + uuid, same_node) == {}
