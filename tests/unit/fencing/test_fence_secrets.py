# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever way a fence fails, no password is in anything that it leaves behind.

Real fences fail in processes of their own, of which everything is kept and searched: values, logs,
tracebacks, debug output, processes' command lines and environments, and every file.
"""

from __future__ import annotations

import html
import json
import os
import pty
import shutil
import socket
import subprocess
import sys
import traceback
import tty
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from fencing.config.tables import TableError, load_fences
from hil.bmc import IpmiSim
from hil.fence_agent import BenchAgent
from hil.pdu.cyberpower import CyberPower
from hil.ports import free_port

HOME = Path(__file__).parents[3]
WITNESS = Path(__file__).with_name("fence_witness.py")
LIMIT_S = 60.0

SECRET = "Zx9'Qw%k<7&\\e\"T"  # noqa: S105  # nobody's: every way of quoting changes it
RIGHT = "Zx9-Qw'k%7&eT"
"""A password that the simulator's configuration can hold."""
ANOTHER = "another"
"""What a device wants that takes none of the two."""

FENCE = """
[[fence]]
name = "device"
node = "alpha"
driver = "{driver}"
{address}
user = "haagent"
password_file = "password"
{kg}
off_settle = "0s"
deadline = "{deadline}"
options = {{ {options} }}
"""


def forms(secret: str) -> dict[str, bytes]:
    """The forms in which a secret is found in logs, dumps and protocols."""
    raw = secret.encode()
    found = {
        "clear": raw,
        "repr": repr(secret)[1:-1].encode(),
        "repr of bytes": repr(raw)[2:-1].encode(),
        "repr of repr": repr(repr(secret))[2:-2].encode(),
        "JSON": json.dumps(secret)[1:-1].encode(),
        "JSON in JSON": json.dumps(json.dumps(secret))[3:-3].encode(),
        "URL": quote(secret, safe="").encode(),
        "HTML": html.escape(secret).encode(),
        "hex": raw.hex().encode(),
        "HEX": raw.hex().upper().encode(),
        "hex with colons": raw.hex(":").encode(),
        "hex with blanks": raw.hex(" ").encode(),
        "list of numbers": ", ".join(map(str, raw)).encode(),
        "UTF-16": secret.encode("utf-16-le"),
        "reversed": raw[::-1],
    }
    # In base64 a secret looks different by what stands before it; its ends are cut off, because
    # they hold bits of the neighbours.
    for shift in range(3):
        padded = b"\0" * shift + raw
        whole = padded[: len(padded) // 3 * 3]
        for name, encode in (("base64", b64encode), ("base64url", urlsafe_b64encode)):
            found[f"{name} at {shift}"] = encode(whole)[4 if shift else 0 :]
    return found


def leaks(secret: str, kept: dict[str, bytes]) -> list[str]:
    """Where the secret is, and in which form."""
    return [
        f"{form} in {place}: {content[max(content.index(look) - 200, 0) :][:400]!r}"
        for place, content in kept.items()
        for form, look in forms(secret).items()
        if look in content
    ]


class Scene:
    """A folder with one fence device, its secret, and the home of the fencing package."""

    def __init__(self, folder: Path, secret: str = SECRET) -> None:
        self.folder = folder
        self.secret = secret
        self.home = HOME
        self.file = folder / "fence.toml"
        self.holders = {folder / "password", folder / "kg"}
        """Files that may hold the secret."""
        for holder in self.holders:
            holder.touch(mode=0o600)
            holder.write_text(f"{secret}\n")

    def table(
        self,
        driver: str,
        address: str = "",
        *,
        options: str,
        deadline: str = "1s",
        kg: bool = False,
    ) -> None:
        """Write the file with its one device."""
        self.file.write_text(
            FENCE.format(
                driver=driver,
                address=f'address = "{address}"' if address else "",
                options=options,
                deadline=deadline,
                kg='kg_file = "kg"' if kg else "",
            )
        )

    def witness(self, *arguments: str) -> str:
        """Everything that the witness of a fence saw."""
        return self.run(str(WITNESS), str(self.file), *arguments)

    def run(self, *arguments: str, stdin: str = "") -> str:
        """Run a Python program that fences; its output, in which there is no secret."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
            "PYTHONPATH": str(self.home),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=environment,
            input=stdin.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=LIMIT_S,
            check=False,
        )
        kept = {"output": done.stdout} | {
            str(path): path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file() and path not in self.holders
        }
        found = leaks(self.secret, kept)
        assert not found, "\n".join(found)
        return done.stdout.decode(errors="replace")

    def patched(self, name: str, *changes: tuple[str, str]) -> None:
        """From now on run a copy of the package, in which one file is changed."""
        self.home = self.folder / "copy"
        shutil.copytree(
            HOME / "fencing", self.home / "fencing", ignore=shutil.ignore_patterns("__pycache__")
        )
        file = self.home / "fencing" / name
        text = file.read_text()
        for old, new in changes:
            assert old in text, f"{name} has no {old!r} any more: correct this test"
            text = text.replace(old, new)
        file.write_text(text)


@contextmanager
def ipmi(scene: Scene, *, password: str, fault: str = "none") -> Iterator[IpmiSim]:
    """The scene's device is a simulated BMC with this password."""
    with IpmiSim(scene.folder / "bmc", port=free_port(), password=password) as bmc:
        bmc.fault = fault
        scene.holders.add(bmc.directory / "lan.conf")
        scene.table("ipmi", bmc.address, options=f"port = {bmc.port}")
        yield bmc


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """With a secret that no device takes."""
    return Scene(tmp_path)


@pytest.fixture
def right(tmp_path: Path) -> Scene:
    """With a secret that the simulated BMC takes."""
    return Scene(tmp_path, RIGHT)


@pytest.mark.parametrize("form", forms(SECRET))
def test_the_search_finds_each_form(form: str) -> None:
    """A secret that leaks in any of the forms is found in the midst of other things."""
    for secret in (SECRET, RIGHT):
        kept = {"a log": b"user:" + forms(secret)[form] + b" and more"}
        assert leaks(secret, kept)
    assert leaks(SECRET, {"a header": b64encode(f"user:{SECRET}@".encode())})
    assert not leaks(SECRET, {"a log": b"login refused " + b64encode(b"something else altogether")})


def test_wrong_password(scene: Scene) -> None:
    """IPMI: a login with the wrong password."""
    with ipmi(scene, password=ANOTHER):
        told = scene.witness()
    assert "outcome: failed" in told
    assert "fencing.worker" in told


def test_silent_bmc(scene: Scene) -> None:
    """IPMI: a BMC that never answers, with a BMC key besides."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as swallowing:
        swallowing.bind(("127.0.0.1", 0))
        port = swallowing.getsockname()[1]
        scene.table("ipmi", "127.0.0.1", options=f'port = {port}, logon = "0.5s"', kg=True)
        told = scene.witness()
    assert "outcome: " in told
    assert "outcome: confirmed_off" not in told


def test_unproved(right: Scene) -> None:
    """IPMI: a login that succeeds, and an order that is not carried out."""
    with ipmi(right, password=RIGHT, fault="ack_only"):
        assert "outcome: unknown" in right.witness()


def test_worker_killed(right: Scene) -> None:
    """Workers that are killed as soon as an order is about to leave."""
    with ipmi(right, password=RIGHT):
        told = right.witness("kill")
    assert "fence.worker_died" in told


def test_bug_in_the_driver(right: Scene) -> None:
    """A driver that dies of a bug whose exception, cause and locals are full of the password."""
    bug = "raise RuntimeError(f'{settings!r}', settings.password.reveal().decode())"
    right.patched(
        "drivers/ipmi.py",
        ("class IpmiDevice:", f"{BUGGY.format(bug=bug)}\n\nclass NotUsed:"),
    )
    with ipmi(right, password=RIGHT):
        told = right.witness()
    assert "fence worker died of RuntimeError: " in told
    assert "drivers/ipmi.py:" in told
    assert "outcome: confirmed_off" not in told


BUGGY = """
class IpmiDevice:
    def __init__(self, settings):
        self._settings = settings

    def status(self):
        settings = self._settings
        try:
            int(settings.password.reveal())
        except ValueError:
            {bug}

    def __getattr__(self, name):
        return self.status

    def close(self):
        pass
"""


@pytest.mark.parametrize("how", ["refused", "mute"])
def test_dead_redfish(scene: Scene, how: str) -> None:
    """Redfish: nobody listens, or somebody who does not say a word."""
    with socket.socket() as listening, ExitStack() as stack:
        listening.bind(("127.0.0.1", 0))
        if how == "mute":
            listening.listen()
            stack.callback(listening.shutdown, socket.SHUT_RDWR)
        port = listening.getsockname()[1]
        scene.table("redfish", "127.0.0.1", options=f"port = {port}, fingerprint = '{'00' * 32}'")
        told = scene.witness()
    assert "outcome: " in told
    assert "outcome: confirmed_off" not in told


class Talkative(CyberPower):
    """A PDU that repeats the password with which a login failed."""

    _said = ""

    def _take_password(self, line: str) -> None:
        self._said = line
        super()._take_password(line)

    def refused(self) -> bytes:
        """Quote it."""
        return f"Login Failed: {self._said} is not the password of cyber\r\n".encode()


def test_pdu_that_repeats_the_password(scene: Scene) -> None:
    """A PDU whose refusal of a login quotes what was typed."""
    line = scene.folder / "line"
    options = 'dialect = "cyberpower", outlets = [1]'
    with Talkative(line, account=("haagent", ANOTHER), baud=115_200) as pdu:
        scene.table("pdu", str(line), options=options, deadline="3s")
        told = scene.witness()
        assert pdu.names
        assert pdu._said == SECRET
    assert "outcome: failed" in told


def test_pdu_that_echoes_everything(scene: Scene) -> None:
    """A line that says nothing but what was typed."""
    mine, theirs = pty.openpty()
    try:
        tty.setcbreak(theirs)
        options = 'dialect = "apc", outlets = [1]'
        scene.table("pdu", os.ttyname(theirs), options=options, deadline="2s")
        assert "outcome: confirmed_off" not in scene.witness()
    finally:
        os.close(mine)
        os.close(theirs)


def test_agent_that_repeats_its_input(scene: Scene) -> None:
    """A fence agent that writes everything it was told to its output and fails."""
    agent = BenchAgent(scene.folder / "agent")
    agent.fault = "leak"
    # The bench keeps what the agent was told on its stdin; its environment is searched.
    scene.holders.add(agent.directory / "input")
    scene.table("agent", options=f'agent = "{agent.program}"', deadline="2s")
    told = scene.witness()
    assert "off" in agent.log
    assert (agent.directory / "environment").exists()
    assert "outcome: confirmed_off" not in told


@pytest.mark.parametrize("content", [f"{SECRET}\n{SECRET}\n", SECRET * 500])
def test_unusable_secret_file(scene: Scene, content: str) -> None:
    """A file that cannot be a password is refused, and shown neither by line nor by traceback."""
    (scene.folder / "password").write_text(content)
    scene.table("ipmi", "127.0.0.1", options="")
    told = scene.witness()
    assert "refused: " in told
    assert "TableError" in told


def test_secret_in_place_of_its_file(scene: Scene) -> None:
    """A configuration with the password itself in every place where one might put it."""
    options = f"privilege = '''{SECRET}''', pass = '''{SECRET}''', port = ['''{SECRET}''']"
    scene.table("ipmi", "127.0.0.1", options=options)
    text = scene.file.read_text().replace('"password"', f"'''{SECRET}'''")
    scene.file.write_text(
        f"{text}password = '''{SECRET}'''\n[[fence]]\nuser = '''{SECRET}\u00e9'''\n"
    )
    with pytest.raises(TableError) as caught:
        load_fences(scene.file)
    assert sum(": (not shown): " in line for line in caught.value.lines) == 6
    error = caught.value
    told = (*traceback.format_exception(error), repr(error), repr(error.problems), *error.lines)
    assert not leaks(SECRET, {"what was raised": "\n".join(told).encode()})


OFF = ("-m", "fencing", "off")
RULES = ("--yes", "--socket", "{folder}/control.sock")
CONSOLES = {
    "file": ((*OFF, "alpha", *RULES, "--config", "{file}"), ""),
    "file, JSON": ((*OFF, "alpha", *RULES, "--json", "--config", "{file}"), ""),
    "one device": (
        (
            *OFF,
            *RULES,
            *("--driver", "ipmi", "--address", "127.0.0.1", "--option", "port={port}"),
            *("--user", "haagent", "--password-file", "{folder}/password"),
        ),
        "",
    ),
    "cluster": (
        ("-c", "import sys; from fencing.fence_agent import main; sys.exit(main())"),
        "action=off\nplug=alpha\nverbose=1\nconfig={file}\n",
    ),
}
"""Their arguments, and what they are given on stdin."""


@pytest.mark.parametrize("console", CONSOLES)
def test_consoles(scene: Scene, console: str) -> None:
    """The programs that a person or a cluster calls, with a password that is refused."""
    arguments, stdin = CONSOLES[console]
    with ipmi(scene, password=ANOTHER) as bmc:
        places = {"folder": scene.folder, "file": scene.file, "port": bmc.port}
        command = (argument.format(**places) for argument in arguments)
        told = scene.run(*command, stdin=stdin.format(**places))
    assert "Incorrect password" in told
    assert "Traceback" not in told


START = "        process.stdin.write("
LOGGED_START = f"        _log.warning('started', line=settings_line(settings))\n{START}"
SABOTAGES = {
    "environment": ("process.py", ("env={}", 'env={"P": settings.password.reveal().decode()}')),
    "command line": (
        "process.py",
        ('"fencing.worker")', '"fencing.worker", settings.password.reveal().hex())'),
    ),
    "log": ("process.py", (START, LOGGED_START)),
    "settings": ("__init__.py", ('return "Secret(***)"', 'return f"Secret({self._value})"')),
}


@pytest.mark.parametrize("place", SABOTAGES)
def test_a_leak_is_found(right: Scene, place: str) -> None:
    """Sabotage: a password given away in any of these places is found."""
    name, change = SABOTAGES[place]
    right.patched(name, change)
    with ipmi(right, password=RIGHT), pytest.raises(AssertionError, match=" in output"):
        right.witness()


def test_a_traceback_with_values_is_found(right: Scene) -> None:
    """Sabotage: a worker that prints its bugs as Python does is found."""
    right.patched("worker.py", ("    sys.excepthook = _report_without_values\n", ""))
    driver = right.home / "fencing" / "drivers" / "ipmi.py"
    bug = "raise RuntimeError(settings.password.reveal())"
    driver.write_text(
        driver.read_text().replace(
            "class IpmiDevice:", f"{BUGGY.format(bug=bug)}\n\nclass NotUsed:"
        )
    )
    with ipmi(right, password=RIGHT), pytest.raises(AssertionError, match=" in output"):
        right.witness()
