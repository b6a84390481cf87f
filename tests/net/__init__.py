# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole agents in network namespaces, watched by somebody who does not believe them."""
