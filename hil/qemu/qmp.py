# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU's own line: orders to a virtual machine as such, and what happens to it."""

from __future__ import annotations

import json
import queue
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hil.qemu.door import Door

ANSWER_LIMIT_S = 30.0


class QmpError(RuntimeError):
    """QEMU refused an order, or is not there any more."""


class Qmp:
    """The line of one life of a QEMU process."""

    def __init__(self, path: Path, on_event: Callable[[str, dict[str, Any]], None]) -> None:
        """Wait at a path of the file system; events are told from a thread of its own."""
        self._on_event = on_event
        self._answers: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._one_order = threading.Lock()
        self._line: socket.socket | None = None
        self._door = Door(path, self._read)

    def accept(self) -> None:
        """Return when QEMU has connected and takes orders.

        Raises:
            QmpError: It did not come.
        """
        try:
            self._line = self._door.accept()
        except OSError as error:
            raise QmpError("QEMU did not connect") from error
        self.order("qmp_capabilities")

    def order(self, what: str, **arguments: Any) -> Any:
        """Give an order and return QEMU's answer to it.

        Raises:
            QmpError: It refused, or is gone.
        """
        with self._one_order:
            if self._line is None:
                raise QmpError(f"{what}: QEMU has not connected")
            message = {"execute": what, "arguments": arguments}
            try:
                self._line.sendall(json.dumps(message).encode() + b"\n")
                answer = self._answers.get(timeout=ANSWER_LIMIT_S)
            except (OSError, queue.Empty) as error:
                raise QmpError(f"{what}: no answer") from error
        if answer is None:
            self._answers.put(None)  # for whoever asks next
            raise QmpError(f"{what}: QEMU is gone")
        if "error" in answer:
            raise QmpError(f"{what}: {answer['error']['desc']}")
        return answer["return"]

    def close(self) -> None:
        """Shut the door; whoever waits for an answer is told that QEMU is gone."""
        self._door.close()

    def _read(self, line: socket.socket) -> None:
        with line.makefile("rb") as lines:
            while True:
                try:
                    said = lines.readline()
                except OSError:
                    said = b""  # QEMU was killed
                if not said:
                    break
                message = json.loads(said)
                if "event" in message:
                    self._on_event(message["event"], message.get("data", {}))
                elif "QMP" not in message:
                    self._answers.put(message)
        self._answers.put(None)
