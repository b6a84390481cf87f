# SPDX-License-Identifier: GPL-2.0-or-later
"""Why a takeover is not made: every "no" of the core has a name and a sentence."""

from __future__ import annotations

from enum import IntEnum


class Reason(IntEnum):
    """A gate that says no. The number travels in frames; the name is for logs and JSON."""

    MAINTENANCE = 1
    CONFIGURATION_DIFFERS = 2
    STALLED = 3
    ISOLATED = 4
    STILL_SERVING = 5
    EVIDENCE_PENDING = 6
    FENCE_DELAY = 7
    TOO_MANY_FENCES = 8
    FENCE_DISTRUSTED = 9
    FENCE_UNCONFIRMED = 10
    NOTHING_TO_GAIN = 11
    PEER_NEVER_HEARD = 12
    VIP_ANSWERS = 13
    NOT_DURABLE = 14
    START_FAILED = 15
    STOPPING = 16
    PEER_PAUSING = 17
    FENCE_NOT_READY = 18
    PEER_DOES_NOT_HEAR_US = 19
    PEER_NOT_PROMOTABLE = 20
    VIP_NOT_PROBED = 21
    HANDED_OVER = 22
    GROUP_STOPPED = 23
    GROUP_FROZEN = 24
    NODE_STANDBY = 25
    DATA_TOO_OLD = 26
    TOO_MANY_MOVES = 27
    STANDBY_NOT_READY = 28
    WITNESS_REFUSES = 29
    WITNESS_UNREACHABLE = 30
    NOT_IN_SYNC = 40

    @property
    def code(self) -> str:
        """The name in logs and JSON, e.g. "still_serving"."""
        return self.name.lower()

    @property
    def text(self) -> str:
        """A sentence for a person."""
        return _TEXTS[self]


_TEXTS = {
    Reason.MAINTENANCE: "the pair is in maintenance: nothing is taken over by itself",
    Reason.CONFIGURATION_DIFFERS: "the two nodes have different configurations",
    Reason.STALLED: "this agent was late itself and waits a full silence period anew",
    Reason.ISOLATED: "this node is cut off: no reference answers or no switched link is up",
    Reason.STILL_SERVING: "the peer is silent but its service still answers",
    Reason.EVIDENCE_PENDING: "references and service probe have not answered yet",
    Reason.FENCE_DELAY: "both nodes would gain: the first one shoots first",
    Reason.TOO_MANY_FENCES: "too many fences in the window; an operator must look",
    Reason.FENCE_DISTRUSTED: "a fence device said off while the peer lived",
    Reason.FENCE_UNCONFIRMED: "the peer's power could not be read back as off",
    Reason.NOTHING_TO_GAIN: "this node already holds every group",
    Reason.PEER_NEVER_HEARD: "the peer was not heard since this agent started",
    Reason.VIP_ANSWERS: "somebody still answers for the virtual address",
    Reason.NOT_DURABLE: "the term could not be written to disk",
    Reason.START_FAILED: "the group could not be started here",
    Reason.STOPPING: "this agent is about to stop",
    Reason.PEER_PAUSING: "the peer announced a pause",
    Reason.FENCE_NOT_READY: "no fence level of the peer is ready",
    Reason.PEER_DOES_NOT_HEAR_US: "the peer does not hear this node",
    Reason.HANDED_OVER: "it has just handed the group over",
    Reason.VIP_NOT_PROBED: "a virtual address could not be probed for another holder",
    Reason.PEER_NOT_PROMOTABLE: "the peer says that it cannot take the group",
    Reason.GROUP_STOPPED: "an operator stopped the group",
    Reason.GROUP_FROZEN: "an operator froze the group: it stays as it is",
    Reason.NODE_STANDBY: "an operator put this node on standby",
    Reason.DATA_TOO_OLD: "this node's data is too far behind the peer's",
    Reason.STANDBY_NOT_READY: "what the standby runs of the group is not as it should be",
    Reason.WITNESS_REFUSES: "the witnesses do not agree that this node takes over",
    Reason.WITNESS_UNREACHABLE: "too few witnesses answer to agree to a takeover",
    Reason.NOT_IN_SYNC: "this node may lack commits that the peer acknowledged",
    Reason.TOO_MANY_MOVES: "the group has changed nodes too often; it stays where it is",
}
assert set(_TEXTS) == set(Reason)
