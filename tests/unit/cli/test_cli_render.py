# SPDX-License-Identifier: GPL-2.0-or-later
"""Status for people: nothing in it can break it."""

from __future__ import annotations

import io
from typing import Any

from cli_bench import STATUS, status
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from haagent.cli.render import history_view, status_view
from haagent.cli.verdict import Exit, exit_code


def rendered(data: dict[str, Any]) -> str:
    """The status as plain text."""
    stream = io.StringIO()
    Console(file=stream, width=200).print(status_view(data))
    return stream.getvalue()


def group(**changes: object) -> dict[str, Any]:
    """The fine status with its group changed."""
    return status(groups=[{**STATUS["groups"][0], **changes}])


def test_trouble_is_told_in_words() -> None:
    """One-way loss, alarms, maintenance, blocked and orphaned groups each have their words."""
    text = rendered(
        status(
            maintenance=True,
            alarms=[{"code": "one_way", "text": "beta does not hear us", "since_s": 75}],
            peer_state={**STATUS["peer_state"], "hears_us": False, "heard_ms_ago": None},
            groups=[
                {
                    **STATUS["groups"][0],
                    "role": "stuck",
                    "peer_role": None,
                    "blocked": {"code": "stop", "text": "cannot be stopped"},
                }
            ],
        )
    )
    for words in (
        "ALARM one_way: beta does not hear us (for 1 min 15 s)",
        "Maintenance is on",
        "DOES NOT HEAR US",
        "heard never",
        "active on neither node",
        "blocked: cannot be stopped",
    ):
        assert words in text


def test_groups_and_their_resources() -> None:
    """Orders, data position and what became of a group have their words; resources a table."""
    text = rendered(
        group(
            stopped=True,
            frozen=True,
            reachable=False,
            position=42,
            returned="was active here",
            resources=[{"name": "db", "condition": "failed", "detail": "exit 3"}],
        )
    )
    for words in (
        "stopped by an operator frozen by an operator",
        "its clients do not reach this node",
        "data position 42",
        "was active here",
    ):
        assert words in text
    (line,) = [line for line in text.splitlines() if line.startswith("db")]
    assert line.split() == ["db", "web", "failed", "exit", "3"]
    assert "RESOURCE" not in rendered(STATUS)


def test_who_would_take_over() -> None:
    """The node that holds the group is the one that would be taken over from."""
    assert "beta would take over from alpha" in rendered(STATUS)
    text = rendered(group(role="standby", peer_role="active"))
    assert "alpha would take over from beta" in text
    both = [STATUS["groups"][0], {**STATUS["groups"][0], "role": "standby", "peer_role": "active"}]
    assert "alpha and beta would take over from each other" in rendered(status(groups=both))


def test_exit_codes() -> None:
    """2 wins over 1: no takeover, or a group that nobody holds, is never just degraded."""
    assert exit_code(STATUS) is Exit.FINE
    assert exit_code(status(condition="degraded")) is Exit.DEGRADED
    assert exit_code(status(condition="odd")) is Exit.DEGRADED
    assert exit_code(status(takeover={"possible": False, "reasons": []})) is Exit.CRITICAL
    assert exit_code(group(role="standby", peer_role=None)) is Exit.CRITICAL
    assert exit_code(group(role="standby", peer_role="active")) is Exit.FINE
    assert exit_code({}) is Exit.CRITICAL


def test_no_text_drives_the_terminal() -> None:
    """Markup and control characters that come from the peer are shown, not obeyed."""
    alarm = {"code": "[bold]x[/]", "text": "\x1b[2Jgone\x07", "since_s": 1}
    text = rendered(status(alarms=[alarm]))
    assert "[bold]x[/]" in text
    assert "\x1b" not in text
    assert "\x07" not in text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


@given(changes=st.dictionaries(st.sampled_from(sorted(STATUS)), JSON), inner=JSON)
@settings(max_examples=60)
def test_a_status_of_another_release_is_still_shown(changes: dict[str, Any], inner: object) -> None:
    """Whatever JSON an agent sends, the command shows what it can and never fails."""
    odd = {
        key: [dict.fromkeys(row, inner) for row in value]
        for key, value in STATUS.items()
        if key in ("groups", "links", "fence")
    }
    for data in (status(**changes), status(**odd)):
        assert rendered(data)
        assert exit_code(data) in Exit


@settings(max_examples=60)
@given(record=st.dictionaries(st.sampled_from(["id", "phases", "total_ms", "reason"]), JSON))
def test_any_record_is_shown(record: dict[str, Any]) -> None:
    """A history record with anything in it is shown."""
    Console(file=io.StringIO()).print(history_view([record]))


def test_witnesses_have_a_table() -> None:
    """What each said last, and what happens while it does not answer."""
    said = [("a", "yes", False, "ready"), ("b", "no", True, "refuses"), ("c", "silent", True, "")]
    text = rendered(
        status(
            witnesses=[
                {"name": name, "kind": "etcd", "word": word, "ignored": ignored, "detail": "why"}
                for name, word, ignored, _ in said
            ]
        )
    )
    for name, _, ignored, shown in said:
        line = next(line for line in text.splitlines() if line.startswith(f"{name} "))
        assert ("ignore" if ignored else "block") in line
        assert shown in line
