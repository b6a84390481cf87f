# SPDX-License-Identifier: GPL-2.0-or-later
"""One TOML file, the same on both nodes, to one node's frozen settings (docs/configuration.md)."""

from __future__ import annotations

from haagent.config.findings import EXIT_CODE, ConfigurationError
from haagent.config.load import load
from haagent.config.settings import Configuration, Keys, LogSettings

__all__ = ["EXIT_CODE", "Configuration", "ConfigurationError", "Keys", "LogSettings", "load"]
