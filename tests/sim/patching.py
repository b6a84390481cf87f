# SPDX-License-Identifier: GPL-2.0-or-later
"""Replaces one function of a module, for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def patched(module: Any, name: str, put: Any) -> Iterator[None]:
    """One function of one module is another one, for a while."""
    kept = getattr(module, name)
    setattr(module, name, put)
    try:
        yield
    finally:
        setattr(module, name, kept)
