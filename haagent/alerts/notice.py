# SPDX-License-Identifier: GPL-2.0-or-later
"""One thing to tell, and how it is told: to a command by its environment, to a webhook as JSON.

HAAGENT_ALERT     name of the [[alert]]
HAAGENT_STATE     raised, cleared, or happened: an event, which is never cleared
HAAGENT_CODE      short code, e.g. link_lan or failover
HAAGENT_KEY       cluster/node/code: the same for the raise and the clear
HAAGENT_SEVERITY  info, warning or critical
HAAGENT_CLUSTER   name of the pair
HAAGENT_NODE      name of the node that tells
HAAGENT_PEER      name of the other one
HAAGENT_DETAIL    a sentence for a person
HAAGENT_TEXT      all of that in one line for a person
HAAGENT_TIME      when it came to be, ISO 8601, by this node's clock
HAAGENT_DROPPED   how many before this one were never delivered to this receiver, decimal
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from haagent.alerts import Severity

VALUE_CHARACTERS_MAX = 4096
"""Of one variable; as for hooks."""
_CONTROLS = dict.fromkeys((*range(32), *range(127, 160)), " ")


class Kind(StrEnum):
    """What a notice says of its subject."""

    RAISED = "raised"
    CLEARED = "cleared"
    HAPPENED = "happened"


@dataclass(frozen=True, slots=True)
class Subject:
    """What it is about."""

    code: str
    severity: Severity
    detail: str
    """A sentence for a person."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell."""

    kind: Kind
    subject: Subject
    time: str
    """ISO 8601, for people."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Who tells it."""

    cluster: str
    node: str
    peer: str


def variables(notice: Notice, sender: Sender, receiver: str, dropped: int) -> Mapping[str, str]:
    """The environment: single lines, bounded."""
    subject, word = notice.subject, notice.subject.severity.word
    text = f"{sender.cluster} {sender.node}: {notice.kind.value} ({word}): {subject.detail}"
    values = {
        "HAAGENT_ALERT": receiver,
        "HAAGENT_STATE": notice.kind.value,
        "HAAGENT_CODE": subject.code,
        "HAAGENT_KEY": f"{sender.cluster}/{sender.node}/{subject.code}",
        "HAAGENT_SEVERITY": word,
        "HAAGENT_CLUSTER": sender.cluster,
        "HAAGENT_NODE": sender.node,
        "HAAGENT_PEER": sender.peer,
        "HAAGENT_DETAIL": subject.detail,
        "HAAGENT_TEXT": text,
        "HAAGENT_TIME": notice.time,
        "HAAGENT_DROPPED": str(dropped),
    }
    return {name: _line(value) for name, value in values.items()}


def _line(value: str) -> str:
    line = value.translate(_CONTROLS)[:VALUE_CHARACTERS_MAX]
    return line.encode(errors="replace").decode()
