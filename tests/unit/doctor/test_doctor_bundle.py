# SPDX-License-Identifier: GPL-2.0-or-later
"""The archive for a bug report holds what is needed and no secret, wherever one was planted."""

from __future__ import annotations

import base64
import sys
import tarfile
from pathlib import Path

import pytest

from haagent.doctor import ok
from haagent.doctor.bundle import masked, write
from haagent.errors import EdgeError

sys.path.insert(0, str(Path(__file__).parents[1]))
from config_bench import Site, everything

SECRETS = (b"alpha's secret", b"beta's secret", b"11" * 32, bytes.fromhex("11" * 32))
PLANTED = "hunter2-in-an-environment"


def contents(path: Path) -> dict[str, bytes]:
    """Every file of the archive."""
    found = {}
    with tarfile.open(path) as tar:
        for entry in tar:
            file = tar.extractfile(entry)
            assert file is not None
            found[entry.name.removeprefix("haagent-report/")] = file.read()
    return found


def test_no_secret_anywhere(tmp_path: Path) -> None:
    """Keys, passwords and values of environments, in files, status, history and the state."""
    site = Site(tmp_path)
    state = tmp_path / "state"
    state.mkdir()
    text = everything().replace("/var/lib/haagent", str(state))
    text = text.replace('APP_MODE = "pair"', f'APP_MODE = "pair", TOKEN = "{PLANTED}"')
    assert PLANTED in text
    site.file.write_text(text)
    soup = b" ".join(
        [*SECRETS, PLANTED.encode(), *(base64.b64encode(one) for one in SECRETS), b"harmless"]
    )
    (state / "history.jsonl").write_bytes(soup)
    target = tmp_path / "report.tar.gz"
    lines = [ok("log", "the BMC said: beta's secret")]
    write(target, config=site.file, node=None, lines=lines, status={"said": "alpha's secret"})
    assert target.stat().st_mode & 0o777 == 0o600
    found = contents(target)
    assert {"doctor.json", "status.json", "configuration.json", "kernel.txt"} <= set(found)
    assert b"harmless" in found["state/history.jsonl"]
    assert b'"shop"' in found["configuration.json"]
    assert b"203.0.113.11" in found["configuration.json"]
    for name, content in found.items():
        for secret in (*SECRETS, PLANTED.encode(), base64.b64encode(SECRETS[3])):
            assert secret not in content, (name, secret)


def test_never_overwrites(tmp_path: Path) -> None:
    """Another report, or a file that happens to have the name, stays."""
    target = tmp_path / "report"
    target.write_text("mine")
    with pytest.raises(EdgeError, match="exists"):
        write(target, config=tmp_path / "absent", node=None, lines=[], status={})
    assert target.read_text() == "mine"


def test_a_file_that_is_no_toml(tmp_path: Path) -> None:
    """Of a broken configuration nothing is sent but that it is broken: it cannot be masked."""
    broken = tmp_path / "haagent.toml"
    broken.write_text('password = "hunter2" [')
    write(tmp_path / "out", config=broken, node=None, lines=[], status={})
    assert b"hunter2" not in contents(tmp_path / "out")["configuration.json"]


def test_masking() -> None:
    """By the name of the key, by the form of an argument, by the table; the rest is readable."""
    shown = masked(
        {
            "start": ["/bin/app", "--password=abc", "--level=3"],
            "probe": {"http": "http://user:pw@192.0.2.10/health"},
            "options": {"port": 623, "community": "xyz", "outlets": [1, 2]},
            "password_file": "beta.password",
        }
    )
    assert shown == {
        "start": ["/bin/app", "--password=***", "--level=3"],
        "probe": {"http": "http://***@192.0.2.10/health"},
        "options": {"port": 623, "community": "***", "outlets": [1, 2]},
        "password_file": "beta.password",
    }
