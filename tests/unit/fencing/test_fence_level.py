# SPDX-License-Identifier: GPL-2.0-or-later
"""The proof of a whole level, over random answers of its devices."""

from __future__ import annotations

import asyncio
import time

from hypothesis import example, given
from hypothesis import strategies as st

from fencing import DeviceSettings, FenceOutcome, Power
from fencing.client import DeviceStep
from fencing.level import FenceReport, Level, nobody
from fencing.verify import Tell

OUTCOMES = st.sampled_from([*FenceOutcome, *[FenceOutcome.CONFIRMED_OFF] * 4])
POWERS = st.sampled_from([*Power, *[Power.OFF] * 4])


class ScriptedMember:
    """A device whose attempts and readings end as the script says; its last words repeat."""

    def __init__(self, name: str, outcomes: list[FenceOutcome], powers: list[Power]) -> None:
        self.settings = DeviceSettings(name=name, driver="ipmi", deadline_s=0.02)
        self.outcomes, self.powers = outcomes, powers
        self.calls: list[tuple[str, object, int]] = []

    async def off(self, tell: Tell, deadline_ns: int | None) -> DeviceStep:
        """The next scripted attempt."""
        del tell, deadline_ns
        await asyncio.sleep(0)
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        now_ns = time.monotonic_ns()
        self.calls.append(("off", outcome, now_ns))
        read_ns = now_ns if outcome is FenceOutcome.CONFIRMED_OFF else None
        return DeviceStep(self.settings.name, 1, outcome, "", now_ns, now_ns, read_off_ns=read_ns)

    async def status(self, deadline_ns: int) -> tuple[int, Power]:
        """The next scripted reading."""
        del deadline_ns
        asked_ns = time.monotonic_ns()
        await asyncio.sleep(0)
        power = self.powers.pop(0) if len(self.powers) > 1 else self.powers[0]
        self.calls.append(("status", power, asked_ns))
        return asked_ns, power

    async def on(self, tell: Tell) -> tuple[bool, str]:
        """Never asked here."""
        raise NotImplementedError


MEMBERS = st.lists(
    st.tuples(st.lists(OUTCOMES, min_size=1, max_size=4), st.lists(POWERS, min_size=1, max_size=4)),
    min_size=1,
    max_size=4,
)


@given(MEMBERS)
@example([([FenceOutcome.CONFIRMED_OFF, FenceOutcome.FAILED], [Power.ON])] * 2)
def test_a_level_is_off_only_all_at_once(
    scripts: list[tuple[list[FenceOutcome], list[Power]]],
) -> None:
    """S3: CONFIRMED_OFF needs every device's own proof, and then one reading of all that is off."""
    members = tuple(
        ScriptedMember(f"feed {number}", list(outcomes), list(powers))
        for number, (outcomes, powers) in enumerate(scripts)
    )
    report: FenceReport = asyncio.run(Level(members).off(nobody))
    assert {step.device for step in report.steps} == {member.settings.name for member in members}
    last = [member.calls[-1] for member in members]
    proofs = [
        [outcome for kind, outcome, _ in member.calls if kind == "off"][-1] for member in members
    ]
    proved = all(outcome is FenceOutcome.CONFIRMED_OFF for outcome in proofs)
    if report.outcome is FenceOutcome.CONFIRMED_OFF:
        assert proved
        moment_ns = report.read_off_monotonic_ns
        assert moment_ns is not None
        if len(members) > 1:
            assert all((kind, power) == ("status", Power.OFF) for kind, power, _ in last)
            assert moment_ns == min(asked_ns for _, _, asked_ns in last)
        assert all(step.read_off_ns is not None for step in report.steps)
        assert all(step.read_off_ns <= moment_ns for step in report.steps if step.read_off_ns)
    elif report.outcome is FenceOutcome.FAILED:
        attempts = [o for member in members for kind, o, _ in member.calls if kind == "off"]
        assert all(outcome is FenceOutcome.FAILED for outcome in attempts)
    else:
        together = all((kind, power) == ("status", Power.OFF) for kind, power, _ in last)
        assert not (proved and (together or len(members) == 1))
