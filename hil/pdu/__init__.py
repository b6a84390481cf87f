# SPDX-License-Identifier: GPL-2.0-or-later
"""Emulated serial PDUs behind pseudo-terminals, from captures and manuals, with faults."""
