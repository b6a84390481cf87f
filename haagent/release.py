# SPDX-License-Identifier: GPL-2.0-or-later
"""The version of this software as frames carry it, so that each node can name the other's."""

from __future__ import annotations

import re

from haagent import __version__


def packed(version: str = __version__) -> int:
    """A version in 32 bits: major and minor, a byte each, patch, two; what follows is left out."""
    major, minor, patch = (*map(int, re.findall(r"\d+", version)[:3]), 0, 0, 0)[:3]
    return (major & 0xFF) << 24 | (minor & 0xFF) << 16 | patch & 0xFFFF


def unpacked(release: int) -> str:
    """The version that a frame told; "" if it told none."""
    return f"{release >> 24}.{release >> 16 & 0xFF}.{release & 0xFFFF}" if release else ""
