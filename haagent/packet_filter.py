# SPDX-License-Identifier: GPL-2.0-or-later
"""Filters that the kernel runs, so that what is not for us does not wake the loop."""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Sequence

SO_ATTACH_FILTER = 26
"""Source: Linux, include/uapi/asm-generic/socket.h."""

Instruction = tuple[int, int, int, int]
"""Classic BPF: code, jump if true, jump if false, value.
Source: Linux, Documentation/networking/filter.rst."""


def attach(receiver: socket.socket, program: Sequence[Instruction]) -> None:
    """Let through only what the program takes.

    Raises:
        OSError: the kernel refuses the program.
    """
    code = b"".join(struct.pack("@HBBI", *step) for step in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("@HP", len(program), ctypes.addressof(buffer))
    receiver.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, header)
