# SPDX-License-Identifier: GPL-2.0-or-later
"""Removes virtual addresses that no agent looks after any more (design, section 6).

Of a group that this node holds, by its record and since this boot, nothing is touched: either the
next agent takes it up (ADR 3), or the peer proves this machine off before it takes it over.
"""

from __future__ import annotations

from pyroute2 import IPRoute

from haagent import host
from haagent.config.load import Places
from haagent.durable import DurableRecord
from haagent.errors import EdgeError
from haagent.vip import Vip, addresses


def unheld(places: Places) -> tuple[Vip, ...]:
    """The addresses of the groups that this node does not hold."""
    record, same_boot = DurableRecord(places.state_dir / "record.json", host.boot_id()).load()
    held = {name for name, group in record.groups if group.held and same_boot}
    return tuple(vip for group, vips in places.vips.items() if group not in held for vip in vips)


def tidy(places: Places) -> tuple[Vip, ...]:
    """Remove every such address that is here, and read back that it is gone.

    Only for when no agent runs: a running one looks after its addresses itself.

    Returns:
        What was removed.

    Raises:
        EdgeError: one is still here.
    """
    try:
        with IPRoute() as route:
            stale = sorted(addresses.configured(route, unheld(places)), key=lambda vip: vip.address)
            addresses.remove_all(route, stale)
    except OSError as error:
        raise EdgeError(f"netlink: {error.strerror}") from error
    return tuple(stale)
