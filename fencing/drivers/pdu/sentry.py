# SPDX-License-Identifier: GPL-2.0-or-later
"""Server Technology (Vertiv, Legrand) Sentry: Switched CDU and PDU, and what is sold as them.

An outlet is a tower, an infeed and a number, `.AA1` up to firmware 7 and `AA1` from 8 on; units
with one infeed leave it out, `.A1`. What stands before the number is the option `tower`. Each
outlet is asked for by itself: the list of 48 takes 3 s at 9600 baud, and more than 16 of them are
paged (`set option more disabled` would end that for everyone, so the pager is answered instead).

There are two states, what the outlet is and what it was last told to be. Off is only what is both:
with a control of `Pend On` or `Reboot` the outlet is about to come on, `Off/Wait` and `On/Wait`
move, `On/Error` should be off and draws current. `Idle` and `Wake` before a control only say that
the PDU was restarted or lost its power meanwhile. Current per outlet is another command that some
models have; its form is not known, so none is read.

Source: installation and operations manuals of the Sentry PT22, PT40 and CDU (firmware 7.0: status,
on, off, names without blanks, pages of 16) and of the PRO1 ("Outlet State/Control State
Descriptions"); fence_cdu of ClusterLabs, tested on 6a and 7.1c; powerman's sentry_cdu.dev, 6.0r
(prompts, pager and its answer, logout). The words of a refusal are not known: they are guessed,
and an outlet without a row is one that is not there.
"""

from __future__ import annotations

from fencing.drivers.pdu.dialect import Dialect

DIALECT = Dialect(
    name="sentry",
    prompt=r"(?:(?:Switched|Smart) (?:Rack )?(?:CDU|PDU)|Sentry):",
    login=r"Username:",
    password=r"Password:",  # noqa: S106  # a prompt
    logout="logout",
    off="off {tower}{outlet}",
    on="on {tower}{outlet}",
    status="status {tower}{outlet}",
    # A name may be missing; the first word of a control is never the state.
    row=(
        r"^[ \t]*(?i:{tower})(?P<outlet>\d{1,2})[ \t]+(?:\S+[ \t]+)?"
        r"(?P<state>(?!Idle|Wake|Pend)\S+)[ \t]+(?:(?:Idle|Wake)[ \t]+)?(?P<state_control>\S.*)$"
    ),
    # A row is none, whatever the outlet's name or state is.
    refused=(
        r"(?i)^(?![ \t]*\.?[A-Z]{1,2}\d).*"
        r"\b(?:invalid|denied|failed|not (?:valid|found|recognized|authorized))\b.*$"
    ),
    more=r"More \(Y/es N/o\):",
    more_answer=b"y",
    tower=".AA",
)
