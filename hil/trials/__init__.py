# SPDX-License-Identifier: GPL-2.0-or-later
"""Scenarios with whole servers: `pytest hil`, a test each."""
