# SPDX-License-Identifier: GPL-2.0-or-later
"""A fence agent on the bench: a shell script by ClusterLabs' contract, with faults on demand.

Source: fence-agents 4.12.1, doc/FenceAgentAPI.md: parameters on stdin, exit status 0, 1, or 2.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

_METADATA = """\
<?xml version="1.0" ?>
<resource-agent name="{name}" shortdesc="An agent of the bench" >
<longdesc>It switches a file.</longdesc>
<vendor-url></vendor-url>
<parameters>
{parameters}
</parameters>
<actions>
{actions}
</actions>
</resource-agent>
"""
_PARAMETER = """\
<parameter name="{name}" unique="0" required="{required}"{more}>
<getopt mixed="--{name}" />{content}
<shortdesc lang="en">{name}</shortdesc>
</parameter>"""

# What a shell leaves in `input`, `arguments` and `environment` is what the agent was given last.
_AGENT = """\
#!/bin/sh
cd {directory} || exit 1
cat > input.new && mv input.new input
echo "$#" > arguments
tr '\\000' '\\n' < /proc/self/environ > environment
action=$(sed -n 's/^action=//p' input | tail -n 1)
read -r fault < fault
echo "$action" >> log
if [ "$action" = metadata ]; then cat metadata.xml; exit 0; fi
case "$fault" in
hang*)
  # One that a process group does not hold: it is in a session of its own.
  setsid sh -c ': > hanging; sleep "$0"; echo off > power' "${{fault#hang }}" &
  wait; exit 0 ;;
leak) cat input; cat input >&2; exit 1 ;;
flood) head -c 20000000 /dev/zero | tr '\\0' 'x'; head -c 20000000 /dev/zero >&2; exit 1 ;;
fail*) echo "$(date '+%F %T'),123 ERROR: ${{fault#fail }}" >&2; exit 1 ;;
mute) exit 1 ;;
esac
read -r power < power
case "$action $fault" in
"status says"*) set -- ${{fault#says }}; code=$1; shift; echo "$*"; exit "$code" ;;
status*|monitor*)
  echo "Status: $(echo "$power" | tr a-z A-Z)"
  if [ "$action $power" = "status off" ]; then exit 2; fi
  exit 0 ;;
"off ack_only") exit 0 ;;
"off refused") echo off > power; exit 1 ;;
on*|off*) echo "$action" > power; echo "Success: Powered $action"; exit 0 ;;
esac
echo "Unrecognised action $action" >&2
exit 1
"""


@dataclass(frozen=True, slots=True)
class BenchParameter:
    """One parameter in the agent's metadata."""

    name: str
    kind: str = "string"
    required: bool = False
    more: str = ""
    """Further attributes, e.g. obsoletes="port"."""
    choices: tuple[str, ...] = ()


PARAMETERS = (
    BenchParameter("action", required=True),
    BenchParameter("plug", more=' obsoletes="port"'),
    BenchParameter("port", more=' deprecated="1"'),
    BenchParameter("username", more=' obsoletes="login"'),
    BenchParameter("password", more=' obsoletes="passwd"'),
    BenchParameter("power_wait", "second"),
    BenchParameter("power_timeout", "second"),
    BenchParameter("ssl", "boolean"),
    BenchParameter("ipport", "integer"),
    BenchParameter("method", "select", choices=("onoff", "cycle")),
    BenchParameter("verbose", "boolean"),
    BenchParameter("missing_as_off", "boolean"),
)
ACTIONS = ("off", "status", "monitor", "reboot", "metadata")
"""Besides `on`, which has an attribute of its own."""


class BenchAgent:
    """One agent in a directory of its own; `power` and `fault` are files in it."""

    def __init__(
        self,
        directory: Path,
        *,
        parameters: tuple[BenchParameter, ...] = PARAMETERS,
        actions: tuple[str, ...] = ACTIONS,
        automatic: bool = False,
        name: str = "fence_bench",
    ) -> None:
        self.directory = directory.absolute()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.program = self.directory / name
        """What is run."""
        self.program.write_text(_AGENT.format(directory=shlex.quote(str(self.directory))))
        self.program.chmod(0o755)
        on = f'<action name="on" automatic="{int(automatic)}"/>'
        rest = (f'<action name="{action}" />' for action in actions)
        self._path("metadata.xml").write_text(
            _METADATA.format(
                name=name,
                parameters="\n".join(map(_element, parameters)),
                actions="\n".join((on, *rest)),
            )
        )
        self.power = "on"
        self.fault = "none"

    @property
    def power(self) -> str:
        """`on` or `off`: what the machine is, whatever the agent says."""
        return self._path("power").read_text().strip()

    @power.setter
    def power(self, value: str) -> None:
        self._path("power").write_text(f"{value}\n")

    @property
    def fault(self) -> str:
        """What goes wrong.

        none; ack_only (off is taken and not carried out); refused (carried out, and called a
        failure); fail TEXT; mute; says CODE TEXT (for status); hang SECONDS, carried out then by
        a process of another session; leak (all it was told goes to its output); flood.
        """
        return self._path("fault").read_text().strip()

    @fault.setter
    def fault(self, value: str) -> None:
        self._path("fault").write_text(f"{value}\n")

    @property
    def log(self) -> tuple[str, ...]:
        """Every action it was asked for, in order."""
        path = self._path("log")
        return tuple(path.read_text().splitlines()) if path.exists() else ()

    @property
    def input(self) -> tuple[str, ...]:
        """The lines that it was given last."""
        return tuple(self._path("input").read_text().split("\n"))

    @property
    def arguments(self) -> int:
        """How many arguments it was given last."""
        return int(self._path("arguments").read_text())

    @property
    def environment(self) -> dict[str, str]:
        """What it was given last, but for what its shell adds."""
        lines = self._path("environment").read_text().splitlines()
        pairs = (line.partition("=") for line in lines if line)
        return {name: value for name, _, value in pairs if name not in ("PWD", "OLDPWD", "_")}

    @property
    def hanging(self) -> bool:
        """Whether a fault of kind "hang" has begun."""
        return self._path("hanging").exists()

    def _path(self, name: str) -> Path:
        return self.directory / name


def _element(parameter: BenchParameter) -> str:
    options = "".join(f'<option value="{choice}" />' for choice in parameter.choices)
    return _PARAMETER.format(
        name=parameter.name,
        required=int(parameter.required),
        more=parameter.more,
        content=f'<content type="{parameter.kind}">{options}</content>',
    )
