# SPDX-License-Identifier: GPL-2.0-or-later
"""`haagent init`: what this machine is, what its operator wants, and the files that come of it."""
