# SPDX-License-Identifier: GPL-2.0-or-later
"""The right to feed the watchdog of a node that holds groups, and how long its end takes (S2 e).

Where `[watchdog] fence` is on, a node that holds a group feeds its watchdog only while it has a
right to: the peer heard it, or the witnesses stood by it, within `unfed_after`. Both are counted
by our own clock from *before* the proof left us: from when the frame was sent that the peer says
it heard, from when the witnesses were asked. So the right ends at most `unfed_after` after the
peer last heard us and after the witnesses agreed to a takeover of the peer, whatever the network
delayed. The watchdog fires `timeout` after it was fed last, and a process that stalls between the
look at its right and the feeding has fed one `timeout` late at most, for else it fires first.

No right is needed where nobody can be waiting for our end: with nothing held; and from the proof
that the peer is off, or its farewell, until anything of it is heard again, because an agent of the
peer that was started since then knows our watchdog only by a frame that answers one of its own.

Pure: the time comes in. It is CLOCK_BOOTTIME, which a suspended machine's sleep does not stop.
Source: docs/adr/0017.
"""

from __future__ import annotations

from collections import deque

from haagent.core.phases import HOLDING, Fenced, Left, PoweringOn, Unheard
from haagent.core.settings import MS, S
from haagent.core.state import State
from haagent.core.wire import AGE_NEVER_MS, Frame

SENT_EVERY_NS = 250 * MS
"""Between two frames whose time is remembered."""
SENT_MAX = 256
"""Times that are remembered: a minute, which is longer than any right."""


class FeedingRight:
    """Of one agent's life.

    Args:
        incarnation: Ours: only what answers to it says that we were heard.
        lasts_ns: How long a proof is good for; 0: no right is needed, ever.
    """

    def __init__(self, incarnation: int, lasts_ns: int) -> None:
        self._incarnation = incarnation
        self._lasts_ns = lasts_ns
        self._sent: deque[tuple[int, int]] = deque(maxlen=SENT_MAX)
        self._proved_ns: int | None = None
        self._free = False
        self._holds = True

    def sent(self, counter: int, now_ns: int) -> None:
        """A frame with that counter is about to leave."""
        if not self._lasts_ns:
            return
        if not self._sent or now_ns - self._sent[-1][1] >= SENT_EVERY_NS:
            self._sent.append((counter, now_ns))

    def heard(self, frame: Frame) -> None:
        """The peer's frame says which of ours it heard."""
        if not self._sent or frame.body.echo != self._incarnation:
            return
        links = [link.counter for link in frame.body.links if link.age_ms != AGE_NEVER_MS]
        newest = max(links, default=0)
        while self._sent and self._sent[0][0] <= newest:
            _, at_ns = self._sent.popleft()
            self._prove(at_ns)

    def agreed(self, asked_ns: int) -> None:
        """A majority of the witnesses stood by us when they were asked at that time."""
        self._prove(asked_ns)

    def observe(self, state: State) -> None:
        """After each step of the core."""
        if not self._lasts_ns:
            return
        self._holds = any(isinstance(group.phase, HOLDING) for group in state.groups)
        if isinstance(state.pair, Fenced | Left):
            self._free = not _stranger_since(state, state.pair.since_ns)
        elif self._free:
            quiet = isinstance(state.pair, PoweringOn | Unheard)
            self._free = quiet and not _stranger_since(state, state.pair.since_ns)

    def lasts(self, now_ns: int) -> bool:
        """Whether the watchdog may be fed now."""
        if not self._lasts_ns or not self._holds or self._free:
            return True
        return self._proved_ns is not None and now_ns - self._proved_ns < self._lasts_ns

    def _prove(self, at_ns: int) -> None:
        self._proved_ns = at_ns if self._proved_ns is None else max(self._proved_ns, at_ns)


def unfed_s(lasts_s: int, timeout_s: int) -> int:
    """After so long at most, a node that lost the peer and the witnesses has been reset."""
    return lasts_s + 2 * timeout_s


def outwait_ns(unfed_s: int) -> int:
    """How long the peer waits for that: with a tenth more, and 2 s.

    Cheap timers count seconds coarsely, and some start their reset only then.
    """
    return unfed_s * S + unfed_s * S // 10 + 2 * S


def _stranger_since(state: State, since_ns: int) -> bool:
    heard_ns = state.stranger_heard_ns
    return heard_ns is not None and heard_ns >= since_ns
