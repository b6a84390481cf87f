# SPDX-License-Identifier: GPL-2.0-or-later
"""The [[fence]] tables: their form, their secrets, and what is wrong with them."""
