# SPDX-License-Identifier: GPL-2.0-or-later
"""What the agent of this host says before a shot from the console, and to its proof."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fencing.console.daemon import Answer, Standing
from fencing.level import FenceReport
from haagent.cli.client import (
    BrokenReplyError,
    NotAllowedError,
    NotRunningError,
    StillRunningError,
    ask,
)
from haagent.cli.verdict import Status, part, rows
from haagent.errors import EdgeError

STATUS_TIMEOUT_S = 3.0
"""The agent answers from memory; whoever wants to shoot waits no longer for one that hangs."""
OFFER_TIMEOUT_S = 5.0
"""Half of the time for which the agent believes a proof (haagent.core.operator)."""

_SERVING = {"active", "taking_over"}
_NOT_SERVING = {"standby", "yielded", "blocked"}


class Agent:
    """The agent behind a control socket (fencing.console.daemon.Daemon)."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def standing(self, node: str, verb: str) -> Standing:
        """What the node holds, by the agent's own status, and what a shot means for that."""
        try:
            reply = ask(self._socket, {"verb": "status"}, STATUS_TIMEOUT_S)
        except EdgeError as error:
            return Standing((f"{error}.", f"So nobody here knows whether {node} serves now."))
        status = reply.get("data")
        if not reply.get("ok") or not isinstance(status, dict):
            text = f"the agent gives no status: {reply.get('message')}"
            return Standing((text, f"So nobody here knows whether {node} serves now."))
        me = str(status.get("node"))
        roles = _roles(status, node)
        if not roles:
            watched = f"The agent of {me} watches {status.get('peer')} and knows nothing of {node}."
            return Standing((watched,), me)
        return Standing(
            (_held(status, node, roles), *_meaning(status, node, verb, roles)), me, roles
        )

    def offer(self, node: str, report: FenceReport) -> Answer:
        """Show the agent a whole level read off, upon which it takes over from `node`."""
        request = {
            "verb": "fence-proof",
            "peer": node,
            "read_ns": report.read_off_monotonic_ns,
            "shots": [
                {
                    "device": step.device,
                    "ordered_ns": step.ordered_ns,
                    "first_off_ns": step.first_off_ns,
                }
                for step in report.proof
                if step.ordered_ns is not None and step.first_off_ns is not None
            ],
        }
        try:
            reply = ask(self._socket, request, OFFER_TIMEOUT_S)
        except (NotRunningError, NotAllowedError) as error:
            return Answer(None, f"the proof was shown to nobody: {error}")
        except (StillRunningError, BrokenReplyError) as error:
            return Answer(None, f"whether the agent takes the proof is not known: {error}")
        if reply["ok"]:
            return Answer(accepted=True, message=f"haagent takes the proof: {reply.get('message')}")
        text = f"HAAGENT REFUSES THE PROOF and takes nothing over: {reply.get('message')}"
        return Answer(accepted=False, message=text)


def _roles(status: Status, node: str) -> dict[str, str]:
    """The node's role in each group as far as the agent knows; empty if it is not of its pair."""
    key = {str(status.get("peer")): "peer_role", str(status.get("node")): "role"}.get(node)
    if key is None:
        return {}
    groups = rows(status, "groups")
    return {str(group.get("name")): str(group.get(key) or "unknown") for group in groups}


def _held(status: Status, node: str, roles: Mapping[str, str]) -> str:
    held = ", ".join(f"{name} {role}" for name, role in roles.items())
    peer = ""
    if node == status.get("peer"):
        peer = f" (it is {part(status, 'peer_state').get('phase')})"
    return f"The agent of {status.get('node')} holds {node}{peer} as: {held}."


def _meaning(status: Status, node: str, verb: str, roles: Mapping[str, str]) -> list[str]:
    """What a shot means for the service."""
    serving = [name for name, role in roles.items() if role in _SERVING]
    unknown = [name for name, role in roles.items() if role not in _SERVING | _NOT_SERVING]
    found = []
    if serving:
        found.append(f"{node} SERVES {', '.join(serving)}: that stops now.")
    if unknown:
        found.append(f"Whether {node} serves {', '.join(unknown)} is not known.")
    if not serving and not unknown:
        found.append(f"{node} serves nothing; nobody stands by until it is back.")
    if node == status.get("node"):
        found.append("It is this node: nobody reads the power off or gives it back.")
    elif serving or unknown:
        found.append(f"{status.get('node')} is to take over when {node} is proved off.")
    return [*found, *_obstacles(status, verb)]


def _obstacles(status: Status, verb: str) -> list[str]:
    """What may keep this node from taking over after the shot."""
    found = []
    if status.get("maintenance"):
        found.append("Maintenance is on.")
    takeover = part(status, "takeover")
    if not takeover.get("possible"):
        reasons = "; ".join(str(reason.get("text")) for reason in rows(takeover, "reasons"))
        found.append(f"At present NO TAKEOVER is possible: {reasons or 'no reason given'}.")
    if verb == "cycle":
        found.append("Its power is given back even if nobody takes over.")
    return found
