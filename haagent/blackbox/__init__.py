# SPDX-License-Identifier: GPL-2.0-or-later
"""The black box: every event into the core and every effect out of it, on the disk.

`recorder` writes outside the loop, `ring` bounds what is kept, `segment` has the file's form and
`codec` that of the values in it; `reading` reads files, `replay` runs them through the core again,
`episodes` and `story` tell what happened. The file's form is told in docs/black-box.md.
"""

from __future__ import annotations

from haagent.errors import EdgeError

DIRECTORY = "blackbox"
"""Below the agent's state_dir."""
SUFFIX = ".box"


class RecordingError(EdgeError):
    """The file is no recording, or one that this release cannot read."""
