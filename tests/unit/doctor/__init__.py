# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of haagent/doctor; a package so that those in network namespaces share one bench."""
