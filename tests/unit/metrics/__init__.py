# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of haagent/metrics; a package so that they share one bench."""
