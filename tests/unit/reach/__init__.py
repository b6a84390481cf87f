# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of haagent/reach, in network namespaces; a package so that both share one bench."""
