# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of haagent/drill; a package so that they share the benches beside it."""
