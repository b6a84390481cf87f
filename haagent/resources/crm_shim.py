# SPDX-License-Identifier: GPL-2.0-or-later
"""What OCF agents find in place of Pacemaker's tools: a promotion score, and no cluster.

An agent of a promotable resource tells how fit its node is by `crm_master` or `crm_attribute -p`.
These keep that score in a file that the agent of the pair reads as the resource's data position.
There is nothing else behind them that an agent could rely on: attributes of the other node or of
the cluster, and every other tool, are answered as by Pacemaker's own where no cluster runs.

One program under the names of all tools, chosen by the name that it is called by.

Source: Pacemaker 2.1.5, tools/crm_attribute.c and tools/crm_master.in; exit codes: crm_exit_t.
"""

from __future__ import annotations

import getopt
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

SCORE_FILE = "HAAGENT_OCF_SCORE"
"""Variable of the agent's environment: path of the file for the score of its resource."""
NODE = "HAAGENT_NODE"
"""Variable of the agent's environment: what this node is called."""

REFUSED = (
    *("attrd_updater", "cibadmin", "crm_failcount", "crm_mon", "crm_resource", "crm_simulate"),
    *("crm_standby", "crm_ticket", "crmadmin", "stonith_admin"),
)
TOOLS = ("crm_attribute", "crm_master", "crm_node", *REFUSED)
"""All names that this program goes by."""

OK = 0
USAGE = 64
DISCONNECTED = 102
NO_SUCH = 105

INFINITY = 1_000_000
"""A score beyond it counts as this. Source: Pacemaker Explained, "Scores"."""

_SHORT = "VqQGDv:d:N:U:l:i:r:n:t:s:z"
_LONG = {
    name: letter
    for letter, names in {
        "q": ("quiet",),
        "V": ("verbose",),
        "G": ("query", "get-value"),
        "D": ("delete", "delete-attr"),
        "v": ("update=", "attr-value="),
        "d": ("default=",),
        "N": ("node=", "uname="),
        "l": ("lifetime=",),
        "i": ("id=", "attr-id="),
        "r": ("resource=", "promotion="),
        "n": ("name=", "attr-name="),
        "t": ("type=",),
        "s": ("set-name=",),
        "z": ("utilization",),
    }.items()
    for name in names
}
"""Long options and the short one that each is the same as; deprecated names included."""
_SCORE = re.compile(r"[+-]?(?:[0-9]{1,9}|INFINITY|infinity)")


class RefusedError(Exception):
    """No such question can be answered here."""


def main() -> int:
    """Answer as the tool whose name is in argv[0]; returns its exit code."""
    tool = Path(sys.argv[0]).name
    try:
        if tool in ("crm_attribute", "crm_master"):
            return _attribute(tool, sys.argv[1:])
        return _node(tool, sys.argv[1:])
    except (RefusedError, KeyError, getopt.GetoptError):
        # Agents look for "not connected".
        _complain(f"{tool}: not connected: haagent runs this resource, no Pacemaker cluster")
        return DISCONNECTED
    except OSError as error:
        _complain(f"{tool}: {error}")
        return NO_SUCH


def position(text: str) -> int | None:
    """The score in a file as a number; None if there is none in it."""
    text = text.strip()
    if _SCORE.fullmatch(text) is None:
        return None
    if text.lower().endswith("infinity"):
        return -INFINITY if text.startswith("-") else INFINITY
    return max(-INFINITY, min(INFINITY, int(text)))


def _node(tool: str, arguments: list[str]) -> int:
    """Tell what this node is called."""
    if tool != "crm_node" or arguments not in (["-n"], ["--name"]):
        raise RefusedError
    print(os.environ[NODE])  # noqa: T201  # a program's output
    return OK


def _attribute(tool: str, arguments: list[str]) -> int:
    """Set, delete or (without either) show the promotion score of this resource on this node."""
    options = _options(arguments)
    if not _is_own_score(tool, options):
        raise RefusedError
    file = Path(os.environ[SCORE_FILE])
    if "v" in options:
        return _store(file, options["v"])
    if "D" in options:
        file.unlink(missing_ok=True)
        return OK
    try:
        value = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        value = options.get("d", "")
    if not value:
        _complain(f"{tool}: no promotion score is set")
        return NO_SUCH
    name = f"scope=status  name=master-{os.environ['OCF_RESOURCE_INSTANCE']} value="
    print(value if "q" in options else name + value)  # noqa: T201  # a program's output
    return OK


def _options(arguments: list[str]) -> dict[str, str]:
    """The options by their short names; `-p`, whose argument may be missing, as "r"."""
    found, rest = getopt.getopt(list(_promotion(arguments)), _SHORT, list(_LONG))
    if rest:
        raise RefusedError
    short = {f"--{name.rstrip('=')}": letter for name, letter in _LONG.items()}
    aliases = {"U": "N", "Q": "q"}
    letters = ((short.get(name, name.lstrip("-")), value) for name, value in found)
    return {aliases.get(letter, letter): value for letter, value in letters}


def _promotion(arguments: list[str]) -> Iterable[str]:
    """The arguments with `-p` and `-p NAME` as `--promotion=`."""
    waiting = False
    for argument in arguments:
        if waiting:
            waiting = False
            if not argument.startswith("-"):
                yield f"--promotion={argument}"
                continue
            yield "--promotion="
        if argument in ("-p", "--promotion"):
            waiting = True
        else:
            yield argument
    if waiting:
        yield "--promotion="


def _is_own_score(tool: str, options: dict[str, str]) -> bool:
    """Whether the promotion score of the calling resource on this node is meant."""
    resource = os.environ["OCF_RESOURCE_INSTANCE"]
    nodes = {os.environ[NODE].lower(), os.uname().nodename.lower()}
    if tool == "crm_master" or "r" in options:
        meant = f"master-{options.get('r') or resource}"
    else:
        meant = options.get("n", "")
    here = "N" not in options or options["N"].lower() in nodes
    return meant == f"master-{resource}" and here and not {"t", "s", "z"} & set(options)


def _store(file: Path, value: str) -> int:
    """Make `value` the score, whole or not at all."""
    if position(value) is None:
        _complain(f"{value!r} is no score")
        return USAGE
    fresh = file.with_name(f"{file.name}.{os.getpid()}")
    fresh.write_text(value, encoding="utf-8")
    fresh.replace(file)
    return OK


def _complain(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201  # a program's complaint


if __name__ == "__main__":
    sys.exit(main())
