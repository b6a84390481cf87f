# SPDX-License-Identifier: GPL-2.0-or-later
"""What the agent says of itself: would a takeover work right now, and if not, why not."""
