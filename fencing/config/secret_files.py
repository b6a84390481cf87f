# SPDX-License-Identifier: GPL-2.0-or-later
"""Passwords and keys from files that nobody else can read, or from systemd credentials."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from fencing.config.problems import HIDDEN, NoValue

SECRET_BYTES_MAX = 4096
"""More than any key or password; a larger file is not one."""
KG_BYTES_MAX = 20
"""Source: IPMI 2.0, 22.25 "Set Channel Security Keys": K[G] is of 20 bytes."""

CREDENTIAL_PREFIX = "credential:"
AGENTS_CREDENTIALS = Path("/run/credentials/haagent.service")
"""Those of the agent while it runs, root's alone: for root at a console."""
_CREDENTIAL_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
_HEXADECIMAL_PREFIX = b"0x"


class SecretFileError(Exception):
    """The file cannot serve as a secret; the message says why and shows nothing of it."""


def read_password(location: str, folder: Path) -> bytes:
    """The password at `location`, without the line end after it.

    Args:
        location: Path, relative to `folder` if not absolute, or "credential:NAME".
        folder: Folder of the configuration file.

    Raises:
        SecretFileError: missing, readable by others, empty, or more than one line.
    """
    password = read_private(location, folder).removesuffix(b"\n").removesuffix(b"\r")
    if not password:
        raise SecretFileError("is empty; write the password into it")
    if any(byte in password for byte in b"\n\r\0"):
        raise SecretFileError("holds more than one line; a password is one line")
    return password


def read_kg(location: str, folder: Path) -> bytes:
    """The BMC key at `location`: as text, or after "0x" as hexadecimal digits.

    Raises:
        SecretFileError: As read_password; also not hexadecimal after "0x", or too long.

    Source: the form is that of freeipmi's k_g, freeipmi.conf(5).
    """
    key = read_password(location, folder)
    if key.startswith(_HEXADECIMAL_PREFIX):
        try:
            key = bytes.fromhex(key.removeprefix(_HEXADECIMAL_PREFIX).decode("ascii"))
        except ValueError:
            raise SecretFileError('holds no hexadecimal digits after "0x"') from None
    if not 1 <= len(key) <= KG_BYTES_MAX:
        raise SecretFileError(f"holds a key of {len(key)} bytes; 1 to {KG_BYTES_MAX} are possible")
    return key


def shown(location: str, folder: Path) -> str | NoValue:
    """`location` if something is there; else HIDDEN, as it may be the secret itself."""
    try:
        there = location.startswith(CREDENTIAL_PREFIX) or os.path.lexists(folder / location)
    except ValueError:
        return HIDDEN
    return location if there else HIDDEN


def read_private(location: str, folder: Path) -> bytes:
    """Content of a private file, judged by the descriptor it is read from (no race between).

    Raises:
        SecretFileError: missing, no file, too large, or open to others.
    """
    path, forbidden_mode = _resolve(location, folder)
    try:
        # O_NONBLOCK: a FIFO in this place must not hold up the start for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SecretFileError(f"cannot be read ({reason})") from None
    try:
        _check_private(os.fstat(descriptor), forbidden_mode)
        content = os.read(descriptor, SECRET_BYTES_MAX + 1)
    except OSError as error:
        raise SecretFileError(f"cannot be read ({error.strerror})") from None
    finally:
        os.close(descriptor)
    if len(content) > SECRET_BYTES_MAX:
        raise SecretFileError(f"is larger than {SECRET_BYTES_MAX} bytes; not a key or password")
    return content


def _resolve(location: str, folder: Path) -> tuple[Path, int]:
    """Path of the secret and the mode bits that it must not have."""
    if not location.startswith(CREDENTIAL_PREFIX):
        return folder / location, 0o077
    name = location.removeprefix(CREDENTIAL_PREFIX)
    if _CREDENTIAL_NAME.fullmatch(name) is None:
        raise SecretFileError("is not the name of a credential; letters, digits, '.', '_', '-'")
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if not directory and not AGENTS_CREDENTIALS.is_dir():
        raise SecretFileError(
            "no CREDENTIALS_DIRECTORY is set, and no agent runs with credentials;"
            " use LoadCredential= in the unit, or a path"
        )
    # systemd lets the service user in by an ACL, whose mask stands in the group bits.
    # Source: systemd.exec(5), "LoadCredential=".
    return (Path(directory) if directory else AGENTS_CREDENTIALS) / name, 0o007


def _check_private(status: os.stat_result, forbidden_mode: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SecretFileError("is not a regular file")
    if status.st_mode & forbidden_mode:
        mode = stat.S_IMODE(status.st_mode)
        raise SecretFileError(f"has mode {mode:04o}, others can read it; chmod 0600")
    if status.st_uid not in (0, os.geteuid()):
        raise SecretFileError(f"belongs to uid {status.st_uid}; chown it to root")
