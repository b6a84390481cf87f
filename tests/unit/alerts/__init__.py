# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of haagent/alerts; a package so that they share one bench."""
