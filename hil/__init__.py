# SPDX-License-Identifier: GPL-2.0-or-later
"""The bench: a pair on one machine, with real networks, real BMCs and an independent observer."""
