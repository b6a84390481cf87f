# SPDX-License-Identifier: GPL-2.0-or-later
"""The same scenarios on a real pair: what an inventory names, and nothing else."""
