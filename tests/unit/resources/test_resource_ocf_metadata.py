# SPDX-License-Identifier: GPL-2.0-or-later
"""Meta-data of OCF agents: what is read of them, and what is wrong with a configuration by them."""

from __future__ import annotations

import subprocess
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocf_bench import METADATA

from haagent.resources.ocf_agent import OCF_ROOT
from haagent.resources.ocf_metadata import (
    Action,
    Metadata,
    duration_s,
    problems,
    read,
    unique_groups,
)

AGENTS = sorted(path.name for path in (OCF_ROOT / "resource.d/heartbeat").glob("[!.]*"))


def of_debian(agent: str) -> Metadata:
    """The meta-data of an installed agent, asked as anybody would."""
    path = OCF_ROOT / "resource.d/heartbeat" / agent
    environment = {"OCF_ROOT": str(OCF_ROOT), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    done = subprocess.run([path, "meta-data"], env=environment, capture_output=True, check=True)
    return read(done.stdout.decode())


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *[("20s", 20.0), ("20", 20.0), ("3 min", 180.0), ("2m", 120.0), ("1h", 3600.0)],
        *[("500ms", 0.5), ("250000us", 0.25), (" 5 sec ", 5.0), ("0", 0.0), ("10S", 10.0)],
        *[("", None), (None, None), ("soon", None), ("-1", None), ("1.5s", None), ("3d", None)],
    ],
)
def test_durations(text: str | None, seconds: float | None) -> None:
    """As Pacemaker reads them; what it would not read is no advice."""
    assert duration_s(text) == seconds


def test_advice() -> None:
    """By check level, then by role; an unknown level is as the next lower one."""
    metadata = read(METADATA)
    assert metadata.advised("stop") == Action("stop", timeout_s=32.0)
    assert metadata.advised("monitor").interval_s == 11.0
    assert metadata.advised("monitor", promoted=True).interval_s == 13.0
    for depth in (10, 20):
        assert metadata.advised("monitor", depth=depth).interval_s == 12.0
    assert metadata.advised("migrate_to") == Action("migrate_to")
    assert metadata.has("promote", "demote")
    assert not metadata.has("promote", "migrate_to")


def test_parameter_names() -> None:
    """Unknown ones with the nearest known, missing ones, and those that nobody lists."""
    metadata = read(METADATA)
    assert problems(metadata, ["dir", "colour", "trace_dir"]) == []
    assert problems(metadata, ["dirs"]) == ["dirs is unknown; did you mean dir?", "dir is required"]
    assert problems(metadata, ["dir", "zzz"]) == ["zzz is unknown; drop it"]


def test_ocf_1_1() -> None:
    """Unique groups; and a deprecated parameter is not required, its successor is."""
    metadata = read("""<resource-agent name="x"><parameters>
        <parameter name="ip" unique-group="address" required="1"/>
        <parameter name="port" unique-group="address"/>
        <parameter name="old" required="1"><deprecated><replaced-with name="ip"/></deprecated>
        </parameter></parameters></resource-agent>""")
    assert unique_groups(metadata) == {"address": ["ip", "port"]}
    assert problems(metadata, []) == ["ip is required"]


def test_default_satisfies_required() -> None:
    """A required parameter that has a default need not be given; an empty default is none."""
    text = '<resource-agent name="x"><parameters><parameter name="nic" required="1">{}</parameter>'
    text += "</parameters></resource-agent>"
    assert problems(read(text.format('<content type="string" default="eth0"/>')), []) == []
    assert problems(read(text.format('<content type="string" default=""/>')), [])


@pytest.mark.parametrize("text", ["", "no xml", "<a/>", "<resource-agent>", "\0"])
def test_not_metadata(text: str) -> None:
    """What is none is refused in one sentence."""
    with pytest.raises(ValueError, match=r"no XML|expected"):
        read(text)


@given(st.text() | st.text().map(lambda text: f"<resource-agent>{text}</resource-agent>"))
def test_any_text(text: str) -> None:
    """Any text gives meta-data or that error."""
    with suppress(ValueError):
        read(text)


@pytest.mark.parametrize("agent", AGENTS)
def test_agents_of_debian(agent: str) -> None:
    """Every agent of Debian's resource-agents is understood, with a limit for each main action."""
    metadata = of_debian(agent)
    assert metadata.has("start", "stop", "monitor")
    for action in ("start", "stop", "monitor"):
        assert metadata.advised(action).timeout_s


def test_filesystem() -> None:
    """One of them looked at closely."""
    metadata = of_debian("Filesystem")
    assert metadata.advised("stop").timeout_s == 60.0
    assert metadata.advised("monitor").interval_s == 20.0
    assert problems(metadata, ["device", "directory", "fstyp"]) == [
        "fstyp is unknown; did you mean fstype?",
        "fstype is required",
    ]


def test_pgsql() -> None:
    """A promotable one: its monitor as promoted is asked for more often."""
    metadata = of_debian("pgsql")
    assert metadata.has("promote", "demote", "notify")
    assert metadata.advised("monitor", promoted=True).interval_s == 29.0
    assert metadata.advised("monitor").interval_s == 30.0
    assert problems(metadata, ["pgctl", "pgdata", "rep_mode", "node_list"]) == []
