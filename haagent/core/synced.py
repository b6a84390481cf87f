# SPDX-License-Identifier: GPL-2.0-or-later
"""S11: what was acknowledged to a client survives the loss of the holder, where a group wants it.

The holder's commits wait for its standby. It may commit alone only once the standby can certainly
not be promoted: it has said so, was proved off, or left. Each change of the holder's word has a
number, and the standby's answer names it (S4). Complete is who holds the group, and who was last
told so by the holder. That is not remembered across a restart of the agent: who was off is not
complete. Complete is also the last holder, once it has heard of the peer that it held it no later.
"""

from __future__ import annotations

from dataclasses import replace

from haagent.core.effects import CommitAlone
from haagent.core.events import SyncRead
from haagent.core.phases import HOLDING, Active, Fenced, Left, Starting
from haagent.core.state import Group, State, View
from haagent.core.turn import Turn
from haagent.core.wire import GroupReport, Role


def heard(group: Group, theirs: GroupReport, view: View) -> Group:
    """The standby takes the holder's word; an earlier one is never taken up again."""
    serves = theirs.role in {Role.ACTIVE, Role.TAKING_OVER}
    sync, word = group.sync, (theirs.word, view.incarnation)
    if theirs.word and word != (sync.seen, sync.seen_of) and not isinstance(group.phase, HOLDING):
        sync = replace(sync, complete=theirs.given, seen=theirs.word, seen_of=view.incarnation)
    peer_term = max(group.peer_term, theirs.held_term)
    accepted_ns = 0 if serves else group.accept_loss_until_ns
    if (sync, peer_term, accepted_ns) == (group.sync, group.peer_term, group.accept_loss_until_ns):
        return group
    return replace(group, sync=sync, peer_term=peer_term, accept_loss_until_ns=accepted_ns)


def told(turn: Turn, event: SyncRead) -> None:
    """The holder's server tells whether its commits wait for the peer, which has all of them."""
    group = turn.group(event.group)
    sync = group.sync
    if not isinstance(group.phase, Starting | Active):
        return
    if event.complete:
        if not sync.given or _disowned(turn.state, group):
            sync = replace(sync, word=turn.attempt(), given=True)
        sync = replace(sync, stale=False, asked=0, risk=False)
    else:
        if sync.given or not sync.word:
            sync = replace(sync, word=turn.attempt(), given=False)
        since_ns = sync.since_ns if sync.asked else turn.now_ns
        sync = replace(sync, asked=event.attempt, since_ns=since_ns)
    turn.change(event.group, sync=sync)


def advance(turn: Turn, index: int) -> None:
    """What the holder knows of its standby, and whether its commits may be let go."""
    group = turn.group(index)
    if not group.settings.sync or not isinstance(group.phase, Starting | Active):
        return
    sync = group.sync
    gone = isinstance(turn.state.pair, Fenced | Left)
    if gone and (sync.given or not sync.word):
        # Whoever comes back hears this word, and no earlier one.
        sync = replace(sync, word=turn.attempt(), given=False)
    if gone or (not sync.given and _disowned(turn.state, group)):
        sync = replace(sync, stale=True)
    late = turn.now_ns - sync.since_ns >= group.settings.sync_wait_ns
    risk = not sync.stale and late and group.settings.sync_continue
    if sync.asked and (sync.stale or risk):
        turn.emit(CommitAlone(index, sync.asked, risk))
        sync = replace(sync, asked=0, risk=risk)
    if sync != group.sync:
        turn.change(index, sync=sync)


def lacks(state: State, group: Group) -> bool:
    """Commits that were acknowledged may be missing here."""
    theirs = state.view.group(group.settings.name) if state.view else None
    if group.sync.complete or theirs is None:
        return not group.sync.complete
    if not group.held_term:  # Nobody has ever held it: whoever has more of the data.
        return group.peer_term > 0 or group.position < theirs.position
    return group.held_term <= group.peer_term


def waits(state: State, now_ns: int) -> bool:
    """Commits have waited for a peer for so long that its death is to be made certain."""
    return any(
        group.sync.asked and now_ns - group.sync.since_ns >= group.settings.sync_wait_ns
        for group in state.groups
        if isinstance(group.phase, Active)
    )


def _disowned(state: State, group: Group) -> bool:
    """The peer answers to the newest word that it is not complete."""
    theirs = state.view.group(group.settings.name) if state.view else None
    word = group.sync.word
    return theirs is not None and 0 < theirs.seen == word and not theirs.complete
