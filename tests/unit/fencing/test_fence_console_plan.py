# SPDX-License-Identifier: GPL-2.0-or-later
"""A dry run: whom it names, in which order, and that it contacts nobody."""

from __future__ import annotations

import json
import select
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from console_bench import run

from fencing.console.exits import Exit

WORD = "s3cret-of-nobody"
FENCES = """
[timing]
hedge_after = "1500ms"
[[fence]]
name = "beta-bmc"
node = "beta"
driver = "ipmi"
address = "127.0.0.1"
user = "haagent"
password_file = "password"
identity = "b1234567-89ab-cdef-a123-456789abcdef"
options = {{ port = {port} }}
[[fence]]
name = "beta-pdu"
node = "beta"
driver = "pdu"
level = 2
address = "{line}"
off_settle = "0s"
options = {{ dialect = "apc", outlets = [3, 4] }}
[[fence]]
name = "beta-feed"
node = "beta"
driver = "redfish"
level = 2
address = "127.0.0.2"
user = "operator"
password_file = "password"
options = {{ port = {port} }}
[[fence]]
name = "alpha-bmc"
node = "alpha"
driver = "ipmi"
address = "127.0.0.3"
user = "haagent"
password_file = "password"
"""


@dataclass(frozen=True, slots=True)
class Silent:
    """Devices and a daemon that listen, and to whom nobody may speak."""

    file: Path
    control: Path
    listening: tuple[socket.socket, ...]

    def spoken_to(self) -> bool:
        """Whether anybody sent a packet or connected."""
        readable, _, _ = select.select(self.listening, [], [], 0)
        return bool(readable)

    def command(self, *arguments: str) -> list[str]:
        """A command line."""
        where = ("--config", str(self.file), "--node", "alpha", "--socket", str(self.control))
        return [sys.executable, "-m", "fencing", *arguments, *where]


@contextmanager
def silent(folder: Path) -> Iterator[Silent]:
    """Everything listens."""
    with ExitStack() as stack:
        bmc = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        bmc.bind(("127.0.0.1", 0))
        port = bmc.getsockname()[1]
        feed = stack.enter_context(socket.socket())
        feed.bind(("127.0.0.2", port))
        daemon = stack.enter_context(socket.socket(socket.AF_UNIX))
        daemon.bind(str(folder / "control.sock"))
        for listener in (feed, daemon):
            listener.listen()
        (folder / "password").touch(mode=0o600)
        (folder / "password").write_text(f"{WORD}\n")
        file = folder / "haagent.toml"
        file.write_text(FENCES.format(port=port, line=folder / "line"))
        yield Silent(file, folder / "control.sock", (bmc, feed, daemon))


@pytest.fixture
def quiet(tmp_path: Path) -> Iterator[Silent]:
    """Listeners that must hear nothing."""
    with silent(tmp_path) as found:
        yield found


@pytest.mark.parametrize("verb", ["off", "on", "cycle", "status", "test"])
def test_nobody_is_contacted(quiet: Silent, verb: str) -> None:
    """A dry run of any command sends no packet, opens no connection and makes no lock."""
    before = sorted(path.name for path in quiet.file.parent.iterdir())
    done = run(quiet.command(verb, "--dry-run"))
    assert done.returncode == 0
    assert done.stdout.endswith("dry run: nobody was contacted, nothing was ordered\n")
    assert WORD not in done.stdout + done.stderr
    assert not quiet.spoken_to()
    assert sorted(path.name for path in quiet.file.parent.iterdir()) == before


def test_the_listeners_hear(quiet: Silent) -> None:
    """The same command without --dry-run is heard: the silence above means something."""
    text = quiet.file.read_text().replace('"beta-bmc"', '"beta-bmc"\noff_settle = "0s"')
    quiet.file.write_text(text)
    done = run(quiet.command("off", "--yes", "--deadline", "3s", "--device", "beta-bmc"))
    assert done.returncode in {Exit.UNPROVED, Exit.NOT_ORDERED}
    assert quiet.spoken_to()


def test_one_source(quiet: Silent) -> None:
    """Options of a single device beside a file are refused, not overlooked."""
    for option in (("--option", "port=1"), ("--user", "root"), ("--driver", "ipmi")):
        done = run(quiet.command("off", "--dry-run", *option))
        assert done.returncode == Exit.USAGE
        assert "the device comes from one place" in done.stderr


def test_order_and_proof(quiet: Silent) -> None:
    """Off goes by ascending levels, on by descending ones; each device with all that reaches it."""
    plan = run(quiet.command("cycle", "--dry-run")).stdout.splitlines()
    heads = [line.split(". ", 1)[1] for line in plan if line[0].isdigit()]
    assert heads[0].startswith("ask for the name beta to be typed; take the lock ")
    assert heads[1] == (
        "beta: level 1 is ordered off at once; it is off after 3 readings of off in a row, the "
        "last one 2 s after the others"
    )
    assert heads[2] == (
        "beta: level 2 is ordered off when level 1 has failed, or beside it if that has not read "
        "off 1.5 s later; it is off after 3 readings of off in a row, the last one 2 s after the "
        "others, and all devices off at the same time"
    )
    assert "is the proof for beta: it is offered to the daemon" in heads[3]
    assert heads[4] == "the power stays off for 5 s"
    assert [head[:12] for head in heads[5:]] == ["beta: level ", "beta: level "]
    assert "level 2 is ordered on, one device every 0.5 s" in heads[5]
    assert "level 1 is ordered on" in heads[6]
    bmc = next(line for line in plan if "beta-bmc: " in line)
    assert "ipmi at 127.0.0.1 as haagent, port " in bmc
    assert bmc.endswith(", only if it is b1234567-89ab-cdef-a123-456789abcdef, within 20 s")
    pdu = next(line for line in plan if "beta-pdu: " in line)
    assert "dialect apc, outlets (3, 4), within 20 s" in pdu
    assert not any("alpha-bmc" in line for line in plan)


def test_a_part_is_no_proof(quiet: Silent) -> None:
    """The plan says so if the chosen devices could not prove anything."""
    done = run(quiet.command("off", "--dry-run", "--device", "beta-pdu", "--json"))
    plan = json.loads(done.stdout)["plan"]
    (part,) = (part for part in plan if "proves nothing" in part["what"])
    assert part["what"].startswith("level 2 without beta-feed proves nothing for beta")
    (device,) = (device for part in plan for device in part["devices"])
    assert (device["device"], device["options"]["outlets"]) == ("beta-pdu", [3, 4])
    assert device["off_settle_s"] == 0.0


def test_our_own_node(quiet: Silent) -> None:
    """A dry run is refused where the command would be."""
    assert run(quiet.command("off", "alpha", "--dry-run")).returncode == Exit.NOT_ORDERED
    assert run(quiet.command("off", "alpha", "--this-node", "--dry-run")).returncode == 0
    assert run(quiet.command("status", "alpha", "--dry-run")).returncode == 0


def test_bad_hedge(quiet: Silent) -> None:
    """A hedge_after that is none refuses the file."""
    quiet.file.write_text(quiet.file.read_text().replace('"1500ms"', '"soon"'))
    done = run(quiet.command("off", "--dry-run"))
    assert done.returncode == Exit.CONFIGURATION
    assert 'timing.hedge_after: "soon": not a duration' in done.stderr
