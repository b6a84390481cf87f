# SPDX-License-Identifier: GPL-2.0-or-later
"""The decisions. Pure: no clock, socket, log, random or await; start reading at step.py."""
