# SPDX-License-Identifier: GPL-2.0-or-later
"""What the commits of a group held here do, as a person must look at it (S11)."""

from __future__ import annotations

from haagent.core.phases import Active, Starting
from haagent.core.state import Group


def at_risk(group: Group) -> bool:
    """Commits are acknowledged here that the loss of this node would lose.

    That is over once the peer has them all, or can certainly not be promoted without them.
    """
    holds = isinstance(group.phase, Starting | Active)
    return holds and group.sync.risk and not group.sync.stale


def commits(group: Group) -> list[dict[str, str]]:
    """Alarms: commits wait, or the loss of this node would lose some; none if all is well."""
    name, sync = group.settings.name, group.sync
    if not group.settings.sync or not isinstance(group.phase, Active) or sync.given:
        return []
    if at_risk(group):
        text = f"{name}: commits go on alone, and the peer could be promoted without them"
        return [{"code": f"sync_risk_{name}", "text": text}]
    what = "wait for the peer" if sync.asked else "go on without the peer"
    return [{"code": f"sync_{name}", "text": f"{name}: commits {what}"}]
