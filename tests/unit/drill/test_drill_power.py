# SPDX-License-Identifier: GPL-2.0-or-later
"""The drill's fence console, where it cannot even be started."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from haagent.drill.power import Power
from haagent.errors import EdgeError


@pytest.mark.parametrize("order", [Power.test, Power.give, lambda power: power.cut(1.0)])
def test_console_that_does_not_start(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    order: Callable[[Power], Coroutine[Any, Any, Any]],
) -> None:
    """A machine without a process to spare: said, so that the rollback goes on."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nowhere"))
    power = Power(tmp_path / "haagent.toml", "alpha", "beta", tmp_path / "control.sock")
    with pytest.raises(EdgeError, match="no process for the fence console"):
        asyncio.run(order(power))
