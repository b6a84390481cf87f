# SPDX-License-Identifier: GPL-2.0-or-later
"""The bench of namespaces, as a fixture."""

from __future__ import annotations

from vip.netns import lan

__all__ = ["lan"]
