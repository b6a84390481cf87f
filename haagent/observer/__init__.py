# SPDX-License-Identifier: GPL-2.0-or-later
"""`haagent observe`: a third machine that hears both nodes and agrees to one takeover at a time."""
