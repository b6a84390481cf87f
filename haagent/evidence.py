# SPDX-License-Identifier: GPL-2.0-or-later
"""The evidence of a takeover: am I connected, does the service answer, does its address?"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from haagent.config import Configuration
from haagent.config.settings import GroupPlan
from haagent.core.events import EvidenceGathered
from haagent.errors import EdgeError
from haagent.netlink import Netlink
from haagent.probes import Probe
from haagent.probes.evidence import EvidenceProbes
from haagent.reach import Change, Verdict, clients_of
from haagent.reach.watch import ReachWatch
from haagent.resources.build import make_probes
from haagent.vip import Vip
from haagent.vip.prober import VipProber

PROBE_WINDOW_S = 0.02
"""A neighbour on a LAN answers within a millisecond; this is what a takeover can spare."""
EVIDENCE_S = 0.3
"""Evidence must be there between suspect_after and dead_after."""
PROBE_HANGS_S = 2 * EVIDENCE_S
"""A probe keeps its own limit, but a command of its may need some seconds to be killed."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Probes:
    """What a configuration asks of the services, by group."""

    watching: Sequence[Probe | None]
    """For whoever holds the group."""
    evidence: Sequence[Probe | None]
    """For whoever would take it over, and cannot wait."""

    @classmethod
    def of(cls, plans: Sequence[GroupPlan]) -> Probes:
        """Reads files: not on the loop.

        Raises:
            EdgeError: A certificate cannot be read.
        """
        return cls(make_probes(plans), make_probes(plans, EVIDENCE_S))


class Evidence:
    """Whom it asks, all day or when it is wanted.

    Args:
        configuration: Of this node.
        netlink: Opened before, closed after this.
        prober: Of the virtual addresses; the same.
        on_reach: Called on the loop with what is new of the way to a group's clients.
    """

    def __init__(
        self, configuration: Configuration, netlink: Netlink, prober: VipProber, on_reach: Change
    ) -> None:
        self._configuration = configuration
        self._netlink = netlink
        self._prober = prober
        self._on_reach = on_reach
        self._probes = make_probes(configuration.groups, EVIDENCE_S)
        self._asking = EvidenceProbes(PROBE_HANGS_S)
        self._reach = self._watch_over(configuration)

    def start(self) -> None:
        """Watch over the way to the clients.

        Raises:
            EdgeError: Not permitted to open raw sockets.
        """
        self._reach.start()

    async def close(self) -> None:
        """Ask nobody any more."""
        await self._asking.close()
        self._reach.close()

    def reconfigure(self, new: Configuration, probes: Probes) -> None:
        """Go on with other probes, references and times.

        Raises:
            EdgeError: The references cannot be asked; then nothing was changed.
        """
        if new.reach != self._configuration.reach:
            reach = self._watch_over(new, self._reach.verdicts)
            reach.start()
            self._reach.close()
            self._reach = reach
        self._configuration, self._probes = new, probes.evidence

    async def gather(self, attempt: int, held: frozenset[int]) -> EvidenceGathered:
        """All answers at once, within EVIDENCE_S.

        Args:
            attempt: Of the question.
            held: Groups that this node holds, whose probes say nothing about the peer.
        """
        everything = enumerate(self._vips)
        foreign = [vip for i, vips in everything if i not in held for vip in vips]
        probes = [probe for i, probe in enumerate(self._probes) if probe and i not in held]
        connected, answered, *serving = await asyncio.gather(
            self._connected(),
            self._answered(foreign),
            *(self._asking.serves(probe) for probe in probes),
        )
        return EvidenceGathered(
            attempt, connected=connected, serving=any(serving), vip_answered=answered
        )

    @property
    def _vips(self) -> list[tuple[Vip, ...]]:
        vips = self._configuration.vips
        return [vips[plan.name] for plan in self._configuration.groups]

    def _watch_over(
        self, configuration: Configuration, verdicts: Sequence[Verdict] = ()
    ) -> ReachWatch:
        reach = configuration.reach
        clients = [clients_of(vips, reach.references) for vips in self._vips]
        return ReachWatch(
            clients,
            reach.references,
            self._netlink,
            self._on_reach,
            reach.times,
            verdicts=verdicts,
        )

    async def _connected(self) -> bool:
        """Whether a reference answers; without references the links' carriers decide alone."""
        if not self._configuration.reach.references:
            return True
        return await self._reach.answers_now(EVIDENCE_S)

    async def _answered(self, vips: list[Vip]) -> bool:
        """Whether somebody else answers for one of these; not knowing counts as yes (S3)."""
        try:
            return bool(vips and await self._prober.probe(vips, PROBE_WINDOW_S))
        except EdgeError as error:
            log.warning("vip.not_probed", reason=str(error))
            return True
