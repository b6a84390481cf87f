# SPDX-License-Identifier: GPL-2.0-or-later
"""The variables by which an agent is notified of what happens to its promotable resource.

Only of this node: what runs on the other one is not known here. An agent that rebuilds its
replication from the other node's names finds them empty.

Source: Pacemaker 2.1 Explained, "Clone Notifications"; lists tell what was before the operation.
"""

from __future__ import annotations

from haagent.resources import Condition

MOMENTS = {
    "start": ("post",),
    "promote": ("pre", "post"),
    "demote": ("pre", "post"),
    "stop": ("pre",),
}
"""When an instance hears of its own operations: only while it runs."""
_OPERATIONS = ("start", "stop", "promote", "demote")
_ROLES = ("active", "promoted", "unpromoted", "master", "slave")


def variables(
    moment: str, operation: str, before: Condition, *, instance: str, node: str
) -> dict[str, str]:
    """The environment of one notification.

    Args:
        moment: "pre" or "post".
        operation: What happens: start, stop, promote, demote.
        before: What the resource was before the operation.
        instance: Its name, without the number of the clone.
        node: This node.
    """
    filled = {operation}
    if before is Condition.ACTIVE:
        filled |= {"active", "promoted", "master"}
    elif before is Condition.STANDBY:
        filled |= {"active", "unpromoted", "slave"}
    stopped = before is Condition.STOPPED
    lists = {"type": moment, "operation": operation, "all_uname": node, "available_uname": node}
    lists["inactive_resource"] = f"{instance}:0" if stopped else ""
    for name in (*_OPERATIONS, *_ROLES):
        lists[f"{name}_resource"] = f"{instance}:0" if name in filled else ""
        lists[f"{name}_uname"] = node if name in filled else ""
    return {f"OCF_RESKEY_CRM_meta_notify_{name}": value for name, value in lists.items()}
