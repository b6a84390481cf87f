# SPDX-License-Identifier: GPL-2.0-or-later
"""BayTech RPC with its own prompt: RPC3-NC, RPC-3/4(A)DE, RPC18D-NC, RPC22, RPC28-NC, DS-RPC.

It drops commands that do not follow an empty line, and its prompt means that it is ready for the
next one. Where commands are to be confirmed, it asks "Turn Off Outlet 3 (Y/N)?". Outlet 0 is all of
them. Larger models have two outlets in a line of the status, and two prompts. An outlet's state is
all that is told of it: current is measured for a group of outlets.

Source: powerman's baytech-rpc3-nc.dev, -rpc18d-nc, -rpc22 and -rpc28-nc (firmware F4.00, F1.08,
F3.01; what is dropped, prompts, exit) and its simulator of them (screens, help, "Input error");
DS-RPC owner's manual ("Controlling Receptacles": outlet 0, the question); the BayTech module of
Linux-HA's stonith (`username>`, `password>`, `(Y/N)>` and its answer). Not spoken to: the RPC-3 of
old, which has a menu ("Enter Selection>") before its prompt.
"""

from __future__ import annotations

from fencing.drivers.pdu.dialect import Dialect

DIALECT = Dialect(
    name="baytech",
    prompt=r"(?:RPC|MRP)[-\w ]{0,12}>",
    login=r"Enter user ?name ?>",
    password=r"Enter password ?>",  # noqa: S106  # a prompt
    logout="exit",
    off="off {outlet}",
    on="on {outlet}",
    status="status",
    row=(
        r"(?<!\d)(?P<outlet>\d{1,2})\)[ .]+[^:\n]*:"
        r"[ \t]*(?P<state>\S(?:.*?\S)??)(?=[ \t]{2}|[ \t]*$)"
    ),
    refused=r"(?i)^.*\b(?:input error|denied)\b.*$",
    confirm=r"(?i:turn (?:on|off) outlet.*\(Y/N\) ?[?>]*)",
    confirm_answer=b"Y\r",
    drops=True,
)
