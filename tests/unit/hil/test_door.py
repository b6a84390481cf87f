# SPDX-License-Identifier: GPL-2.0-or-later
"""The door by which a QEMU process comes in, shut at any moment."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from hil.qemu.bell import Bell

ROUNDS = 300


@pytest.fixture
def restless() -> Iterator[None]:
    """Has threads take turns at every step, nearly."""
    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual_s)


@pytest.mark.usefixtures("restless")
def test_shut_while_somebody_comes_in(tmp_path: Path) -> None:
    """A server that is retired while it gets its power: the door is shut, and nobody reads."""
    path, heard = tmp_path / "door", list[str]()
    before = threading.active_count()
    for _ in range(ROUNDS):
        bell = Bell(path, heard.append)
        with socket.socket(socket.AF_UNIX) as visitor:
            visitor.connect(str(path))
            waiter = threading.Thread(target=_accept, args=(bell,))
            waiter.start()
            bell.close()
            waiter.join()
        assert threading.active_count() == before


def _accept(bell: Bell) -> None:
    with suppress(OSError):  # it was shut before
        bell.accept()
