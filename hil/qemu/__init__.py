# SPDX-License-Identifier: GPL-2.0-or-later
"""The bench's other kind of machine: whole Debian servers, booted under QEMU."""
