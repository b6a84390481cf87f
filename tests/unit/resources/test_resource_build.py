# SPDX-License-Identifier: GPL-2.0-or-later
"""Settings of a group become the objects that carry it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import replace
from ipaddress import ip_address, ip_interface
from pathlib import Path

import pytest

from haagent.config.settings import (
    CommandSettings,
    CommandTarget,
    GroupPlan,
    HttpTarget,
    ProbeSettings,
    ResourceSettings,
    SystemdSettings,
    TcpTarget,
    VipSettings,
)
from haagent.errors import EdgeError
from haagent.netlink import Netlink
from haagent.probes.command import CommandProbe
from haagent.probes.http import HttpProbe
from haagent.probes.resource import ProbedResource, ProbeResource
from haagent.probes.tcp import TcpProbe
from haagent.resources import Condition, Times
from haagent.resources.build import Parts, Surroundings, build, make_probe, reconfigure
from haagent.resources.command import CommandResource, Commands
from haagent.resources.health import Policy
from haagent.resources.ocf import OcfResource
from haagent.resources.ocf_settings import OcfSettings
from haagent.resources.pid1 import Systemd
from haagent.resources.systemd import SystemdResource
from haagent.resources.vip import VipResource
from haagent.vip import Vip
from haagent.vip.frames import FrameShelf
from haagent.vip.holder import VipHolder

VIP = Vip(ip_interface("192.0.2.10/24"), "eth0")
TIMES = Times(1.0, 2.0, 3.0, 4.0)
TRUE = ("/bin/true",)
UNIT = SystemdSettings("web", "nginx.service", TIMES)
OCF = OcfSettings("disk", "g", "alpha", "ocf:heartbeat:Dummy", interval_s=7.0)
COMMAND = CommandSettings("app", Commands(TRUE, TRUE, monitor=TRUE), TIMES)
VIPS = VipSettings("vip", (VIP,))
TARGET = TcpTarget(ip_address("192.0.2.10"), 80)


def made(*resources: ResourceSettings, probe: ProbeSettings | None = None) -> Parts:
    """A group's parts; nothing that they are made with is opened."""
    netlink = Netlink()
    holder = VipHolder(netlink, FrameShelf(netlink, (VIP,)), lambda _vip, _reason: None)
    plan = GroupPlan("g", resources, Policy(), probe)
    surroundings = Surroundings(holder, Systemd())
    return build(plan, surroundings, on_times=lambda _times: None, look=signs.append)


signs: list[str] = []
"""Resources that gave a sign of their change."""


def test_every_kind_in_its_order() -> None:
    """Each settings becomes its resource, with its name and its times."""
    parts = made(OCF, UNIT, COMMAND, VIPS)
    kinds = (OcfResource, SystemdResource, CommandResource, VipResource)
    assert tuple(type(one) for one in parts.resources) == kinds
    assert [one.name for one in parts.resources] == ["disk", "web", "app", "vip"]
    assert [one.times.interval_s for one in parts.resources] == [7.0, 4.0, 4.0, 10.0]
    assert parts.ocf == (parts.resources[0],)
    assert parts.probe is None


def test_a_unit_gives_signs() -> None:
    """What systemd tells of a unit reaches the group that watches it, by the resource's name."""
    unit = made(UNIT).resources[0]
    assert isinstance(unit, SystemdResource)
    assert unit.on_change is not None
    unit.on_change("web")
    assert signs == ["web"]


@pytest.mark.parametrize("settings", [UNIT, OCF, COMMAND], ids=lambda one: one.name)
def test_the_probe_joins_what_it_is_about(settings: ResourceSettings) -> None:
    """It is asked in that resource's monitor, as often as it wants; the others stay as they are."""
    other = replace(COMMAND, name="other")
    probe = ProbeSettings(TARGET, 1.0, settings.name, interval_s=2.5)
    probed, plain, vip = made(settings, other, VIPS, probe=probe).resources
    assert isinstance(probed, ProbedResource)
    assert (probed.name, probed.times.interval_s) == (settings.name, 2.5)
    assert isinstance(plain, CommandResource)
    assert isinstance(vip, VipResource)


def test_a_probed_unit_still_gives_signs() -> None:
    """The probe around it takes nothing away."""
    signs.clear()
    parts = made(UNIT, probe=ProbeSettings(TARGET, 1.0, "web"))
    probed = parts.resources[0]
    assert isinstance(probed, ProbedResource)
    assert isinstance(probed.resource, SystemdResource)
    assert probed.resource.on_change is not None
    assert parts.resources[0].times == TIMES


def test_a_probe_of_addresses_stands_alone() -> None:
    """It comes last, reads STOPPED until the group is started, and asks from then on."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        target = TcpTarget(ip_address("127.0.0.1"), server.getsockname()[1])
        parts = made(VIPS, probe=ProbeSettings(target, 5.0))
        alone = parts.resources[-1]
        assert isinstance(alone, ProbeResource)
        assert (alone.name, alone.times.interval_s) == ("probe", 10.0)
        assert asyncio.run(alone.monitor()).condition is Condition.STOPPED
        asyncio.run(alone.start())
        assert asyncio.run(alone.monitor()).condition is Condition.ACTIVE
    # It answered before, so there is no patience now.
    assert asyncio.run(alone.monitor()).condition is Condition.FAILED


def test_who_reports_the_position(tmp_path: Path) -> None:
    """The operator's command goes before a promotion score; without either nobody knows."""
    program = tmp_path / "position"
    program.write_text("#!/bin/sh\necho 42\n")
    program.chmod(0o755)
    promotable = replace(OCF, promotable=True)
    commands = Commands(TRUE, TRUE, position=(str(program),))
    reporting = CommandSettings("data", commands, TIMES)
    both = made(promotable, reporting)
    assert both.reporter is both.resources[1]
    assert asyncio.run(both.position()) == 42
    assert made(promotable).reporter is not None
    nobody = made(OCF, COMMAND)
    assert nobody.reporter is None
    assert asyncio.run(nobody.position()) is None


def test_probes_of_every_kind() -> None:
    """Each target becomes its probe, with the limit of the settings or of who asks."""
    tcp = make_probe("g", ProbeSettings(TARGET, 1.5))
    assert tcp == TcpProbe(TARGET.address, 80, 1.5)
    assert make_probe("g", ProbeSettings(TARGET, 1.5), 0.3) == TcpProbe(TARGET.address, 80, 0.3)
    command = make_probe("g", ProbeSettings(CommandTarget(TRUE), 5.0))
    assert isinstance(command, CommandProbe)
    assert asyncio.run(command.answers()).ok


def test_an_http_probe_has_everything() -> None:
    """Nothing of what the operator wrote is lost, and https is verified."""
    target = HttpTarget(
        TARGET.address,
        443,
        "/a?b",
        tls=True,
        host="h",
        server_name="s",
        statuses=frozenset({404}),
        body=b"ok",
        pattern="x",
    )
    probe = make_probe("g", ProbeSettings(target, 1.0))
    assert isinstance(probe, HttpProbe)
    assert (probe.path, probe.host, probe.server_name) == ("/a?b", "h", "s")
    assert (probe.statuses, probe.text, probe.pattern) == ({404}, b"ok", "x")
    assert probe.tls is not None
    assert probe.tls.verify_mode is ssl.CERT_REQUIRED
    assert probe.tls.check_hostname
    plain = make_probe("g", ProbeSettings(replace(target, tls=False, statuses=None), 1.0))
    assert isinstance(plain, HttpProbe)
    assert plain.tls is None
    assert 204 in plain.statuses
    assert 404 not in plain.statuses


def test_a_missing_authority_is_told_at_once(tmp_path: Path) -> None:
    """The agent does not come up with a probe that can never succeed."""
    target = HttpTarget(TARGET.address, 443, "/", tls=True, ca_file=tmp_path / "none.pem")
    with pytest.raises(EdgeError, match=r"none\.pem"):
        made(VIPS, probe=ProbeSettings(target, 1.0))


def test_reconfigured_in_place() -> None:
    """The same objects go by other times and another probe; what a resource is stays."""
    asked = ProbeSettings(TARGET, 1.0, about="web", interval_s=3.0)
    parts = made(OCF, UNIT, COMMAND, VIPS, probe=asked)
    later = replace(TIMES, stop_s=9.0)
    plan = GroupPlan(
        "g",
        (
            replace(OCF, interval_s=2.0, limits_s={"stop": 8.0}),
            replace(UNIT, times=later),
            replace(COMMAND, times=later),
            VIPS,
        ),
        Policy(),
        replace(asked, interval_s=5.0),
    )
    probe = make_probe("g", replace(asked, timeout_s=4.0))
    reconfigure(parts, plan, probe)
    assert [one.times.interval_s for one in parts.resources] == [2.0, 5.0, 4.0, 10.0]
    assert [one.times.stop_s for one in parts.resources[1:3]] == [9.0, 9.0]
    probed = parts.resources[1]
    assert isinstance(probed, ProbedResource)
    assert probed._judge.probe is probe


def test_a_probe_that_stands_alone_is_reconfigured() -> None:
    """Its own interval and limit are the probe's."""
    asked = ProbeSettings(TARGET, 1.0)
    parts = made(VIPS, probe=asked)
    changed = replace(asked, timeout_s=2.0, interval_s=6.0)
    reconfigure(parts, GroupPlan("g", (VIPS,), Policy(), changed), make_probe("g", changed))
    assert parts.resources[-1].times.interval_s == 6.0
    assert parts.resources[-1].times.monitor_s == 2.0
