# SPDX-License-Identifier: GPL-2.0-or-later
"""A hostile neighbour in the LAN: sends forged, replayed and random heartbeats, fast."""

from __future__ import annotations

import json
import random
import socket
import struct
import sys
import time
from pathlib import Path

from hil.namespaces import inside
from hil.network import HEARTBEAT_PORT
from hil.processes import module
from hil.record import ReportingProcess

KINDS = ("replayed", "forged", "fuzzed")
BURST = 100
"""Frames between two looks at the clock."""
_ETHERTYPE_IPV4 = 0x0800
_IP_BYTES, _UDP_BYTES, _ETHERNET_BYTES = 20, 8, 14
_UDP_CHECKSUM = _ETHERNET_BYTES + _IP_BYTES + 6
_CAPTURED = 8
_FRAME_BYTES_MAX = 2048
_NS = 1_000_000_000
_COUNTER_OFFSET = 16
"""Source: haagent/core/wire.py, the frame's layout."""
_COUNTER = struct.Struct("!Q")


class Flood:
    """The neighbour, running until it has sent everything."""

    def __init__(
        self,
        pid: int,
        directory: Path,
        *,
        per_second: int,
        seconds: int,
        kinds: tuple[str, ...] = KINDS,
    ) -> None:
        """Start it in the network namespace of a process; it has begun when this returns."""
        command = module("hil.flood", "eth0", str(per_second), str(seconds), *kinds)
        self._process = ReportingProcess(
            [*inside(pid), *command], directory / "flood.jsonl", directory / "flood.log"
        )
        self._limit_s = 10.0 * seconds
        self._process.record.wait(lambda e: e["what"] == "begun", 10.0, what="flood's start")

    def wait(self) -> dict[str, int]:
        """Return, when it is done, how many frames of each kind it sent, and in how many ms."""
        done = self._process.record.wait(lambda e: e["what"] == "done", self._limit_s, what="flood")
        self.close()
        return {key: value for key, value in done.items() if isinstance(value, int)}

    def close(self) -> None:
        """Stop it."""
        self._process.close()


def captured(sniffer: socket.socket) -> list[bytes]:
    """Some real heartbeats, in IP packets without options."""
    packets: list[bytes] = []
    while len(packets) < _CAPTURED:
        frame = sniffer.recv(_FRAME_BYTES_MAX)
        port = frame[_ETHERNET_BYTES + _IP_BYTES + 2 : _ETHERNET_BYTES + _IP_BYTES + 4]
        if frame[23] == socket.IPPROTO_UDP and int.from_bytes(port, "big") == HEARTBEAT_PORT:
            length = int.from_bytes(frame[16:18], "big")
            packet = bytearray(frame[: _ETHERNET_BYTES + length])
            # No UDP checksum: between namespaces the kernel does not fill it in.
            packet[_UDP_CHECKSUM : _UDP_CHECKSUM + 2] = bytes(2)
            packets.append(bytes(packet))
    return packets


def forged(packet: bytes, chance: random.Random) -> bytes:
    """A real one that claims to be newer than all to come, without the key to sign it.

    Believed only once, it would make every true frame after it look like a replay.
    """
    altered = bytearray(packet)
    start = _ETHERNET_BYTES + _IP_BYTES + _UDP_BYTES
    _COUNTER.pack_into(altered, start + _COUNTER_OFFSET, chance.randrange(2**62, 2**63))
    return bytes(altered)


def fuzzed(packet: bytes, chance: random.Random) -> bytes:
    """Random bytes, of any length up to a real one's, as the payload."""
    start = _ETHERNET_BYTES + _IP_BYTES + _UDP_BYTES
    payload = chance.randbytes(chance.randrange(len(packet) - start))
    header = bytearray(packet[:start])
    ip = memoryview(header)[_ETHERNET_BYTES : _ETHERNET_BYTES + _IP_BYTES]
    ip[2:4] = struct.pack("!H", _IP_BYTES + _UDP_BYTES + len(payload))
    ip[10:12] = bytes(2)
    total = sum(struct.unpack("!10H", ip))
    total = (total & 0xFFFF) + (total >> 16)
    ip[10:12] = struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF)
    header[start - 4 : start] = struct.pack("!HH", _UDP_BYTES + len(payload), 0)
    return bytes(header) + payload


def main() -> None:
    """Arguments: interface, frames a second, seconds, kinds of frames."""
    interface, per_second, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    kinds = sys.argv[4:]
    chance = random.Random(7072)  # noqa: S311  # a seed, so that every run sends the same
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(_ETHERTYPE_IPV4))
    wire.bind((interface, _ETHERTYPE_IPV4))
    mac = wire.getsockname()[4]
    real = [packet[:6] + mac + packet[12:] for packet in captured(wire)]
    sys.stdout.write(json.dumps({"what": "begun"}) + "\n")
    sys.stdout.flush()
    counts = dict.fromkeys(kinds, 0)
    begun_ns = time.monotonic_ns()
    for number in range(per_second * seconds):
        packet = chance.choice(real)
        kind = kinds[number % len(kinds)]
        if kind == "forged":
            packet = forged(packet, chance)
        elif kind == "fuzzed":
            packet = fuzzed(packet, chance)
        wire.send(packet)
        counts[kind] += 1
        if number % BURST == 0:
            ahead_ns = begun_ns + number * _NS // per_second - time.monotonic_ns()
            time.sleep(max(0, ahead_ns) / _NS)  # the rate is what is asked for
    took_ms = (time.monotonic_ns() - begun_ns) // 1_000_000
    sys.stdout.write(json.dumps({"what": "done", "took_ms": took_ms, **counts}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
