# SPDX-License-Identifier: GPL-2.0-or-later
"""An etcd cluster on the LAN of a pair in namespaces, each member at a cable of its own."""

from __future__ import annotations

import json
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hil.agent import Agent, role, takeover_possible
from hil.etcd import Etcd
from hil.lab import Lab
from hil.network import Port
from hil.pair import Options
from hil.record import NotSeenError
from hil.watch import READY_LIMIT_S, TAKEOVER_LIMIT_S

Build = Callable[[Options], Lab]
TIMING: dict[str, str | int] = {"fence_retry": "1s"}
NOTICED_LIMIT_S = 60.0
"""A lost witness is noticed at the next look, every 5 s."""
STEP_S = 0.1
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
def etcd_beside(lab: Lab, directory: Path, *, clocks: bool = False) -> Iterator[Etcd]:
    """Three members that the pair's configuration names."""
    places = []
    for number, address in enumerate(ADDRESSES):
        cable = Port("lan", "eth0", f"02:00:00:00:05:{number:02x}", (f"{address}/24",))
        places.append((address, lab.attach(f"etcd{number}", (cable,))))
    with Etcd(directory, places, clocks=clocks) as etcd:
        yield etcd


def key(name: str) -> str:
    """A key of the pair's group."""
    return f"/haagent/{CLUSTER}/web/{name}"


@contextmanager
def pair_with_etcd(
    build: Build, directory: Path, *, more: str | None = None, groups: str | None = None
) -> Iterator[tuple[Lab, Etcd]]:
    """A pair that is ready, and its witness."""
    pair = build(
        Options(
            timing=TIMING, check_every="1s", more=tables() if more is None else more, tables=groups
        )
    )
    with etcd_beside(pair, directory) as etcd:
        pair.power_on()
        yield pair, etcd


def stored(etcd: Etcd, name: str) -> str:
    """What stands under a key of the group, "" for nothing."""
    found = json.loads(etcd.control("get", key(name))).get("kvs", ())
    return b64decode(found[0]["value"]).decode() if found else ""


def wait_stored(etcd: Etcd, name: str, wanted: Callable[[str], bool]) -> None:
    """Return when the key is as wanted."""
    end_s = time.monotonic() + NOTICED_LIMIT_S
    while not wanted(value := stored(etcd, name)):
        if time.monotonic() > end_s:
            raise NotSeenError(f"{name} is {value!r}")
        threading.Event().wait(STEP_S)


def lease_of_the_lock(etcd: Etcd) -> int:
    """To which lease the lock of the pair's group is bound now; 0 for none."""
    found = json.loads(etcd.control("get", key("lock"))).get("kvs", ())
    return int(found[0].get("lease", 0)) if found else 0


def wait_order(pair: Lab, node: str, after_ns: int) -> None:
    """Return when a node's BMC was told to cut its power after a time."""
    pair.power.wait(
        lambda e: e["what"] == "order" and e["node"] == node,
        TAKEOVER_LIMIT_S,
        after_ns=after_ns,
        what="fence order",
    )


GROUPS = """
[[group]]
name = "web"
preferred = "alpha"
[[group.vip]]
address = "192.0.2.10/24"
[[group]]
name = "mail"
preferred = "beta"
[[group.vip]]
address = "192.0.2.20/24"
"""


def ready_in_two_groups(pair: Lab) -> None:
    """Wait until each node has its own group, and could take the other's."""
    for name, machine in pair.machines.items():
        Agent(machine).wait(
            lambda s, name=name: role(s, "web" if name == "alpha" else "mail") == "active",  # type: ignore[misc]
            READY_LIMIT_S,
            "its group",
        )
        Agent(machine).wait(takeover_possible, READY_LIMIT_S, "takeover possible")
