# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of haagent/witness, with a real etcd; a package so that they share one loop."""
