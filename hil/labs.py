# SPDX-License-Identifier: GPL-2.0-or-later
"""What a lab is to the scenarios of hil/trials: two virtual servers, or a real pair in a rack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from hil.pairs import Pair, Server

if TYPE_CHECKING:
    from hil.record import Entry
    from hil.ssh import Ssh


_SPIN = "while :; do :; done"
HANG = f"""sysctl -q kernel.sched_rt_runtime_us=-1
for pid in $(pgrep ksoftirqd/); do chrt --fifo --pid 99 $pid; done
exec chrt --fifo 98 taskset -c 0 sh -c '
    for cpu in $(seq $(($(nproc --all) - 1))); do taskset -c $cpu sh -c "{_SPIN}" & done
    {_SPIN}'"""
"""For a shell of root's: no process of the server runs any more, the agent and the service least of
all, while its kernel goes on to answer ARP and ping: each processor goes round in a loop that gives
way to nothing but the kernel's network. Source: sched(7)."""


class LabLacksError(Exception):
    """The lab at hand has no such thing: a scenario that cannot do without it is skipped."""


class Machine(Server, Protocol):
    """One of the two servers, with all that can befall it in every lab."""

    @property
    def interface(self) -> str:
        """Its card in the clients' LAN."""

    @property
    def ssh(self) -> Ssh:
        """Root's shell on it."""

    def crash(self) -> int:
        """Have its kernel panic; return when that was ordered, ns."""

    def hang(self) -> int:
        """Have no process of it run any more, while its kernel answers; return when, ns."""

    def freeze_for_good(self) -> int:
        """Have it stand still, its power on, until that is cut; return when, ns.

        Raises:
            LabLacksError: Nothing here makes it stand still.
        """

    def leave(self, verb: str) -> int:
        """Have it go in order: `poweroff` or `reboot`; return when that was ordered, ns."""

    def wait_up(self, after_ns: int, limit_s: float = ...) -> Entry:
        """Return when it has booted after a time and lets us in.

        Raises:
            NotSeenError: It did not come up, or lets nobody in.
        """

    def console(self) -> str:
        """Everything that it said on its console so far.

        Raises:
            LabLacksError: Nobody here listens to it.
        """


class Cables(Protocol):
    """The switch ports of both servers."""

    def cut(self, machine: Machine, wire: str) -> None:
        """Take the carrier of a server's `lan`, or of `ring` at both ends.

        Raises:
            LabLacksError: There is no switch port that does that.
        """


class Lab(Pair[Machine], Protocol):
    """Both servers, their power and cables, and those who see what they do."""

    @property
    def address(self) -> str:
        """The virtual one that is watched."""

    @property
    def began_ns(self) -> int:
        """Since when what was seen belongs to the present scenario."""

    @property
    def wiring(self) -> Cables:
        """The cables."""

    def logs(self) -> dict[str, str]:
        """What was written of the present scenario beside the consoles, by a name for each."""

    def power_on(self, *names: str) -> int:
        """Switch servers on, both when none is named; return when, monotonic ns."""

    def power_off(self, name: str) -> int:
        """Cut a server's power (its BMC lives on); return when, monotonic ns."""

    def pull_cord(self, name: str) -> int:
        """Cut the power of a server and of its BMC; return when, monotonic ns.

        Raises:
            LabLacksError: Nothing here does.
        """

    def outlet_commands(self, name: str) -> list[Entry]:
        """What the outlets of a server were told by its peer, and when: `at_ns`, `command`.

        Raises:
            LabLacksError: Nobody but the peer has that line.
        """
