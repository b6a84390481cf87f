# SPDX-License-Identifier: GPL-2.0-or-later
"""Every fault of every kind of device, against whole fences; docs/fence-faults.md is what came out.

A case is one row: emulated hardware, what is wrong with it, when that begins. Each is run in a
process with nothing else in it, so that whatever a fence leaves behind is seen. `verdict` says
what no row may do, `page` what the operator reads.
"""
