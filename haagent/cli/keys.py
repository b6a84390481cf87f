# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the shared key of the heartbeat."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from haagent.errors import EdgeError

KEY_BYTES = 32
"""The full strength of HMAC-SHA256. Source: RFC 2104, section 3."""


def write_new_key(path: Path) -> None:
    """Write 32 random bytes as a line of hexadecimal text that only its owner can read.

    Raises:
        EdgeError: there is such a file already (a key in use must not be lost), or none can be
            made.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise EdgeError(f"{path}: exists; a key is never overwritten, take another name") from None
    except (OSError, ValueError) as error:
        raise EdgeError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise EdgeError(f"{path}: {error.strerror}; remove what there is of it") from None
