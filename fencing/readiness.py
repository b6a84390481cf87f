# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a device would work now, and else what is wrong with it, by name."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from uuid import UUID

from fencing import DeviceSettings, Power
from fencing.drivers import cuts_power
from fencing.findings import Finding, Trouble
from fencing.identity import same
from fencing.worker import Message


@dataclass(frozen=True, slots=True)
class Readiness:
    """What the last check of a device said."""

    device: str
    level: int
    power: Power
    checked_monotonic_ns: int | None
    """When the last check ended, or was about to ask for the power if it read it."""
    pending: str = ""
    """Why there is no judgement yet; "" once there is one."""
    identity: UUID | None = None
    """The machine the device last answered for, bytes in the device's order."""
    expected: UUID | None = None
    """The machine it should answer for, if that is known."""
    evidence: str = ""
    """What it saw besides its switch, e.g. "outlet 3: 0.0 A"."""
    mark: str = ""
    """Equal for two entries that are one device."""
    seen: tuple[Finding, ...] = ()
    """What the check itself found."""
    twins: tuple[Finding, ...] = ()
    """What was found by comparing it with the other devices."""
    cuts_power: bool = True
    """A disk's permission does not."""

    @property
    def identity_ok(self) -> bool | None:
        """Whether it answers for the expected machine; None if either is not known."""
        if self.identity is None or self.expected is None:
            return None
        return same(self.identity, self.expected)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything that is wrong with it, what blocks first."""
        found = list(self.seen + self.twins)
        if self.identity_ok is False:
            text = f"the device answers for {self.identity}, expected {self.expected}"
            found.append(Finding(Trouble.OTHER_MACHINE, text))
        return tuple(sorted(found, key=lambda finding: not finding.trouble.blocks))

    @property
    def ready(self) -> bool:
        """Whether it could be counted on now."""
        return not self.pending and not any(finding.trouble.blocks for finding in self.findings)

    @property
    def detail(self) -> str:
        """Why it is not ready, for the operator; "" if it is."""
        blocking = (str(finding) for finding in self.findings if finding.trouble.blocks)
        return self.pending or "; ".join(blocking)


def unchecked(settings: DeviceSettings) -> Readiness:
    """A device of which nothing is known yet."""
    return Readiness(
        device=settings.name,
        level=settings.level,
        power=Power.UNKNOWN,
        checked_monotonic_ns=None,
        pending="not checked yet",
        cuts_power=cuts_power(settings),
    )


def unready(settings: DeviceSettings, finding: Finding) -> Readiness:
    """A device that could not be checked, now."""
    now_ns = time.monotonic_ns()
    return replace(unchecked(settings), checked_monotonic_ns=now_ns, pending="", seen=(finding,))


def judged(settings: DeviceSettings, answer: Message) -> Readiness:
    """The readiness by a worker's answer to "check"."""
    if "error" in answer:
        return unready(settings, Finding(Trouble[answer["trouble"].upper()], answer["error"]))
    power = Power(answer["power"])
    seen = tuple(Finding(Trouble[code.upper()], text) for code, text in answer["findings"])
    if power is Power.UNKNOWN:
        text = answer["evidence"] or "it reads neither on nor off"
        seen += (Finding(Trouble.POWER_UNCLEAR, text),)
    if power is Power.OFF and not cuts_power(settings):
        text = "the node's key is not on the disk: it may not write there"
        seen += (Finding(Trouble.NOT_LET_IN, text),)
    identity = answer["identity"]
    return Readiness(
        device=settings.name,
        level=settings.level,
        power=power,
        checked_monotonic_ns=answer["asked_ns"],
        identity=None if identity is None else UUID(identity),
        evidence=answer["evidence"],
        mark=answer["mark"],
        seen=seen,
        cuts_power=cuts_power(settings),
    )


def levels_ready(devices: tuple[Readiness, ...]) -> tuple[bool, str]:
    """Whether at least one whole level could prove the peer off now, and else why not."""
    levels: dict[int, list[Readiness]] = {}
    for device in devices:
        levels.setdefault(device.level, []).append(device)
    ready = any(
        all(device.ready for device in level) and any(device.cuts_power for device in level)
        for level in levels.values()
    )
    faults = [f"{device.device}: {device.detail}" for device in devices if not device.ready]
    return ready, "; ".join(faults)
