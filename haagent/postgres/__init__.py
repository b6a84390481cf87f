# SPDX-License-Identifier: GPL-2.0-or-later
"""PostgreSQL as a resource: primary where the group is held, hot standby on the other node.

`layout` says where a server's files are, `server` runs its programs, `sql` asks it, `position` says
how fresh its data is, `follow` makes a standby of whatever is there, and `resource` puts these
together.
"""
