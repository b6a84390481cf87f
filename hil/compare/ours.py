# SPDX-License-Identifier: GPL-2.0-or-later
"""haagent, as a contender among others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hil.agent import GROUP, Agent, role, takeover_possible
from hil.qemu.configuration import Settings
from hil.record import NotSeenError

if TYPE_CHECKING:
    from hil.qemu.guest import Guest
    from hil.qemu.lab import VirtualLab

_DEFAULTS: dict[str, str | int] = {
    "interval": "100ms",
    "suspect_after": "400ms",
    "dead_after": "1s",
    "hedge_after": "2s",
}
_ANSWER_LIMIT_S = 20.0


@dataclass(frozen=True, slots=True)
class Ours:
    """haagent with two links, a BMC for each server, and a serial PDU behind that."""

    name: str
    title: str
    settings: str
    off_settle: str

    @property
    def units(self) -> tuple[str, ...]:
        """See Contender."""
        return ("haagent.service",)

    @property
    def packages(self) -> tuple[str, ...]:
        """See Contender."""
        return ("haagent",)

    def start(self, lab: VirtualLab) -> None:
        """See Contender."""
        lab.configure(Settings(_DEFAULTS, off_settle=self.off_settle, check_every="30s"))

    def could_take_over(self, active: Guest, standby: Guest) -> bool:
        """See Contender."""
        try:
            for guest, wanted in ((active, "active"), (standby, "standby")):
                status = Agent(guest).wait(lambda _: True, _ANSWER_LIMIT_S, "an answer")
                if role(status, GROUP) != wanted or not takeover_possible(status):
                    return False
        except NotSeenError:
            return False
        return True


DEFAULT = Ours(
    "haagent",
    "haagent",
    "its defaults: frames every 100 ms over two links, `dead_after` 1 s, `off_settle` 2 s",
    off_settle="2s",
)
TUNED = Ours(
    "haagent-tuned",
    "haagent, tuned",
    "`off_settle` 0 s, which is what a drill measures of BMCs that say *off* only when it is so",
    off_settle="0s",
)
