# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of haagent/blackbox; a package so that they reach the core's bench."""
