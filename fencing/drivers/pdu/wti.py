# SPDX-License-Identifier: GPL-2.0-or-later
"""Western Telematic (WTI) NPS, VMR, RSM, MPC, IPS, TPS and NBB with the text interface.

`,y` after the plug's number suppresses the question whether one is sure. The boot and sequence
delay applies between several plugs and to a reboot, not to one plug that is cut (VMR/NPS user's
guide, 9.2.1), and more than one is never named. The status screen has another `ON` and `OFF` in
the column of the power-up default, so its header decides which column is the status; an asterisk
there means busy.

Source: VMR/NPS user's guide, sections 5.7 and 9.2; IPS user's guide, 6.2.1; captured screens of
an NPS 2.12 and an IPS 1.41d; fence_wti of ClusterLabs (prompts, `Enter: ` of the pager, /X).
What it says to a plug that does not exist is not known: such a plug is found by not being listed.
"""

from __future__ import annotations

from collections.abc import Iterator

from fencing.drivers.pdu.dialect import Dialect, Row


def rows(text: str) -> Iterator[Row]:
    """The numbered lines of the status screen, with what its header calls the status."""
    status: int | None = None
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        names = [cell.casefold() for cell in cells]
        if names[0] == "plug" and "status" in names:
            status = names.index("status")
        elif status is not None and cells[0].isdecimal() and len(cells) > status:
            yield {"outlet": cells[0], "state": cells[status]}


DIALECT = Dialect(
    name="wti",
    prompt=r"(?:NPS|VMR|RSM|MPC|IPS|TPS|NBB)>",
    login=r"login:",
    password=r"(?:Enter )?Password:",  # noqa: S106  # a prompt
    logout="/X",
    off="/off {outlet},y",
    on="/on {outlet},y",
    status="/S",
    rows=rows,
    refused=r"(?i)^.*\b(?:invalid|denied|not (?:allowed|permitted|recognized))\b.*$",
    more=r".*Enter>?:",
    more_answer=b"\r",
)
