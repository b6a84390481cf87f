# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line: client commands start fast, because they import no part of the agent."""
