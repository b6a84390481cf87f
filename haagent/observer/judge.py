# SPDX-License-Identifier: GPL-2.0-or-later
"""What an observer answers. Pure: facts and the time in, words out.

An observer agrees to the takeover of one node at a time, for the time of a lease that each further
claim renews. One that was started anew does not know to whom it had agreed: for the time of a lease
it agrees to nothing and stands by nobody (`YOUNG`), and so of two nodes at most one ever has a
majority of observers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from haagent.core.wire import Frame
from haagent.witness.telegram import Ask, Said, creed

RETIRED_MAX = 64
"""Earlier incarnations of a node that are remembered; an agent does not restart more often."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What of the configuration an observer goes by; times in nanoseconds."""

    node_names: tuple[str, str]
    groups: tuple[str, ...]
    dead_after_ns: int
    serving_grace_ns: int
    lease_ns: int
    probed: bool
    """It asks the service too."""

    @property
    def creed(self) -> bytes:
        """What the nodes must have alike, see haagent.witness.telegram.creed."""
        return creed(self.node_names, self.groups, self.lease_ns)


class Ear:
    """One node as its heartbeats tell of it."""

    def __init__(self) -> None:
        self.heard_ns: int | None = None
        self._incarnation = 0
        self._counter = -1
        self._retired: list[int] = []
        self.terms: dict[str, int] = {}
        """The highest heard, by group."""

    def hear(self, frame: Frame, now_ns: int) -> bool:
        """Take a frame in, unless it is a replay."""
        if frame.incarnation in self._retired:
            return False
        if frame.incarnation != self._incarnation:
            self._retired = [*self._retired, self._incarnation][-RETIRED_MAX:]
            self._incarnation, self._counter = frame.incarnation, -1
        if frame.counter <= self._counter:
            return False
        self._counter, self.heard_ns = frame.counter, now_ns
        for report in frame.body.groups:
            known = self.terms.get(report.name, 0)
            self.terms[report.name] = max(known, report.term)
        return True


class Judge:
    """The observer's memory.

    Args:
        rules: What it goes by.
        now_ns: When it was started, monotonic.
    """

    def __init__(self, rules: Rules, now_ns: int) -> None:
        self._rules = rules
        self._young_until_ns = now_ns + rules.lease_ns
        self.ears = (Ear(), Ear())
        self._served_ns = now_ns
        """When the service last answered us, if we ask it."""
        self.granted: int | None = None
        """To whose takeover we agreed."""
        self._granted_until_ns = 0
        self._claim = b""
        """By what name that was asked for."""

    def hear(self, frame: Frame, now_ns: int) -> bool:
        """A heartbeat arrived; False for a replay."""
        return self.ears[frame.sender].hear(frame, now_ns)

    def probed(self, *, served: bool, now_ns: int) -> None:
        """The service was asked."""
        if served:
            self._served_ns = now_ns

    def serving(self, now_ns: int) -> bool:
        """Whether the service answered of late."""
        return self._rules.probed and now_ns - self._served_ns < self._rules.dead_after_ns * 3

    def asked(
        self, node: int, ask: Ask, terms: Sequence[int], now_ns: int, claim: bytes = b""
    ) -> tuple[Said, str]:
        """The answer to a node, and why; a claim is given back by the name that it has."""
        if self.granted is not None and now_ns >= self._granted_until_ns:
            self.granted = None
        match ask:
            case Ask.RELEASE:
                if self.granted == node and claim == self._claim:
                    self.granted = None
                return Said.YES, "given back"
            case Ask.LOOK:
                return self._young(now_ns) or self._against(node) or (Said.YES, "answers")
            case Ask.CLAIM:
                said = self._young(now_ns) or self._claimed(node, terms, now_ns)
                self._claim = claim if said[0] is Said.YES else self._claim
                return said

    def _young(self, now_ns: int) -> tuple[Said, str] | None:
        left_ns = self._young_until_ns - now_ns
        if left_ns <= 0:
            return None
        return Said.YOUNG, f"was started just now, agrees to nothing for {left_ns / 1e9:.0f} s"

    def _claimed(self, node: int, terms: Sequence[int], now_ns: int) -> tuple[Said, str]:
        refusal = self._against(node) or self._alive(node, now_ns) or self._superseded(terms)
        if refusal is not None:
            return refusal
        self.granted, self._granted_until_ns = node, now_ns + self._rules.lease_ns
        return Said.YES, "does not hear the other node either"

    def _against(self, node: int) -> tuple[Said, str] | None:
        if self.granted in {None, node}:
            return None
        return Said.NO, f"agreed to the takeover of {self._rules.node_names[1 - node]}"

    def _alive(self, node: int, now_ns: int) -> tuple[Said, str] | None:
        """The other node lives, and serves as far as we can tell."""
        heard_ns = self.ears[1 - node].heard_ns
        if heard_ns is None or now_ns - heard_ns >= self._rules.dead_after_ns:
            return None
        if self._rules.probed and now_ns - self._served_ns >= self._rules.serving_grace_ns:
            return None
        return Said.NO, f"hears {self._rules.node_names[1 - node]}"

    def _superseded(self, terms: Sequence[int]) -> tuple[Said, str] | None:
        for name, term in zip(self._rules.groups, terms, strict=False):
            heard = max(ear.terms.get(name, 0) for ear in self.ears)
            if heard > term:
                return Said.NO, f"{name} was in term {heard}, and this node knows of {term} only"
        return None
