# SPDX-License-Identifier: GPL-2.0-or-later
"""Our heartbeats, signed and numbered; the peer's, authenticated."""

from __future__ import annotations

from collections.abc import Iterator

from haagent.config.settings import Keys
from haagent.core.wire import Body, Frame, cluster_id, decode, encode, encode_body


class Heartbeats:
    """Of one agent's life.

    Args:
        cluster: Its name.
        me: Our number.
        incarnation: Of this life.
    """

    def __init__(self, cluster: str, me: int, incarnation: int) -> None:
        self._cluster = cluster_id(cluster)
        self._me = me
        self._incarnation = incarnation
        self._counter = 0

    @property
    def following(self) -> int:
        """The counter of the next frame."""
        return self._counter + 1

    def signed(self, body: Body, keys: Keys, links: int) -> Iterator[bytes]:
        """One heartbeat's frame for each link."""
        content, key = encode_body(body), keys.secrets[keys.send]
        for link in range(links):
            self._counter += 1
            frame = Frame(self._me, link, self._incarnation, self._counter, body)
            yield encode(frame, cluster=self._cluster, key_id=keys.send, key=key, content=content)

    def read(self, data: bytes, keys: Keys) -> Frame:
        """The peer's frame in a datagram.

        Raises:
            DecodeError: It is none; with the refusal to count.
        """
        return decode(data, cluster=self._cluster, keys=keys.secrets, me=self._me)
