# SPDX-License-Identifier: GPL-2.0-or-later
"""`make hil-compare`: haagent, Pacemaker and keepalived die the same deaths on the same bench."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from hil.compare import keepalived, ours, pacemaker
from hil.compare.measure import DEATHS, Cost, Run, die, idle, versions
from hil.compare.table import tables
from hil.processes import ROOT, run
from hil.qemu.shell import EXIT_NOT_ROOT, leave_in_order

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hil.compare.contender import Contender

CONTENDERS: tuple[Contender, ...] = (
    ours.DEFAULT,
    ours.TUNED,
    pacemaker.DEFAULT,
    pacemaker.TUNED,
    keepalived.DEFAULT,
    keepalived.TUNED,
)
RESULTS = ROOT / "build" / "hil" / "compare.jsonl"
"""Every run, also those that say nothing; a line each."""
_KINDS = {"run": Run, "cost": Cost}


def _keep(kind: str, one: Run | Cost) -> None:
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    with RESULTS.open("a") as file:
        file.write(json.dumps({"kind": kind, **asdict(one)}) + "\n")
    _say(str(one))


def _results(path: Path) -> tuple[list[Run], list[Cost]]:
    """Everything that was kept."""
    found: dict[str, list[Run | Cost]] = {kind: [] for kind in _KINDS}
    for line in path.read_text().splitlines():
        entry = json.loads(line)
        kind = entry.pop("kind")
        found[kind].append(_KINDS[kind](**entry))
    return (
        [one for one in found["run"] if isinstance(one, Run)],
        [one for one in found["cost"] if isinstance(one, Cost)],
    )


def _conditions(runs: Sequence[Run], costs: Sequence[Cost]) -> str:
    loads = [one.load for one in runs] + [one.load for one in costs]
    qemu = run(["qemu-system-x86_64", "--version"]).stdout.splitlines()[0]
    return (
        f"{os.cpu_count()} cores for everything, load {min(loads)} to {max(loads)},"
        f" Linux {platform.release()}, {qemu}."
    )


def main() -> None:
    """See --help."""
    names = [one.name for one in CONTENDERS]
    parser = argparse.ArgumentParser(prog="hil-compare", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="deaths of each kind, 0 for none")
    parser.add_argument("--deaths", nargs="*", choices=DEATHS, default=DEATHS)
    parser.add_argument("--windows", type=int, default=5, help="of idling, 0 for none")
    parser.add_argument("--seconds", type=float, default=30.0, help="of such a window")
    parser.add_argument("--only", nargs="*", choices=names, default=names, help="these contenders")
    parser.add_argument("--add", action="store_true", help="to what was measured before")
    given = parser.parse_args()
    if os.geteuid() != 0:
        _say("virtual servers need root, for their networks")
        raise SystemExit(EXIT_NOT_ROOT)
    leave_in_order()
    wanted = [one for one in CONTENDERS if one.name in given.only]
    if not given.add:
        RESULTS.unlink(missing_ok=True)
    # All take turns, so that a busy hour of this machine is shared by all of them.
    for _ in range(given.runs):
        for death in given.deaths:
            for contender in wanted:
                _keep("run", die(contender, death))
    for contender in wanted if given.windows else ():
        for cost in idle(contender, given.windows, given.seconds):
            _keep("cost", cost)
    runs, costs = _results(RESULTS)
    _say("\n" + tables(CONTENDERS, runs, costs))
    _say(_conditions(runs, costs))
    for contender in wanted:
        told = ", ".join(f"{name} {version}" for name, version in versions(contender).items())
        _say(f"- {contender.title}: {contender.settings} ({told})")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
