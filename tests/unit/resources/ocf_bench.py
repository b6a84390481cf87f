# SPDX-License-Identifier: GPL-2.0-or-later
"""An OCF agent that does what a test tells it, and resources made with it or with real ones."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from haagent.resources import ResourceError
from haagent.resources.ocf import OcfResource
from haagent.resources.ocf_agent import OCF_ROOT
from haagent.resources.ocf_settings import OcfSettings

METADATA = """<?xml version="1.0"?>
<resource-agent name="Fake" version="1.0">
<parameters>
 <parameter name="dir" required="1" unique="1"><content type="string" default=""/></parameter>
 <parameter name="colour"><content type="string" default="red"/></parameter>
</parameters>
<actions>
 <action name="start" timeout="31s"/><action name="stop" timeout="32"/>
 <action name="promote" timeout="33s"/><action name="demote" timeout="34s"/>
 <action name="notify" timeout="35s"/>
 <action name="monitor" timeout="21s" interval="11s" depth="0"/>
 <action name="monitor" timeout="22s" interval="12s" depth="10"/>
 <action name="monitor" timeout="23s" interval="13s" depth="0" role="Promoted"/>
 <action name="validate-all" timeout="5s"/><action name="meta-data" timeout="5s"/>
</actions>
</resource-agent>
"""

PROGRAM = """#!/bin/sh
[ "$1" = meta-data ] && [ ! -e "$0.odd" ] && exec cat "$0.xml"
[ "$1" = meta-data ] && . "$0.odd"
d=$OCF_RESKEY_dir
echo "$1 $OCF_RESKEY_CRM_meta_interval $OCF_CHECK_LEVEL" >>"$d/calls"
env >"$d/env.$1"
[ "$1" = notify ] &&
    echo "$OCF_RESKEY_CRM_meta_notify_type $OCF_RESKEY_CRM_meta_notify_operation" >>"$d/notified"
[ -e "$d/do.$1" ] && . "$d/do.$1"
case $1 in
start) [ -e "$d/role" ] || echo unpromoted >"$d/role" ;;
stop) rm -f "$d/role" ;;
promote) echo promoted >"$d/role" ;;
demote) echo unpromoted >"$d/role" ;;
monitor)
    [ -e "$d/role" ] || exit 7
    [ "$(cat "$d/role")" = promoted ] && exit 8 ;;
notify | validate-all) ;;
*) exit 3 ;;
esac
exit 0
"""


@dataclass(frozen=True)
class FakeAgent:
    """The agent "ocf:test:Fake", installed in a root of its own."""

    folder: Path

    def __post_init__(self) -> None:
        for place in (self.program.parent, self.state):
            place.mkdir(parents=True)
        self.program.write_text(PROGRAM)
        self.program.chmod(0o755)
        Path(f"{self.program}.xml").write_text(METADATA)

    @property
    def root(self) -> Path:
        """Where it is installed."""
        return self.folder / "ocf"

    @property
    def program(self) -> Path:
        """The agent itself."""
        return self.root / "resource.d/test/Fake"

    @property
    def state(self) -> Path:
        """What the service is, and what was asked of the agent."""
        return self.folder / "service"

    @property
    def directory(self) -> Path:
        """The directory of ours."""
        return self.folder / "run"

    @property
    def role(self) -> str:
        """What the service is now, whatever the agent says; "" if it is stopped."""
        path = self.state / "role"
        return path.read_text().strip() if path.exists() else ""

    def become(self, role: str) -> None:
        """The service changes by itself."""
        (self.state / "role").write_text(role + "\n")

    def do(self, action: str, script: str) -> None:
        """From now on run this before an action; "exit n" in it ends the action."""
        (self.state / f"do.{action}").write_text(script + "\n")

    def behave(self, action: str) -> None:
        """Do as usual again."""
        (self.state / f"do.{action}").unlink()

    def answer_metadata(self, script: str) -> None:
        """From now on run this for meta-data."""
        Path(f"{self.program}.odd").write_text(f"{script}\nexit 0\n")

    def calls(self) -> list[str]:
        """The actions since the last call of this, each as "action interval check-level"."""
        path = self.state / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.write_text("")
        return lines

    def notifications(self) -> list[str]:
        """All of them, each as "pre start"."""
        return (self.state / "notified").read_text().splitlines()

    def environment(self, action: str) -> dict[str, str]:
        """What the last run of an action found."""
        lines = (self.state / f"env.{action}").read_text().splitlines()
        return dict(line.partition("=")[::2] for line in lines)

    def resource(self, *, name: str = "db", **settings: Any) -> OcfResource:
        """A resource with this agent; called again it is what a restarted agent has of it."""
        parameters = {"dir": str(self.state)}
        given = {"agent": "ocf:test:Fake", "parameters": parameters, **settings}
        known = OcfSettings(name=name, group="g", node="alpha", **given)
        return OcfResource(known, directory=self.directory, root=self.root)


def installed(
    agent: str, directory: Path, parameters: Mapping[str, str], **settings: Any
) -> OcfResource:
    """A resource with an agent of Debian's."""
    known = OcfSettings(
        name="it", group="g", node="alpha", agent=agent, parameters=parameters, **settings
    )
    return OcfResource(known, directory=directory, root=OCF_ROOT)


async def refused(work: object) -> ResourceError:
    """The error that start(), stop() or retire() ends with."""
    assert asyncio.iscoroutine(work)
    try:
        await work
    except ResourceError as error:
        return error
    raise AssertionError("it claims to have succeeded")
