# SPDX-License-Identifier: GPL-2.0-or-later
"""Both nodes beside each other: heard, of one version and one configuration, and ever proved."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from haagent import __version__
from haagent.cli.verdict import part
from haagent.doctor import Line, Subject, bad, ok, unknown, warning
from haagent.release import packed, unpacked

PROVED_DAYS_MAX = 90
"""A quarter: what was not proved for so long is believed, not known."""
DAY_S = 86_400
BYTES_MAX = 16_000_000


def look(subject: Subject) -> Iterator[Line]:
    """What the peer's own frames say of it, and when a fence was last proved here."""
    peer = part(subject.status, "peer_state")
    if not subject.status:
        text = f"{subject.peer} cannot be compared with this node while no agent runs here"
        yield unknown("both nodes", text, "start the agent, then ask again")
    elif peer.get("phase") != "alive":
        text = f"{subject.peer} is not heard ({peer.get('phase')}), so it cannot be compared"
        yield unknown("both nodes", text, f"systemctl start haagent on {subject.peer}")
    else:
        yield from _compared(subject.peer, peer.get("version"), peer.get("configuration_agrees"))
    yield proved(subject.configuration.state_dir, time.time())


def _compared(name: str, version: object, agrees: object) -> Iterator[Line]:
    if version is None or agrees is None:
        yield unknown("both nodes", "the agent here is of another release than this command")
        return
    own = unpacked(packed())
    if version == own:
        yield ok("versions", f"both nodes run {__version__}")
    else:
        text = f"this node runs {own}, {name} {version or 'one that does not tell its version'}"
        yield warning("versions", text, "install the same package on both, one after the other")
    if agrees:
        yield ok("both nodes", f"{name} is heard and has the same configuration")
    else:
        text = f"{name} has another configuration: nothing is taken over by itself"
        yield bad("both nodes", text, "copy the file, then: haagent reload (or restart) on both")


def proved(folder: Path, now_unix_s: float) -> Line:
    """Days since a power-off of the peer was last read back, by what this node wrote down.

    Args:
        folder: The agent's state directory: its history, and its measurements of fences.
        now_unix_s: Wall clock.
    """
    remedy = "prove it at a quiet hour: haagent fence cycle of the standby"
    try:
        proofs = [*_failovers(folder / "history.jsonl"), *_measured(folder / "settle.json")]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return unknown("last proof", f"the records cannot be read: {error}", "ask as root")
    past = [at_s for at_s in proofs if at_s <= now_unix_s]
    if not past:
        return warning("last proof", "this node has never fenced its peer", remedy)
    days = int((now_unix_s - max(past)) / DAY_S)
    text = f"this node last proved its peer off {days} days ago"
    if days > PROVED_DAYS_MAX:
        return warning("last proof", text, remedy)
    return ok("last proof", text)


def _failovers(path: Path) -> Iterator[float]:
    """When a takeover's proof stands in the history, Unix seconds."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8")[-BYTES_MAX:].splitlines():
        try:
            record = json.loads(line)
            confirmed = "confirmed_off" in record["marks_ns"]
            at_s = datetime.fromisoformat(record["when"]).timestamp()
        except (ValueError, KeyError, TypeError):
            continue  # A line that a power cut has torn, or of another release.
        if confirmed:
            yield at_s


def _measured(path: Path) -> Iterator[float]:
    if path.exists():
        for kept in json.loads(path.read_text(encoding="utf-8")).values():
            yield from (float(one["unix_s"]) for one in kept)
