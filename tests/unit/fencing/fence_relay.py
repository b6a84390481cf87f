# SPDX-License-Identifier: GPL-2.0-or-later
"""A UDP relay before a BMC, which loses and delays what a real management network loses."""

from __future__ import annotations

import select
import socket
import threading
from types import TracebackType
from typing import Any, Self

_RMCP_PLUS, _PAYLOAD_TYPE = 6, 5
"""The authentication type of IPMI 2.0 packets, and where their payload type is (13.6)."""


class Relay:
    """Between one client and one BMC on loopback, IPv4 or IPv6 before it."""

    def __init__(self, bmc_port: int, host: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._front = socket.socket(family, socket.SOCK_DGRAM)
        self._front.bind((host, 0))
        self.port = int(self._front.getsockname()[1])
        self.drop_payload_type: int | None = None
        """Requests of this RMCP+ payload type are lost, e.g. 0x12, RAKP message 1."""
        self.hold = 0
        """So many answers are held back until a later one passes, and overtake nothing."""
        self.requests = 0
        self._held: list[bytes] = []
        self._back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._back.connect(("127.0.0.1", bmc_port))
        self._stop, self._stopped = socket.socketpair()
        self._client: tuple[Any, ...] = ()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.close()
        self._thread.join()
        for one in (self._front, self._back, self._stopped):
            one.close()

    def _run(self) -> None:
        while True:
            ready, _, _ = select.select([self._front, self._back, self._stopped], (), ())
            if self._stopped in ready:
                return
            if self._front in ready:
                self._request()
            if self._back in ready:
                self._answer(self._back.recv(4096))

    def _request(self) -> None:
        packet, self._client = self._front.recvfrom(4096)
        self.requests += 1
        payload_type = packet[_PAYLOAD_TYPE] & 0x3F if packet[4] == _RMCP_PLUS else None
        if payload_type is None or payload_type != self.drop_payload_type:
            self._back.send(packet)

    def _answer(self, packet: bytes) -> None:
        if self.hold:
            self.hold -= 1
            self._held.append(packet)
            return
        for one in (*self._held, packet):
            self._front.sendto(one, self._client)
        self._held.clear()
