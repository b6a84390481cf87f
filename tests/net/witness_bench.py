# SPDX-License-Identifier: GPL-2.0-or-later
"""An etcd cluster on the LAN of a pair in namespaces, each member at a cable of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hil.etcd import Etcd
from hil.lab import Lab
from hil.network import Port

ADDRESSES = ("192.0.2.51", "192.0.2.52", "192.0.2.53")
CLUSTER = "bench"


def tables(*, unreachable: str = "block", lease: str = "15s") -> str:
    """The cluster as a witness."""
    endpoints = ", ".join(f'"http://{address}:2379"' for address in ADDRESSES)
    return f"""
[[witness]]
kind = "etcd"
name = "etcd"
endpoints = [{endpoints}]
unreachable = "{unreachable}"
lease = "{lease}"
"""


@contextmanager
def etcd_beside(lab: Lab, directory: Path) -> Iterator[Etcd]:
    """Three members that the pair's configuration names."""
    places = []
    for number, address in enumerate(ADDRESSES):
        cable = Port("lan", "eth0", f"02:00:00:00:05:{number:02x}", (f"{address}/24",))
        places.append((address, lab.attach(f"etcd{number}", (cable,))))
    with Etcd(directory, places) as etcd:
        yield etcd


def key(name: str) -> str:
    """A key of the pair's group."""
    return f"/haagent/{CLUSTER}/web/{name}"
