# SPDX-License-Identifier: GPL-2.0-or-later
"""Fencing by a person: the same with the daemon (`haagent fence`) and without (`-m fencing`).

Read `command` first: it is the way of one command from its options to its exit code.
"""
