# SPDX-License-Identifier: GPL-2.0-or-later
"""How the makers' BMCs differ: their names of things, and what they answer to the same order.

Taken from what people reported of real ones: iDRAC's 409 and session table (cloudstack #13376,
gofish #75), iLO's 400 (ansible-ilo #1), Lenovo's 202 (TSM's API manual), Supermicro's list (gist
flaviotorres/6e09c16d). Where nothing was found, e.g. OpenBMC's answer to an order that changes
nothing, it is success.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
Answer = tuple[int, Json | None]
"""HTTP status and body."""


def error(code: str, words: str = "", arguments: tuple[str, ...] = ()) -> Json:
    """An error body as DSP0266, 8.6, has it; HPE's has no words, only arguments."""
    message: Json = {"MessageId": code, "MessageArgs": list(arguments)}
    if words:
        message["Message"] = words
    general = "A general error has occurred. See ExtendedInfo for more information."
    return {
        "error": {
            "code": "Base.1.12.GeneralError",
            "message": general,
            "@Message.ExtendedInfo": [message],
        }
    }


_FULL = error("Base.1.12.SessionLimitExceeded", "The session limit was exceeded.")


@dataclass(frozen=True, slots=True)
class Face:
    """One maker's ways."""

    system: str
    """Id of the first system."""
    manager: str
    resets: tuple[str, ...]
    listed: str = "values"
    """Where the reset types are listed: values (in the system), info (apart) or nowhere."""
    taken: Answer = (204, None)
    """The answer to an order that is carried out."""
    already: Answer | None = None
    """The answer to an order that changes nothing, if it is another one."""
    full: Answer = (503, _FULL)
    """The answer to a login for which there is no place."""
    slash: bool = False
    """Whether paths end in one, and are moved there (308) where it is missing."""
    location: str = "path"
    """How a new session is named: by a path, by an absolute address, or in its body only."""
    account: str = "1"
    """Id of the account, "user" for the user's name."""
    hpe: bool = False
    """Whether the account tells HPE's privileges beside its role."""


FACES = {
    "idrac": Face(
        system="System.Embedded.1",
        manager="iDRAC.Embedded.1",
        resets=("On", "ForceOff", "ForceRestart", "GracefulShutdown", "PushPowerButton", "Nmi"),
        already=(
            409,
            error("IDRAC.2.8.PSU501", "Unable to perform the operation, server is already off."),
        ),
        full=(503, error("IDRAC.2.4.RAC0218", "The maximum number of user sessions is reached.")),
        account="2",
    ),
    "ilo": Face(
        system="1",
        manager="1",
        resets=("On", "ForceOff", "GracefulShutdown", "ForceRestart", "Nmi", "PushPowerButton"),
        taken=(200, error("iLO.2.14.Success")),
        already=(
            400,
            error("iLO.2.14.InvalidOperationForSystemState", arguments=("Power is off",)),
        ),
        slash=True,
        location="absolute",
        hpe=True,
    ),
    "xclarity": Face(
        system="1",
        manager="1",
        resets=("On", "ForceOff", "GracefulShutdown", "GracefulRestart", "ForceRestart", "ForceOn"),
    ),
    "tsm": Face(
        system="Self",
        manager="Self",
        resets=("ForceOff", "ForceOn", "GracefulShutdown", "ForceRestart"),
        taken=(202, {"@odata.id": "/redfish/v1/TaskService/Tasks/1", "TaskState": "New"}),
    ),
    "openbmc": Face(
        system="system",
        manager="bmc",
        resets=("On", "ForceOff", "ForceOn", "ForceRestart", "GracefulRestart", "PowerCycle"),
        listed="info",
        taken=(200, error("Base.1.13.Success", "The request completed successfully.")),
        account="user",
    ),
    "supermicro": Face(
        system="1",
        manager="1",
        resets=("On", "ForceOff", "GracefulShutdown", "GracefulRestart", "ForceRestart", "ForceOn"),
        taken=(200, {"Success": {"code": "Base.v1_4_0.Success"}}),
        location="body",
    ),
    "minimal": Face(system="node", manager="bmc", resets=("On", "ForceOff"), listed="nowhere"),
}
"""By name."""
