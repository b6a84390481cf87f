# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk that refuses is the server's trouble, not the agent's."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from pathlib import Path

import pytest

from haagent.postgres.layout import Layout, PostgresSettings
from haagent.postgres.resource import PostgresResource
from haagent.resources import Condition, ResourceError


def test_settings_that_cannot_be_written_fail_the_standby(tmp_path: Path) -> None:
    """It is told, to be tried again; the data are no worse for it, and nothing is copied."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "PG_VERSION").write_text("15\n")
    (data / "postgresql.auto.conf.haagent").mkdir()  # where the settings are written first
    layout = Layout(tmp_path / "bin", data, tmp_path / "postgresql.conf", tmp_path / "log", data)
    addresses = ip_address("192.0.2.11"), ip_address("192.0.2.12")

    async def stand_by() -> Condition:
        resource = PostgresResource(PostgresSettings("db", "alpha", "beta", layout, *addresses))
        with pytest.raises(ResourceError, match="its disk refuses: Is a directory"):
            await resource.stand_by()
        reading = await resource.monitor()
        await resource.close()
        return reading.condition

    assert asyncio.run(stand_by()) is Condition.STOPPED
    assert not layout.marker.exists()
