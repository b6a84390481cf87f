# SPDX-License-Identifier: GPL-2.0-or-later
"""The one tree of errors that an edge may raise; library exceptions never leave an adapter."""

from __future__ import annotations


class EdgeError(Exception):
    """The outside world failed: a socket, an interface, a disk."""
