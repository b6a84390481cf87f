# SPDX-License-Identifier: GPL-2.0-or-later
"""Loops that are late, on either node, as a person must look at them."""

from __future__ import annotations

from haagent.core.state import State

STALL_WARN_MS = 200
"""A loop that was this late eats a fifth of the default dead_after."""


def lateness(state: State) -> list[dict[str, str]]:
    """The peer slow, or we slow: warned with figures; nobody is shot for it."""
    alarms = []
    if state.stall_ns / 1e6 >= STALL_WARN_MS:
        text = f"this agent was late by {state.stall_ns // 1_000_000} ms"
        alarms.append({"code": "late", "text": text})
    if state.view is not None and state.view.body.stall_ms >= STALL_WARN_MS:
        text = f"the peer's agent was late by {state.view.body.stall_ms} ms"
        alarms.append({"code": "peer_late", "text": text})
    return alarms
