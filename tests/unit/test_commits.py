# SPDX-License-Identifier: GPL-2.0-or-later
"""What status alarms of commits says."""

from __future__ import annotations

import pytest

from haagent.core.phases import Active, Standby
from haagent.core.settings import GroupSettings
from haagent.core.state import Group, Sync
from haagent.status.commits import commits


@pytest.mark.parametrize(
    ("sync", "code"),
    [
        (Sync(given=True), None),
        (Sync(asked=1), "sync_db"),
        (Sync(stale=True), "sync_db"),
        (Sync(risk=True), "sync_risk_db"),
        (Sync(risk=True, stale=True), "sync_db"),
    ],
)
def test_who_must_look(sync: Sync, code: str | None) -> None:
    """Commits that wait, go on alone, or go on at a risk; never those of a standby."""
    settings = GroupSettings("db", 0, sync=True)
    alarms = commits(Group(settings, Active(1, 0), sync=sync))
    assert [alarm["code"] for alarm in alarms] == ([code] if code else [])
    assert commits(Group(settings, Standby(), sync=sync)) == []
    assert commits(Group(GroupSettings("db", 0), Active(1, 0), sync=sync)) == []
