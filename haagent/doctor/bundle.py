# SPDX-License-Identifier: GPL-2.0-or-later
"""All that a bug report needs in one archive, with no secret in it.

Two nets: what may be a secret by its name is masked in the configuration (a value of an environment
or of an agent's parameters among it), and every key and password that this machine can read is
looked for in every byte that goes in, in each form in which it might be written.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import tarfile
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fencing.config.options import looks_secret
from haagent.asking import output
from haagent.doctor import Line
from haagent.errors import EdgeError

FILE_BYTES_MAX = 16 << 20
"""Of each; of a longer one its end, which is what was last."""
MASK = b"***"
SECRET_BYTES_MIN = 4
"""A shorter one is found in every other word."""
MASKED_TABLES = {"environment", "parameters", "options", "headers"}
"""Tables whose every value may be one: they go to programs of others."""
WHOLE = frozenset({"outlets", "port", "dialect", "system", "privilege", "suites", "auth"})
"""Values of [[fence]] options that are none, and that a reader needs."""
URL_USER = re.compile(r"(?<=://)[^/@\s\"]+@")
ARGUMENT = re.compile(
    r"((?:pass(?:word|wd)?|secret|token|api[-_]?key)s?[=:]\s*)[^\s\"',\]]+", re.IGNORECASE
)
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "journal.txt": (
        "journalctl", "--unit=haagent", "--lines=20000", "--output=short-precise", "--no-pager"
    ),
    "unit.txt": ("systemctl", "show", "haagent.service"),
    "unit-files.txt": ("systemctl", "cat", "haagent.service"),
    "addresses.json": ("ip", "-details", "-statistics", "-json", "address"),
    "routes.txt": ("ip", "route", "show", "table", "all"),
    "rules.txt": ("ip", "rule"),
    "neighbours.txt": ("ip", "neighbour"),
    "groups.txt": ("ip", "maddress"),
    "filters.txt": ("nft", "list", "ruleset"),
    "packages.txt": (
        "dpkg-query", "-W", "haagent", "systemd", "python3", "fence-agents*", "resource-agents*"
    ),
    "kernel.txt": ("uname", "-a"),
}  # fmt: skip
FILES = ("/etc/os-release", "/proc/cmdline", "/proc/net/igmp", "/proc/loadavg", "/proc/mounts")


def write(
    target: Path, *, config: Path, node: str | None, lines: Sequence[Line], status: object
) -> None:
    """Write the archive, a .tar.gz that only its owner can read.

    Args:
        target: Where to; never overwritten.
        config: The configuration file, usable or not.
        node: As --node.
        lines: What the doctor said.
        status: What the agent said.

    Raises:
        EdgeError: it cannot be written.
    """
    secrets = _forms(_secrets(config))
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as tar:
            about = {"node": node, "lines": [asdict(line) for line in lines]}
            _add(tar, "doctor.json", json.dumps(about, indent=1).encode(), secrets)
            _add(tar, "status.json", json.dumps(status, indent=1).encode(), secrets)
            for name, content in _collected(config):
                _add(tar, name, content, secrets)
    except OSError as error:
        raise EdgeError(f"{target}: {error.strerror or error}") from error


def _collected(config: Path) -> Iterator[tuple[str, bytes]]:
    """Names in the archive, and what is to stand there."""
    text, state_dir = _configuration(config)
    yield "configuration.json", text.encode()
    for name, command in COMMANDS.items():
        shown = output(*command)
        if shown is not None:
            yield name, shown.encode()
    for path in map(Path, FILES):
        yield f"files{path}", _tail(path)
    for path in sorted(state_dir.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield f"state/{path.relative_to(state_dir)}", _tail(path)


def _configuration(config: Path) -> tuple[str, Path]:
    """The file as JSON with its secrets masked, and the state directory that it names.

    One that is no TOML is told by its lines' keys alone.
    """
    default = Path("/var/lib/haagent")
    try:
        document = tomllib.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return f"# not readable: {error}\n", default
    agent = document.get("agent")
    named = agent.get("state_dir") if isinstance(agent, dict) else None
    shown = json.dumps(masked(document), indent=1, default=str, ensure_ascii=False)
    return shown, Path(named) if isinstance(named, str) else default


def masked(value: Any, *, key: str = "", foreign: bool = False) -> Any:
    """The value without what may be a secret.

    Args:
        value: Anything that TOML holds.
        key: What it stands under.
        foreign: Inside a table whose values go to a program of others.
    """
    if isinstance(value, dict):
        inside = foreign or key in MASKED_TABLES
        return {name: masked(item, key=name, foreign=inside) for name, item in value.items()}
    if isinstance(value, list) and not foreign:
        return [masked(item, key=key) for item in value]
    if key.endswith("_file") or key in WHOLE:
        return value
    if foreign or looks_secret(key):
        return MASK.decode()
    if isinstance(value, str):
        return ARGUMENT.sub(r"\1***", URL_USER.sub("***@", value))
    return value


def _secrets(config: Path) -> Iterator[bytes]:
    """Everything that stands in a file which the configuration names as one, and beside it."""
    try:
        document = tomllib.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        document = {}
    places = [config.parent / name for name in _locations(document)]
    with_mode = [path for path in config.parent.glob("*") if path.suffix != ".toml"]
    for path in dict.fromkeys([*places, *with_mode]):
        try:
            content = path.read_bytes()[:4096] if path.is_file() else b""
        except OSError:
            continue  # Who cannot read it cannot give it away.
        for line in content.splitlines():
            if len(line.strip()) >= SECRET_BYTES_MIN:
                yield line.strip()
    yield from _foreign_values(document)


def _locations(value: Any, key: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _locations(item, "_file" if key == "files" else name)
    elif isinstance(value, list):
        for item in value:
            yield from _locations(item, key)
    elif isinstance(value, str) and key.endswith(("_file", "password", "secret")):
        yield value.removeprefix("credential:")


def _foreign_values(value: Any, *, foreign: bool = False) -> Iterator[bytes]:
    """What was masked by its name stands in no other file either."""
    if isinstance(value, dict):
        for name, item in value.items():
            inside = foreign or name == "environment" or looks_secret(name)
            if not name.endswith("_file"):
                yield from _foreign_values(item, foreign=inside)
    elif isinstance(value, list):
        for item in value:
            yield from _foreign_values(item, foreign=foreign)
    elif foreign and isinstance(value, str) and len(value.encode()) >= SECRET_BYTES_MIN:
        yield value.encode()


def _forms(secrets: Iterator[bytes]) -> list[bytes]:
    """Each as it is, and as hexadecimal, base64, in JSON and in a URL; the longest first."""
    found: set[bytes] = set()
    for secret in secrets:
        raw = {secret}
        with suppress(ValueError):
            raw.add(bytes.fromhex(secret.decode("ascii")))
        for one in raw:
            found |= {one, one.hex().encode(), one.hex().upper().encode()}
            found |= {base64.b64encode(one), quote(one).encode()}
            text = one.decode(errors="replace")
            found |= {json.dumps(text)[1:-1].encode()}
    return sorted((one for one in found if len(one) >= SECRET_BYTES_MIN), key=len, reverse=True)


def scrubbed(content: bytes, secrets: Sequence[bytes]) -> bytes:
    """The bytes with each secret masked."""
    for secret in secrets:
        content = content.replace(secret, MASK)
    return content


def _tail(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - FILE_BYTES_MAX))
            return file.read(FILE_BYTES_MAX)
    except OSError:
        try:
            return path.read_bytes()[-FILE_BYTES_MAX:]  # /proc cannot be sought in from its end.
        except OSError as error:
            return f"not readable: {error.strerror}\n".encode()


def _add(tar: tarfile.TarFile, name: str, content: bytes, secrets: Sequence[bytes]) -> None:
    clean = scrubbed(content, secrets)
    entry = tarfile.TarInfo(f"haagent-report/{name}")
    entry.size, entry.mtime, entry.mode = len(clean), int(time.time()), 0o600
    tar.addfile(entry, io.BytesIO(clean))
