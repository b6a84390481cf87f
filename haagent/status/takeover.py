# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a takeover would work right now, and if not, why not."""

from __future__ import annotations

from haagent.core.beat import not_promotable, role
from haagent.core.gates import standing_reasons
from haagent.core.operator import peer_hears_us
from haagent.core.phases import HOLDING, Alive, Silent, Unheard
from haagent.core.reasons import Reason
from haagent.core.state import Group
from haagent.core.wire import Role
from haagent.status.sources import Reasons, Sources, coded, peer_text
from haagent.witness import majority

PAIR_REASONS = {Reason.MAINTENANCE, Reason.CONFIGURATION_DIFFERS, Reason.STOPPING}
"""Reasons that bind both nodes alike."""


def takeover_reasons(sources: Sources) -> Reasons:
    """Why neither node could take over from the other now, as far as this one can tell.

    A node that holds a group asks whether the peer could take it; a node that does not,
    whether it could itself.
    """
    state = sources.state
    standing = standing_reasons(state, sources.now_ns)
    if all(isinstance(group.phase, HOLDING) for group in state.groups):
        # What only forbids our own shooting keeps nobody from taking over from us.
        standing = [reason for reason in standing if reason in PAIR_REASONS]
    reasons = [coded(reason) for reason in standing]
    if sources.now_ns < state.pause_until_ns:
        reasons.append(coded(Reason.PEER_PAUSING))
    if not isinstance(state.pair, Alive):
        if isinstance(state.pair, Unheard) and state.view is None:
            reasons.append(coded(Reason.PEER_NEVER_HEARD))
        reasons.append({"code": "peer_not_there", "text": peer_text(state)})
        if isinstance(state.pair, Silent):
            reasons += [coded(reason) for reason in state.pair.reasons]
        return _unique(reasons)
    if not peer_hears_us(state):
        reasons.append(coded(Reason.PEER_DOES_NOT_HEAR_US))
    for group in state.groups:
        reasons += _group_reasons(sources, group)
    if not all(isinstance(group.phase, HOLDING) for group in state.groups) and (
        majority.bars(sources.witnesses)
    ):
        reasons.append(coded(Reason.WITNESS_UNREACHABLE))
    return _unique(reasons)


def _group_reasons(sources: Sources, group: Group) -> Reasons:
    state = sources.state
    assert state.view is not None
    name = group.settings.name
    if role(group.phase) is Role.ASSESSING:
        return [{"code": "assessing", "text": f"what may be left of {name} here is being stopped"}]
    if isinstance(group.phase, HOLDING):
        report = state.view.group(name)
        if report is not None and report.role is Role.ASSESSING:
            text = f"the peer is stopping what may be left of {name} there"
            return [{"code": "assessing", "text": text}]
        if report is None or report.promotable:
            return []
        known = report.reason in set(Reason)
        why = Reason(report.reason).text if known else "it does not say why"
        return [{"code": "peer_not_promotable", "text": f"the peer cannot take {name}: {why}"}]
    reasons = []
    own = not_promotable(state, group)
    if own is not None:
        reasons.append({"code": own.code, "text": f"{name}: {own.text}"})
    if state.fence_ready is not True and not sources.outwait_s:
        text = state.fence_detail or "not checked yet"
        reasons.append({"code": Reason.FENCE_NOT_READY.code, "text": f"cannot fence: {text}"})
    return reasons


def _unique(reasons: Reasons) -> Reasons:
    return list({reason["code"] + reason["text"]: reason for reason in reasons}.values())
