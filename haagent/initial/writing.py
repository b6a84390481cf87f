# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes the configuration, the key and the passwords: all of them, or none."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from haagent.cli.keys import KEY_BYTES
from haagent.errors import EdgeError
from haagent.initial.answers import Answers
from haagent.initial.file_text import file_text, password_file

KEY_FILE = "key.1"


def occupied(config: Path) -> str:
    """What stands in the way of writing there; "" for nothing: no file is ever overwritten."""
    for path in (config, config.parent / KEY_FILE):
        if path.exists() or path.is_symlink():
            return f"{path} is there already; move it away, or edit it and ask `haagent doctor`"
    return ""


def write(answers: Answers, config: Path) -> tuple[Path, ...]:
    """Write everything, beside each other; returns the files.

    Raises:
        EdgeError: one is there already, or cannot be written; then none is left.
    """
    contents = {
        config.parent / KEY_FILE: secrets.token_hex(KEY_BYTES) + "\n",
        **{config.parent / password_file(bmc): bmc.password + "\n" for bmc in answers.bmcs},
        # Last: with it, the rest is there.
        config: file_text(answers),
    }
    written: list[Path] = []
    try:
        config.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        for path, text in contents.items():
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            descriptor = os.open(path, flags, 0o600)
            written.append(path)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        raise EdgeError(f"{path}: {error.strerror}; nothing was written") from error
    return tuple(contents)
