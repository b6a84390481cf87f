# SPDX-License-Identifier: GPL-2.0-or-later
"""The simulation: two real cores in one thread, on simulated machines, links and BMCs."""
