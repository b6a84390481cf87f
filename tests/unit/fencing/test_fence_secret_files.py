# SPDX-License-Identifier: GPL-2.0-or-later
"""Passwords and BMC keys come from private files only."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fencing.config import secret_files
from fencing.config.problems import HIDDEN
from fencing.config.secret_files import SecretFileError, read_kg, read_password, shown


def put(path: Path, content: str, mode: int = 0o600) -> str:
    """Write a file of this mode; its name."""
    path.write_text(content)
    path.chmod(mode)
    return path.name


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o601])
def test_files_open_to_others_are_refused(tmp_path: Path, mode: int) -> None:
    """Any right of group or world refuses the file."""
    name = put(tmp_path / "password", "sesame", mode)
    with pytest.raises(SecretFileError, match=f"{mode:04o}"):
        read_password(name, tmp_path)


def test_files_of_others_are_refused() -> None:
    """Only root and the agent's own user may own a secret."""

    def owned_by(uid: int) -> os.stat_result:
        return os.stat_result((0o100600, 1, 1, 1, uid, 0, 8, 0, 0, 0))

    for uid in (0, os.geteuid()):
        secret_files._check_private(owned_by(uid), 0o077)
    with pytest.raises(SecretFileError, match=f"uid {os.geteuid() + 1}"):
        secret_files._check_private(owned_by(os.geteuid() + 1), 0o077)


def test_password_is_one_line(tmp_path: Path) -> None:
    """Exactly one line end goes; spaces stay; empty and two lines are refused."""
    assert read_password(put(tmp_path / "a", " se same \n"), tmp_path) == b" se same "
    assert read_password(put(tmp_path / "b", "sesame\r\n"), tmp_path) == b"sesame"
    for content in ("", "\n", "one\ntwo\n", "nul\0"):
        with pytest.raises(SecretFileError):
            read_password(put(tmp_path / "c", content), tmp_path)


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    """A FIFO, a folder, an endless or a missing file neither block nor pass."""
    os.mkfifo(tmp_path / "fifo", 0o600)
    tmp_path.chmod(0o700)
    for location in ("fifo", "."):
        with pytest.raises(SecretFileError, match="not a regular file"):
            read_password(location, tmp_path)
    for location in ("/dev/zero", "missing", "nul\0"):
        with pytest.raises(SecretFileError):
            read_password(location, tmp_path)
    with pytest.raises(SecretFileError, match="larger"):
        read_password(put(tmp_path / "large", "x" * 5000), tmp_path)


def test_systemd_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`credential:NAME` reads the credential, and no path outside their folder."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(SecretFileError, match="LoadCredential"):
        read_password("credential:bmc", tmp_path)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    (tmp_path / "credentials").mkdir()
    put(tmp_path / "outside", "sesame")
    put(tmp_path / "credentials" / "bmc", "sesame", 0o440)
    assert read_password("credential:bmc", Path("/nowhere")) == b"sesame"
    for name in ("../outside", "", "..", "a/b"):
        with pytest.raises(SecretFileError, match="name of a credential"):
            read_password(f"credential:{name}", tmp_path)


def test_credentials_of_the_running_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a console `credential:NAME` is that of the agent that runs, if one does."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setattr(secret_files, "AGENTS_CREDENTIALS", tmp_path / "run")
    with pytest.raises(SecretFileError, match="no agent runs with credentials"):
        read_password("credential:bmc", tmp_path)
    (tmp_path / "run").mkdir()
    put(tmp_path / "run" / "bmc", "sesame", 0o400)
    assert read_password("credential:bmc", Path("/nowhere")) == b"sesame"


def test_bmc_key_is_text_or_hexadecimal(tmp_path: Path) -> None:
    """A key is taken as it stands, or after "0x" as bytes; 20 bytes are the most."""
    assert read_kg(put(tmp_path / "text", "abcdef\n"), tmp_path) == b"abcdef"
    assert (
        read_kg(put(tmp_path / "bytes", "0x00ff" + "11" * 18), tmp_path) == b"\0\xff" + b"\x11" * 18
    )
    for content in ("0x", "0xzz", "0x" + "00" * 21, "k" * 21, ""):
        with pytest.raises(SecretFileError) as caught:
            read_kg(put(tmp_path / "bad", content), tmp_path)
        assert not content[2:] or content[2:] not in str(caught.value)


def test_what_may_be_a_secret_is_not_shown(tmp_path: Path) -> None:
    """A location is shown if it is one: something is there, or it names a credential."""
    put(tmp_path / "password", "sesame", 0o644)
    assert shown("password", tmp_path) == "password"
    assert shown("credential:bmc", tmp_path) == "credential:bmc"
    for location in ("sesame", "/etc/sesame", "nul\0", "s" * 5000):
        assert shown(location, tmp_path) is HIDDEN
