# SPDX-License-Identifier: GPL-2.0-or-later
"""The gates before a fence and what each of them answered, read off the recorded phase."""

from __future__ import annotations

from collections.abc import Collection
from textwrap import wrap

from haagent.core.phases import FenceCause
from haagent.core.reasons import Reason

WIDTH = 84
"""With the column of times, a line of 100."""
CAUSES = {
    FenceCause.SILENCE: "it is silent",
    FenceCause.ALONE: "it was never heard",
    FenceCause.ASKED: "it asks for it",
}
YES = {
    Reason.MAINTENANCE: "no maintenance",
    Reason.CONFIGURATION_DIFFERS: "configurations agree",
    Reason.STOPPING: "this agent stays",
    Reason.FENCE_DISTRUSTED: "no fence device was caught lying",
    Reason.TOO_MANY_FENCES: "few enough fences in the window",
    Reason.NOTHING_TO_GAIN: "a group could be started here",
    Reason.STALLED: "this agent was on time for a whole period",
    Reason.EVIDENCE_PENDING: "the evidence is here",
    Reason.WITNESS_REFUSES: "the witnesses agree",
    Reason.ISOLATED: "this node's network is alive",
    Reason.VIP_ANSWERS: "nobody answers for the virtual addresses",
    Reason.STILL_SERVING: "the service is silent or its grace is over",
    Reason.FENCE_DELAY: "this node may shoot now",
    Reason.FENCE_UNCONFIRMED: "no pause after a fence without proof",
}
"""What it means that a gate of that name says nothing, in the order in which they are asked."""
_STANDING = (
    Reason.MAINTENANCE,
    Reason.CONFIGURATION_DIFFERS,
    Reason.STOPPING,
    Reason.FENCE_DISTRUSTED,
    Reason.TOO_MANY_FENCES,
)
_WITNESSES = (Reason.WITNESS_REFUSES, Reason.WITNESS_UNREACHABLE)
_OF_EVIDENCE = (*_WITNESSES, Reason.ISOLATED, Reason.VIP_ANSWERS, Reason.STILL_SERVING)
_LAST = (Reason.FENCE_DELAY, Reason.FENCE_UNCONFIRMED)


def gate_lines(
    cause: FenceCause, reasons: Collection[Reason], *, witnessed: bool = False
) -> list[str]:
    """A line for each gate that said no, and those that said yes together.

    Args:
        cause: Why the peer was to be fenced.
        reasons: What said no, of the recorded phase; none: the fence was ordered.
        witnessed: There are witnesses to ask.
    """
    no = [f"no   {reason.text} ({reason.code})" for reason in reasons]
    asked = [gate for gate in YES if _was_asked(gate, cause, reasons)]
    yes = [YES[gate] for gate in asked if witnessed or gate not in _WITNESSES]
    wrapped = wrap(", ".join(yes), WIDTH, initial_indent="yes  ", subsequent_indent="     ")
    return [*no, *wrapped]


def _was_asked(gate: Reason, cause: FenceCause, reasons: Collection[Reason]) -> bool:
    """Whether the gate was asked and said yes; some are asked only if those before say yes."""
    if gate in reasons or (cause is FenceCause.ASKED and gate not in (*_STANDING, *_LAST[:1])):
        return False
    if gate in _LAST:
        return not reasons
    if gate is Reason.NOTHING_TO_GAIN:
        return all(
            reason in {*YES, *_WITNESSES} for reason in reasons
        )  # A bar of a group is none of the gates.
    if gate in _OF_EVIDENCE and Reason.EVIDENCE_PENDING in reasons:
        return False
    if gate in _WITNESSES and any(reason in _WITNESSES for reason in reasons):
        return False
    return gate is not Reason.VIP_ANSWERS or cause is FenceCause.ALONE
