# SPDX-License-Identifier: GPL-2.0-or-later
"""The heartbeat's keys, from files that nobody else can read."""

from __future__ import annotations

from pathlib import Path

from fencing.config.secret_files import SecretFileError, read_private

KEY_BYTES_MIN = 32
"""Source: RFC 2104, section 3: at least the hash's length, 32 bytes for SHA-256."""


def read_key(location: str, folder: Path) -> bytes:
    """The heartbeat key at `location`: hexadecimal text, at least 32 bytes of key.

    Args:
        location: Path, relative to `folder` if not absolute, or "credential:NAME".
        folder: Folder of the configuration file.

    Raises:
        SecretFileError: missing, readable by others, too short, or not hexadecimal.
    """
    text = read_private(location, folder).strip()
    try:
        key = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        raise SecretFileError(
            "does not hold hexadecimal text; make a key with `haagent keygen`"
        ) from None
    if len(key) < KEY_BYTES_MIN:
        raise SecretFileError(
            f"holds a key of {len(key)} bytes, {KEY_BYTES_MIN} are needed; "
            "make a key with `haagent keygen`"
        )
    return key
