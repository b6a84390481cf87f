# SPDX-License-Identifier: GPL-2.0-or-later
"""Keys and passwords come from private files only."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from haagent.config import secret_files
from haagent.config.secret_files import SecretFileError, read_key, read_password


def put(path: Path, content: str, mode: int = 0o600) -> str:
    """Write a file of this mode; its name."""
    path.write_text(content)
    path.chmod(mode)
    return path.name


def test_key_is_hexadecimal_text(tmp_path: Path) -> None:
    """64 digits and a line end are 32 bytes; an absolute path is taken as it is."""
    name = put(tmp_path / "key", "ab" * 32 + "\n", 0o400)
    assert read_key(name, tmp_path) == b"\xab" * 32
    assert read_key(str(tmp_path / name), Path("/nowhere")) == b"\xab" * 32


@pytest.mark.parametrize(
    ("content", "why"),
    [("ab" * 31, "31 bytes"), ("", "0 bytes"), ("zz" * 32, "hexadecimal"), ("é" * 64, "hexadec")],
)
def test_bad_keys_are_refused(tmp_path: Path, content: str, why: str) -> None:
    """A key below 32 bytes, or one that is no hexadecimal text, is refused and not shown."""
    name = put(tmp_path / "key", content)
    with pytest.raises(SecretFileError, match=why) as caught:
        read_key(name, tmp_path)
    assert not content or content not in str(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
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
