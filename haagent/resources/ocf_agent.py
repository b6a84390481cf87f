# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs one OCF agent: where its program is, and what it is told.

What an agent finds in its environment is all there is of a cluster for it:

    PATH, HA_SBIN_DIR                  our stand-ins for Pacemaker's tools come first (crm_shim)
    OCF_ROOT, OCF_RA_VERSION_*         the contract, version 1.1
    OCF_RESOURCE_INSTANCE, _TYPE, _PROVIDER
    OCF_RESKEY_*                       the parameters of the configuration
    OCF_RESKEY_CRM_meta_*              timeout and interval (ms), name, on_node; for a promotable
                                       one also what a clone of two instances has
    OCF_CHECK_LEVEL                    how thorough a monitor is: 0, 10, 20
    HA_RSCTMP                          for notes of the agents, gone with the next boot
    HA_LOGFACILITY, HA_debug           "none", 0: agents log to stderr, and that is our log

Source: OCF resource agent API 1.1; Pacemaker 2.1.5, lib/services/services_linux.c and
doc/sphinx/Pacemaker_Administration/agents.rst; resource-agents 4.12, ocf-shellfuncs.in.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

from fencing.config.problems import nearest
from haagent.resources.crm_shim import NODE, SCORE_FILE
from haagent.resources.ocf_codes import REASON, UnfitError
from haagent.resources.ocf_notes import Notes
from haagent.resources.ocf_settings import OcfSettings
from haagent.resources.process import Finished, Program, Programs
from haagent.resources.spawn import PATH

OCF_ROOT = Path("/usr/lib/ocf")
"""Where Debian installs agents."""
DIRECTORY = Path("/run/haagent-ocf")
"""Ours. Not the service's runtime directory: systemd removes that when the service is stopped, and
agents would take for stopped what then still runs."""
FEATURE_SET = "3.16.2"
"""Of Pacemaker 2.1.5, which Debian 12's agents are written for."""

_FORM = re.compile(r"ocf:([A-Za-z0-9][A-Za-z0-9_.+-]*):([A-Za-z0-9][A-Za-z0-9_.+-]*)")
_INSTANCE = re.compile(r"[A-Za-z0-9_.:+-]+")
_CLONE: Final = {
    "clone": "0",
    "clone_max": "2",
    "clone_node_max": "1",
    "globally_unique": "false",
    "notify": "true",
    "promotable": "true",
    "promoted_max": "1",
    "promoted_node_max": "1",
    "master_max": "1",
    "master_node_max": "1",
}
"""What Pacemaker tells of a promotable resource on two nodes, with the names of old agents."""


class Agent:
    """The program of one resource's agent.

    Args:
        settings: Which resource it is.
        directory: For notes of all agents; root's alone, and empty after a boot.
        root: Where agents are installed.
    """

    def __init__(self, settings: OcfSettings, *, directory: Path, root: Path) -> None:
        assert _INSTANCE.fullmatch(settings.instance), settings.instance
        self._settings = settings
        self._root = root
        self._programs = Programs(settings.instance)
        self.notes = Notes(directory, settings.instance)

    async def run(
        self,
        action: str,
        limit_s: float,
        *,
        interval_s: float = 0.0,
        check_level: int = 0,
        notify: Mapping[str, str] | None = None,
    ) -> Finished:
        """Run one action to its end.

        Args:
            action: As the agent is to be called.
            limit_s: For the action; the agent is told.
            interval_s: Of a monitor that is repeated; with 0 agents take it for a probe, and count
                what they cannot examine as not running.
            check_level: OCF_CHECK_LEVEL.
            notify: Variables of a notification.

        Raises:
            UnfitError: There is no such agent.
            NotesError: There is no room for its notes; it was not run.
            ProgramError: It did not run to its end.
        """
        self.notes.lay_out()
        environment = {
            **self._environment(),
            **(notify or {}),
            "OCF_CHECK_LEVEL": str(check_level),
            "OCF_RESKEY_CRM_meta_interval": str(round(interval_s * 1000)),
            "OCF_RESKEY_CRM_meta_name": action,
            "OCF_RESKEY_CRM_meta_timeout": str(round(limit_s * 1000)),
        }
        return await self._programs.run(
            Program(
                argv=(self._settings.agent, action),
                action=action,
                environment=environment,
                lives_on=action in ("start", "promote", "demote", "notify"),
                quiet=action in ("monitor", "meta-data"),
                answers=action == "meta-data",
                find=partial(find, self._settings.agent, self._root),
            ),
            limit_s,
        )

    def close(self) -> None:
        """Let go of the output of what runs on."""
        self._programs.close()

    def _environment(self) -> dict[str, str]:
        """What is the same for all actions."""
        settings = self._settings
        provider, type_ = _names(settings.agent)
        tools = str(self.notes.directory / "tools")
        meta = {"on_node": settings.node, **(_CLONE if settings.promotable else {})}
        return {
            **{f"OCF_RESKEY_{name}": value for name, value in settings.parameters.items()},
            **{f"OCF_RESKEY_CRM_meta_{name}": value for name, value in meta.items()},
            "OCF_RESKEY_crm_feature_set": FEATURE_SET,
            "OCF_ROOT": str(self._root),
            "OCF_RA_VERSION_MAJOR": "1",
            "OCF_RA_VERSION_MINOR": "1",
            "OCF_RESOURCE_INSTANCE": settings.instance,
            "OCF_RESOURCE_TYPE": type_,
            "OCF_RESOURCE_PROVIDER": provider,
            "OCF_EXIT_REASON_PREFIX": REASON,
            "OCF_OUTPUT_FORMAT": "text",
            "HA_RSCTMP": str(self.notes.directory / "state"),
            "HA_LOGFACILITY": "none",
            "HA_debug": "0",
            "HA_SBIN_DIR": tools,
            "PATH": f"{tools}:{PATH}",
            SCORE_FILE: str(self.notes.score_file),
            NODE: settings.node,
        }


def find(agent: str, root: Path) -> str:
    """Path of the program of "ocf:PROVIDER:TYPE"; blocks as long as its disk does.

    Raises:
        UnfitError: There is none, or others could have put something else in its place.
        OSError: The disk cannot tell.
    """
    path = root / "resource.d"
    for name in _names(agent):
        if not (path / name).exists():
            known = [entry.name for entry in path.iterdir()] if path.is_dir() else []
            hint = nearest(name, known, "is its package installed?")
            raise UnfitError(f"{agent} is not installed: there is no {path / name}; {hint}")
        path /= name
    _refuse_foreign(path)
    return str(path)


def _names(agent: str) -> tuple[str, ...]:
    """Its provider and its type."""
    match = _FORM.fullmatch(agent)
    if match is None:
        raise UnfitError(f'{agent!r} is not written as "ocf:PROVIDER:TYPE"')
    return match.groups()


def _refuse_foreign(path: Path) -> None:
    """Refuse what is no program, or what others than root (and who we are) can change."""
    real = path.resolve()
    file, folder = real.stat(), real.parent.stat()
    if not stat.S_ISREG(file.st_mode) or not os.access(real, os.X_OK):
        raise UnfitError(f"{path} is no program")
    open_folder = folder.st_mode & stat.S_IWOTH and not folder.st_mode & stat.S_ISVTX
    if file.st_mode & stat.S_IWOTH or open_folder or file.st_uid not in (0, os.geteuid()):
        raise UnfitError(f"{path} could have been changed by others")
