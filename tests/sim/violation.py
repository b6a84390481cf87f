# SPDX-License-Identifier: GPL-2.0-or-later
"""What a checker raises."""

from __future__ import annotations


class Violation(Exception):  # noqa: N818 - the word of the checkers
    """A checker fired; the first word says which."""
