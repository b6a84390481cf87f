# SPDX-License-Identifier: GPL-2.0-or-later
"""High availability for a pair of servers: proof of power-off before takeover."""

__version__ = "0.1.0"
