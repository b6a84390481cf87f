# SPDX-License-Identifier: GPL-2.0-or-later
"""From an observer's configuration to its loop."""

from __future__ import annotations

import asyncio

from haagent import host
from haagent.config.observing import ObserverConfiguration
from haagent.observer.judge import Rules
from haagent.observer.server import Server
from haagent.resources.build import make_probe
from haagent.witness.build import make_seal


def run(configuration: ObserverConfiguration) -> int:
    """Run an observer until it is told to end.

    Returns:
        The process's exit status.

    Raises:
        EdgeError: a certificate cannot be read, or the address cannot be had.
    """
    host.leave_no_core()
    rules = Rules(
        node_names=configuration.node_names,
        groups=configuration.groups,
        dead_after_ns=configuration.dead_after_ns,
        serving_grace_ns=configuration.serving_grace_ns,
        lease_ns=configuration.lease_ns,
        probed=bool(configuration.probes),
    )
    probes = [make_probe(group, probe) for group, probe in configuration.probes]
    seal = make_seal(configuration.cluster, configuration.keys)

    async def observe() -> int:
        return await Server(configuration.address, configuration.port, rules, seal, probes).run()

    return asyncio.run(observe())
