# SPDX-License-Identifier: GPL-2.0-or-later
"""What a server may answer instead of what it was asked."""

from __future__ import annotations

from haagent.errors import EdgeError

Row = tuple[str | None, ...]
"""Values as PostgreSQL writes them."""


class SqlError(EdgeError):
    """The server did not do it, or nobody knows whether it did."""


class SqlTimeoutError(SqlError):
    """It did not answer in time."""
