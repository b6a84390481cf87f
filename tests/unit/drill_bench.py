# SPDX-License-Identifier: GPL-2.0-or-later
"""A healthy pair's statuses, as far as drills read them, to be spoiled by the tests."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

HEALTHY: Mapping[str, Any] = {
    "node": "alpha",
    "peer": "beta",
    "version": "1.0",
    "takeover": {"possible": True, "reasons": []},
    "peer_state": {"phase": "alive", "since_s": 9000.0, "silent_ms": 10.0},
    "groups": [
        {
            "name": "web",
            "role": "active",
            "peer_role": "standby",
            "since_s": 9000.0,
            "stopped": False,
            "frozen": False,
            "moves_in_window": 0,
            "position": 100,
        }
    ],
    "links": [
        {"name": name, "state": "up", "peer_hears_us": True, "detail": ""}
        for name in ("lan", "ring")
    ],
    "fence": [
        {"device": "beta-bmc", "ready": True, "power": "on", "checked_s_ago": 5.0, "detail": ""}
    ],
    "alarms": [],
    "maintenance": False,
    "standby_nodes": [],
    "fences_in_window": 0,
    "fences_s_ago": [],
    "incarnation": 1,
    "drills": {"under_way": None, "faults": [], "proven": {}},
}


def healthy(node: str, role: str, digest: str) -> dict[str, Any]:
    """What one node of a healthy pair says of itself."""
    status = copy.deepcopy(dict(HEALTHY))
    status["node"], status["configuration_hash"] = node, digest
    status["groups"][0]["role"] = role
    return status
