# SPDX-License-Identifier: GPL-2.0-or-later
"""The heartbeat's keys come from private files only, and only for who needs them."""

from __future__ import annotations

from pathlib import Path

import pytest
from config_bench import Site

from fencing.config.secret_files import SecretFileError
from haagent.config import ConfigurationError
from haagent.config.key_files import read_key
from haagent.config.load import load_places


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


def test_keys_open_to_others_are_refused(tmp_path: Path) -> None:
    """A key is judged as a password is (tests/unit/fencing/test_fence_secret_files.py)."""
    name = put(tmp_path / "key", "ab" * 32, 0o640)
    with pytest.raises(SecretFileError, match="0640"):
        read_key(name, tmp_path)


def test_places_are_known_without_a_secret(tmp_path: Path) -> None:
    """Addresses, state and socket are as in the whole configuration, with no key to be read."""
    site = Site(tmp_path)
    whole = site.changed()
    for name in ("key.1", "key.2", "alpha-bmc.password", "beta-bmc.password"):
        (tmp_path / name).unlink()
    places = load_places(site.file, "alpha")
    assert places.vips == {plan.name: plan.vips for plan in whole.groups}
    assert any(places.vips.values())
    assert places.state_dir == whole.state_dir
    assert places.control_socket == whole.control_socket
    with pytest.raises(ConfigurationError, match="gamma"):
        load_places(site.file, "gamma")
