# SPDX-License-Identifier: GPL-2.0-or-later
"""fence_haagent on the bench: its program, and configurations of BMCs and agents."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fence_bench import PASSWORD

from hil.bmc import IpmiSim
from hil.fence_agent import BenchAgent

LIMIT_S = 60.0
_PROGRAM = """\
#!{python}
import sys
sys.path.insert(0, {home!r})
from fencing.fence_agent import main
sys.exit(main())
"""
_BMC = """\
[[fence]]
name = "{name}"
node = "{node}"
driver = "ipmi"
level = {level}
address = "{bmc.address}"
user = "{bmc.user}"
password_file = "password"
off_settle = "0s"
deadline = "{deadline}"
[fence.options]
port = {bmc.port}
"""
_AGENT = """\
[[fence]]
name = "{name}"
node = "{node}"
driver = "agent"
level = {level}
off_settle = "0s"
deadline = "{deadline}"
[fence.options]
agent = "{agent.program}"
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One device of a configuration."""

    node: str
    device: IpmiSim | BenchAgent
    level: int = 1
    deadline: str = "5s"


def program(folder: Path) -> Path:
    """fence_haagent as it is installed: an executable of that name."""
    path = folder / "fence_haagent"
    home = str(Path(__file__).parents[3])
    path.write_text(_PROGRAM.format(python=sys.executable, home=home))
    path.chmod(0o755)
    return path


def configuration(folder: Path, *entries: Entry) -> Path:
    """A file of [[fence]] tables alone, with the password beside it."""
    secret = folder / "password"
    secret.touch(mode=0o600)
    secret.write_text(f"{PASSWORD}\n")
    tables = []
    for number, entry in enumerate(entries, start=1):
        form = _BMC if isinstance(entry.device, IpmiSim) else _AGENT
        tables.append(
            form.format(
                name=f"device-{number}",
                node=entry.node,
                level=entry.level,
                deadline=entry.deadline,
                bmc=entry.device,
                agent=entry.device,
            )
        )
    path = folder / "fence.toml"
    path.write_text("".join(tables))
    return path


def told(
    program: Path, parameters: Mapping[str, object], *, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run it as a cluster does: no arguments, parameters on stdin."""
    text = "".join(f"{name}={value}\n" for name, value in parameters.items())
    return _run([str(program)], text, environment)


def called(program: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run it as a person does."""
    return _run([str(program), *map(str, arguments)], "", None)


def _run(
    command: Sequence[str], text: str, environment: Mapping[str, str] | None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        input=text,
        capture_output=True,
        text=True,
        check=False,
        env=dict(environment or {}),
        timeout=LIMIT_S,
    )
