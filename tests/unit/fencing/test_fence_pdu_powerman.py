# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's powerman as an independent client: what it and we do to a PDU, the other one sees.

It speaks to RPS-10 and BayTech over a serial line; its scripts for other makes expect a network.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from pdu_bench import OURS, device

from fencing import DeviceSettings, Power, Secret
from hil.pdu.baytech import OpenRpc3Nc, OpenRpc28Nc
from hil.pdu.rps10 import Rps10
from hil.ports import free_port

DAEMON = "/usr/sbin/powermand"
CLIENT = "/usr/bin/powerman"
LIMIT_S = 30
OTHERS = (1, 3, 4, 6, 7, 8)


@dataclass(frozen=True)
class Known:
    """A PDU that powerman knows how to speak to."""

    dialect: str
    specification: str
    emulator: Callable[[Path], Rps10 | OpenRpc3Nc | OpenRpc28Nc]
    nodes: str = "1-8"


KNOWN = {
    "rps10": Known("rps10", "wti-rps10", Rps10, nodes="0-9"),
    "rpc3-nc": Known("baytech", "baytech-rpc3-nc", OpenRpc3Nc),
    "rpc28-nc": Known(
        "baytech", "baytech-rpc28-nc", lambda path: OpenRpc28Nc(path, outlets=20), nodes="1-20"
    ),
}

every_known = pytest.mark.parametrize("known", KNOWN.values(), ids=list(KNOWN))


def settings(known: Known, line: Path) -> DeviceSettings:
    """What reaches the same PDU with our driver."""
    return DeviceSettings(
        name="pdu",
        driver="pdu",
        address=str(line),
        user="",
        password=Secret(b""),
        off_settle_s=0.0,
        options={"dialect": known.dialect, "outlets": OURS},
    )


class Powerman:
    """A running powermand, asked through its client."""

    def __init__(self, port: int) -> None:
        self._port = port

    def run(self, *arguments: str) -> str:
        """What the client prints; node 3 is outlet 3."""
        command = [CLIENT, "--server-host", f"127.0.0.1:{self._port}", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=True)
        return done.stdout

    def states(self) -> dict[int, str]:
        """Each outlet, and the word that powerman has for its state."""
        found = re.findall(r"^(on|off|unknown):\s*(\S*)", self.run("--query-all"), re.MULTILINE)
        return {outlet: word for word, nodes in found for outlet in numbers(nodes)}


def numbers(nodes: str) -> list[int]:
    """`pdu[1-3,5]` is 1, 2, 3, 5."""
    ranges = [part.split("-") for part in re.findall(r"\d+(?:-\d+)?", nodes)]
    return [number for part in ranges for number in range(int(part[0]), int(part[-1]) + 1)]


@contextmanager
def powerman(known: Known, line: Path, directory: Path) -> Iterator[Powerman]:
    """A powermand of our own on loopback, with one PDU, ended afterwards."""
    port = free_port()
    configuration = directory / "powerman.conf"
    configuration.write_text(
        f'include "/etc/powerman/{known.specification}.dev"\n'
        f'listen "127.0.0.1:{port}"\n'
        f'device "pdu" "{known.specification}" "{line}" "9600,8n1"\n'
        f'node "node[{known.nodes}]" "pdu" "[{known.nodes}]"\n'
    )
    with subprocess.Popen(
        [DAEMON, "--foreground", "--conf", str(configuration)], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            # It listens before it opens its devices.
            assert "opened" in process.stderr.readline()
            yield Powerman(port)
        finally:
            process.terminate()
            process.wait(LIMIT_S)


@every_known
def test_powerman_switches_and_we_read(known: Known, tmp_path: Path) -> None:
    """What powerman cut reads off with our driver, and on when it gave the power back."""
    line = tmp_path / "tty-pdu"
    with known.emulator(line) as pdu:
        for order, on, power in (("--off", False, Power.OFF), ("--on", True, Power.ON)):
            with powerman(known, line, tmp_path) as other:
                other.run(order, f"node[{OURS[0]},{OURS[1]}]")
            assert [pdu.relays.on[outlet] for outlet in OURS] == [on, on]
            assert all(pdu.relays.on[outlet] for outlet in OTHERS)
            with device(settings(known, line)) as ours:
                assert ours.status() is power


@every_known
def test_we_switch_and_powerman_reads(known: Known, tmp_path: Path) -> None:
    """What our driver cut is off for powerman, and nothing else is; and on when we gave it back."""
    line = tmp_path / "tty-pdu"
    with known.emulator(line) as pdu:
        with device(settings(known, line)) as ours:
            ours.off()
        with powerman(known, line, tmp_path) as other:
            states = other.states()
            assert {outlet for outlet, word in states.items() if word == "off"} == set(OURS)
            assert len(states) == len(pdu.relays.on)
            assert "unknown" not in states.values()
        with device(settings(known, line)) as ours:
            ours.on()
        with powerman(known, line, tmp_path) as other:
            assert set(other.states().values()) == {"on"}


@every_known
def test_stuck_outlet_is_on_for_both(known: Known, tmp_path: Path) -> None:
    """An outlet that does not move is on, whoever ordered and whoever reads."""
    line = tmp_path / "tty-pdu"
    with known.emulator(line) as pdu:
        pdu.relays.stuck = frozenset({5})
        with device(settings(known, line)) as ours:
            ours.off()
            assert ours.status() is Power.ON
        with powerman(known, line, tmp_path) as other:
            states = other.states()
            assert (states[2], states[5]) == ("off", "on")
