# SPDX-License-Identifier: GPL-2.0-or-later
"""Groups, resources, probes, references and hooks: from the file to the settings, or refused."""

from __future__ import annotations

from dataclasses import fields
from ipaddress import ip_address, ip_interface
from pathlib import Path

import pytest
from config_bench import Site, everything, example, with_groups

from haagent.config.settings import (
    CommandSettings,
    CommandTarget,
    HttpTarget,
    ProbeSettings,
    SystemdSettings,
    TcpTarget,
    VipSettings,
)
from haagent.core.settings import GroupSettings
from haagent.hooks import Hook, Occasion
from haagent.reach import ReachTimes, Reference
from haagent.resources import Times
from haagent.resources.command import Commands
from haagent.resources.health import Policy
from haagent.resources.ocf_settings import OcfSettings
from haagent.vip import Vip
from haagent.watchdog import WatchdogSettings

APP = "/usr/local/sbin/app"
MINUTE_NS = 60_000_000_000
SLOW_BEATS = 'interval = "2s"\nsuspect_after = "20s"\ndead_after = "40s"'
WATCHDOG = 'mode = "required"\nidentity = "iTCO_wdt"\ntimeout = "30s"'
REFERENCES = 'references = ["192.0.2.1"]\nneighbours = []\n'


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Keys and passwords in place."""
    return Site(tmp_path)


def group(*lines: str, resources: str = "", vip: bool = True) -> str:
    """The example with one group."""
    address = '[[group.vip]]\naddress = "192.0.2.10/24"\n' if vip else ""
    head = "\n".join(("[[group]]", 'name = "web"', *lines))
    return with_groups(f"{head}\n{resources}\n{address}")


def resource(kind: str, *lines: str) -> str:
    """One resource's table."""
    return "\n".join(("[[group.resource]]", f'kind = "{kind}"', *lines, ""))


NGINX = resource("systemd", 'unit = "nginx.service"')
DUMMY = resource("ocf", 'agent = "ocf:heartbeat:Dummy"')
APP_RESOURCE = resource(
    "command", 'name = "app"', f'start = ["{APP}"]', f'stop = ["{APP}"]', f'monitor = ["{APP}"]'
)


def test_every_kind_arrives(site: Site) -> None:
    """The page's group with everything, as the resources and the policy of this node."""
    (plan,) = site.load(everything()).groups
    internal, data, database, app, vip = plan.resources
    assert internal == VipSettings("internal", (Vip(ip_interface("192.0.2.21/24"), "eth0"),))
    assert data == OcfSettings(
        name="data",
        group="shop",
        node="alpha",
        agent="ocf:heartbeat:Filesystem",
        parameters={"device": "/dev/vg/shop", "directory": "/srv/shop", "fstype": "ext4"},
        limits_s={
            "start": 30.0,
            "stop": 30.0,
            "monitor": 10.0,
            "promote": 30.0,
            "demote": 30.0,
            "notify": 10.0,
        },
        interval_s=10.0,
    )
    unit = "postgresql@15-main.service"
    assert database == SystemdSettings(unit, unit, Times())
    words = {key: (APP, word) for key, word in (("start", "start"), ("stop", "stop"))}
    commands = Commands(
        **words,
        monitor=(APP, "status"),
        position=(APP, "position"),
        environment={"APP_MODE": "pair"},
    )
    assert app == CommandSettings("app", commands, Times())
    assert vip == VipSettings("vip", (Vip(ip_interface("192.0.2.20/24"), "eth0"),))
    assert plan.policy == Policy()
    assert plan.failback == 30 * MINUTE_NS


def test_the_probe_arrives(site: Site) -> None:
    """The same group's probe, about the resource that it names."""
    (plan,) = site.load(everything()).groups
    assert plan.probe == ProbeSettings(
        HttpTarget(
            ip_address("192.0.2.20"),
            443,
            "/health",
            tls=True,
            host="shop.example.org",
            server_name="shop.example.org",
            ca_file=Path("/etc/ssl/certs/ca-certificates.crt"),
            statuses=frozenset({200}),
            body=b"ok",
            pattern="^lag: [0-9]+$",
        ),
        timeout_s=1.0,
        about="app",
        interval_s=5.0,
    )


@pytest.mark.parametrize(
    ("probe", "target"),
    [
        ('tcp = "[2001:db8::1]:80"', TcpTarget(ip_address("2001:db8::1"), 80)),
        (
            'http = "http://192.0.2.10:8080/a?b=c"',
            HttpTarget(ip_address("192.0.2.10"), 8080, "/a?b=c", tls=False),
        ),
        (
            'http = "https://[2001:db8::1]"',
            HttpTarget(ip_address("2001:db8::1"), 443, "/", tls=True),
        ),
        (f'command = ["{APP}", "-q"]', CommandTarget((APP, "-q"))),
    ],
)
def test_probe_targets(site: Site, probe: str, target: object) -> None:
    """Each kind of probe, about the last resource that is started, or about none."""
    (plan,) = site.load(group(f"probe = {{ {probe} }}", resources=DUMMY + NGINX)).groups
    assert plan.probe == ProbeSettings(target, 1.0, "nginx.service")  # type: ignore[arg-type]  # any of them
    (plan,) = site.load(group(f"probe = {{ {probe} }}")).groups
    assert plan.probe is not None
    assert plan.probe.about == ""


def test_addresses_alone_are_not_restarted(site: Site) -> None:
    """Nothing but addresses: no restart could cure anything, unless somebody wants it."""
    for text, restarts in (
        (group(), 0),
        (group("restarts = 1"), 1),
        (group(resources=NGINX), 3),
        (group("restarts = 0", resources=NGINX), 0),
    ):
        (plan,) = site.load(text).groups
        assert plan.policy.restarts == restarts


@pytest.mark.parametrize(
    ("failback", "kept", "after_ns"),
    [("never", "never", None), ("manual", "manual", None), ("10m", 10 * MINUTE_NS, 10 * MINUTE_NS)],
)
def test_failback(site: Site, failback: str, kept: str | int, after_ns: int | None) -> None:
    """Only a duration makes the core act by itself; the operator's word is kept for status."""
    configuration = site.load(group(f'failback = "{failback}"'))
    assert configuration.groups[0].failback == kept
    (core,) = configuration.pair.groups
    assert getattr(core, "failback_after_ns", after_ns) == after_ns


def test_the_core_is_told(site: Site) -> None:
    """Lag and moves reach the decisions, as far as these know of them."""
    limits = (f'{action}_timeout = "5s"' for action in ("stop", "monitor", "demote", "notify"))
    agent = 'agent = "ocf:pacemaker:Stateful"'
    promotable = resource("ocf", agent, "promotable = true", *limits)
    lines = ("max_lag = 5", "max_moves = 2", 'move_window = "1m"')
    (core,) = site.load(group(*lines, resources=promotable)).pair.groups
    wanted = {"max_lag": 5, "max_moves": 2, "move_window_ns": MINUTE_NS}
    for field in fields(GroupSettings):
        if field.name in wanted:
            assert getattr(core, field.name) == wanted[field.name]


def test_vips_of_both_forms(site: Site) -> None:
    """All are known to the prober, in the order of their start."""
    among = resource("vip", 'address = "192.0.2.99/24"')
    configuration = site.load(group(resources=among + NGINX))
    assert [str(vip.address.ip) for vip in configuration.vips["web"]] == [
        "192.0.2.99",
        "192.0.2.10",
    ]
    assert [one.name for one in configuration.groups[0].resources] == [
        "192.0.2.99",
        "nginx.service",
        "vip",
    ]
    second = group(resources=resource("vip", 'address = "192.0.2.10/24"'))
    assert any("is group.web.resource.#1.address too" in line for line in site.refusal(text=second))


def test_references_arrive(site: Site) -> None:
    """Neighbours are asked on the interface of the virtual address that is near them."""
    reach = site.changed(
        ("neighbours = []", 'neighbours = ["192.0.2.254"]'),
        ("reference_failures = 3", "reference_failures = 5"),
        ('carrier_hold = "1s"', 'carrier_hold = "2s"'),
    ).reach
    first, second = Reference(ip_address("192.0.2.1")), ip_address("192.0.2.254")
    assert reach.references == (first, Reference(second, "eth0"))
    assert reach.times == ReachTimes(failures=5, carrier_hold_s=2.0)


def test_the_watchdog_arrives(site: Site) -> None:
    """Which one, what happens without it, and its seconds."""
    configuration = site.changed(
        ('mode = "preferred"\nidentity = "iTCO_wdt"\ntimeout = "10s"', WATCHDOG),
    )
    assert configuration.watchdog == WatchdogSettings("required", "iTCO_wdt", 30)


def test_hooks_arrive(site: Site) -> None:
    """Each command with the limit; what is not set is not there."""
    configuration = site.changed(("[hooks]", f'[hooks]\non_alarm = ["{APP}", "x"]'))
    assert configuration.hooks == {Occasion.ALARM: Hook((APP, "x"), 30.0)}


REFUSALS = [
    (group(vip=False), "group.web", "holds nothing"),
    (group("failback = 600"), "group.web.failback", "unit"),
    (group('failback = "soon"'), "group.web.failback", '"never"'),
    (group("max_lag = -1"), "group.web.max_lag", "greater than or equal to 0"),
    (group("max_lag = 5"), "group.web.max_lag", "no resource reports a position"),
    (group("max_moves = 0"), "group.web.max_moves", "greater than or equal to 1"),
    (
        group(
            resources=f'{APP_RESOURCE}position = ["{APP}"]\n'
            + f'{APP_RESOURCE}position = ["{APP}"]\n'.replace('"app"', '"other"')
        ),
        "group.web.resource.other",
        "group.web.resource.app reports a position already",
    ),
    (
        group(resources=f"{DUMMY}promotable = true\n" * 2).replace('"5m"', '"1h"'),
        "group.web.resource.#2",
        "reports a position already",
    ),
    (
        group(resources=f"{NGINX}{DUMMY}promotable = true\n").replace('"20s"', '"1h"'),
        "group.web.resource.#2",
        "put it before nginx.service",
    ),
    (group(resources=resource("nfs")), "group.web.resource.#1.kind", "one of vip, systemd"),
    (group(resources=resource("sistemd")), "group.web.resource.#1.kind", "did you mean systemd?"),
    (group("resource = [3]"), "group.web.resource.#1", "not a table"),
    (group(resources=resource("systemd")), "group.web.resource.#1.unit", "is missing"),
    (
        group(resources=resource("systemd", 'unit = "nginx"')),
        "group.web.resource.#1.unit",
        "suffix",
    ),
    (
        group(resources=resource("systemd", 'unit = "postgresql@.service"')),
        "group.web.resource.#1.unit",
        "suffix",
    ),
    (
        group(resources=resource("systemd", 'name = "n"', 'unti = "nginx.service"')),
        "group.web.resource.n.unti",
        "did you mean unit?",
    ),
    (
        group(resources=resource("ocf", 'agent = "heartbeat:Dummy"')),
        "group.web.resource.#1.agent",
        "ocf:PROVIDER:TYPE",
    ),
    (
        group(resources=resource("ocf", 'agent = "ocf:heartbeat:../Dummy"')),
        "group.web.resource.#1.agent",
        "ocf:PROVIDER:TYPE",
    ),
    (
        group(
            resources=resource(
                "ocf", 'agent = "ocf:heartbeat:pgsql"', "parameters = { pgport = 5 }"
            )
        ),
        "group.web.resource.#1.parameters",
        "pgport is not a text",
    ),
    (
        group(
            resources=resource(
                "ocf", 'agent = "ocf:heartbeat:pgsql"', 'parameters = { "a=b" = "" }'
            )
        ),
        "group.web.resource.#1.parameters",
        "not a name",
    ),
    (
        group(resources=resource("command", 'name = "a"', 'start = "/bin/true"', "stop = []")),
        "group.web.resource.a.start",
        "not a list",
    ),
    (
        group(resources=resource("command", 'name = "a"', 'start = ["true"]', "stop = []")),
        "group.web.resource.a.start",
        "absolute path",
    ),
    (
        group(resources=resource("command", f'start = ["{APP}"]', f'stop = ["{APP}"]')),
        "group.web.resource.#1.name",
        "is missing",
    ),
    (
        group(resources=NGINX.replace("unit", 'interval = "10ms"\nunit')),
        "group.web.resource.#1.interval",
        "below",
    ),
    (
        group(resources=NGINX.replace("unit", 'stop_timeout = "2h"\nunit')),
        "group.web.resource.#1.stop_timeout",
        "out of range",
    ),
    (group(resources=DUMMY + DUMMY), "group.web.resource.#2.name", "second resource"),
    (
        group(resources=NGINX.replace("unit", 'name = "vip"\nunit')),
        "group.web.resource.vip.name",
        "second resource",
    ),
    (
        group(resources=NGINX + NGINX.replace("unit", 'name = "b"\nunit')),
        "group.web.resource.b.unit",
        "one unit serves one group",
    ),
    (
        group(resources=NGINX) + f'[[group]]\nname = "b"\n{NGINX}',
        "group.b.resource.#1.unit",
        "is group.web.resource.#1.unit too",
    ),
    (
        with_groups(
            f'[[group]]\nname = "a.b"\n{DUMMY}name = "c"\n'
            f'[[group]]\nname = "a"\n{DUMMY}name = "b.c"\n'
        ),
        'group.a.resource."b.c".name',
        "read like",
    ),
    (
        group(resources=NGINX.replace("unit", 'stop_timeout = "301s"\nunit')),
        "timing.stop_budget",
        'at least "305s"',
    ),
    (
        # 60 s, and twice a monitor of 20 s, each with 4 s to end it, and 4 s for one before.
        group(resources=DUMMY).replace('stop_budget = "5m"', 'stop_budget = "115s"'),
        "timing.stop_budget",
        'at least "116s"',
    ),
    (
        group(resources=APP_RESOURCE).replace('stop_budget = "5m"', 'stop_budget = "63s"'),
        "timing.stop_budget",
        '4 s to end what hangs; make it at least "64s"',
    ),
    (
        group(f'probe = {{ command = ["{APP}"] }}').replace('"5m"', '"3s"'),
        "timing.stop_budget",
        'at least "4s"',
    ),
    (
        group('probe = { http = "https://192.0.2.10/", server_name = "www..example.org" }'),
        "group.web.probe.server_name",
        "not a name of a server",
    ),
    (group("probe = {}"), "group.web.probe", "one of tcp, http and command"),
    (
        group(f'probe = {{ tcp = "192.0.2.10:80", command = ["{APP}"] }}'),
        "group.web.probe",
        "one of tcp, http and command",
    ),
    (
        group('probe = { http = "http://www.example.org/" }'),
        "group.web.probe.http",
        "no IP address in it",
    ),
    (group('probe = { http = "ftp://192.0.2.10/" }'), "group.web.probe.http", "not a URL"),
    (group('probe = { http = "http://a@192.0.2.10/" }'), "group.web.probe.http", "user"),
    (group('probe = { http = "http://192.0.2.10:x/" }'), "group.web.probe.http", "not a URL"),
    (group('probe = { http = "http://192.0.2.12/" }'), "group.web.probe.http", "own address"),
    (
        group('probe = { http = "http://192.0.2.10/", host = "a:b\\u00e9" }'),
        "group.web.probe.http",
        "not a request",
    ),
    (
        group('probe = { http = "http://192.0.2.10/", ca_file = "/ca.pem" }'),
        "group.web.probe.ca_file",
        "only for a probe of https",
    ),
    (
        group('probe = { tcp = "192.0.2.10:80", body = "ok" }'),
        "group.web.probe.body",
        "only for a probe with http",
    ),
    (
        group('probe = { http = "http://192.0.2.10/", status = [99] }'),
        "group.web.probe.status.#1",
        "greater than or equal to 100",
    ),
    (
        group('probe = { tcp = "192.0.2.10:80", timeout = "6s" }'),
        "group.web.probe.timeout",
        "out of range",
    ),
    (
        group('probe = { tcp = "192.0.2.10:80", interval = "0s" }'),
        "group.web.probe.interval",
        "never asked",
    ),
    (
        group(
            'probe = { tcp = "192.0.2.10:80" }',
            resources=NGINX.replace("unit", 'interval = "0s"\nunit'),
        ),
        "group.web.probe.interval",
        "never looked at",
    ),
    (
        group('probe = { tcp = "192.0.2.10:80", resource = "vip" }', resources=NGINX),
        "group.web.probe.resource",
        "one of nginx.service",
    ),
    (
        example().replace("neighbours = []", 'neighbours = ["203.0.113.99"]'),
        "network.neighbours.#1",
        "it is no neighbour",
    ),
    (
        example().replace("neighbours = []", 'neighbours = ["192.0.2.12"]'),
        "network.neighbours.#1",
        "third party",
    ),
    (example().replace("[hooks]", '[hooks]\non_alarm = ["mail"]'), "hooks.on_alarm", "absolute"),
    (example().replace("[hooks]", "[hooks]\non_alert = []"), "hooks.on_alert", "on_alarm?"),
    (example().replace('mode = "preferred"', 'mode = "soft"'), "watchdog.mode", "preferred"),
    (example().replace('interval = "100ms"', 'interval = "2001ms"'), "timing.interval", "2s"),
    (
        example()
        .replace('interval = "100ms"\nsuspect_after = "400ms"\ndead_after = "1s"', SLOW_BEATS)
        .replace('"iTCO_wdt"\ntimeout = "10s"', '"iTCO_wdt"\ntimeout = "5s"')
        .replace('serving_grace = "10s"', 'serving_grace = "1m"')
        .replace('fence_delay = "3s"', 'fence_delay = "30s"'),
        "watchdog.timeout",
        "less than 3 heartbeats",
    ),
    (
        example().replace('"iTCO_wdt"\ntimeout = "10s"', '"iTCO_wdt"\ntimeout = "5.5s"'),
        "watchdog.timeout",
        "whole seconds",
    ),
]


@pytest.mark.parametrize(
    ("text", "where", "why"), REFUSALS, ids=[f"{row[1]}-{row[2][:20]}" for row in REFUSALS]
)
def test_refused_by_key_and_reason(site: Site, text: str, where: str, why: str) -> None:
    """What is inconsistent or unsafe is refused with its key path and reason, and nothing else."""
    lines = site.refusal(text=text)
    assert any(line.startswith(f"{where}: ") and why in line for line in lines), lines
    assert all("\n" not in line for line in lines)


def test_the_texts_of_the_tests_are_good_otherwise(site: Site) -> None:
    """What the refusals are made of is accepted."""
    for text in (group(), group(resources=NGINX), group(resources=DUMMY + APP_RESOURCE)):
        assert site.load(text).warnings == ()


def test_values_of_parameters_are_not_shown(site: Site) -> None:
    """A password among the parameters stands in no line and no repr."""
    parameters = 'parameters = { password = "sesame", "odd name" = "sesame", count = 5 }'
    odd = group(resources=resource("ocf", 'agent = "ocf:heartbeat:pgsql"', parameters))
    assert "sesame" not in "\n".join(site.refusal(text=odd))
    odd = group(resources=APP_RESOURCE + 'environment = { PASSWORD = "sesame", COUNT = 5 }\n')
    assert "sesame" not in "\n".join(site.refusal(text=odd))
    for wrong in ('parameters = "sesame"', 'parameters = ["sesame"]'):
        odd = group(resources=resource("ocf", 'agent = "ocf:heartbeat:pgsql"', wrong))
        assert "sesame" not in "\n".join(site.refusal(text=odd))
    parameters = 'parameters = { password = "sesame" }'
    good = group(resources=resource("ocf", 'agent = "ocf:heartbeat:pgsql"', parameters))
    assert "sesame" not in repr(site.load(good))
    good = group(resources=APP_RESOURCE + 'environment = { PASSWORD = "sesame" }\n')
    assert "sesame" not in repr(site.load(good))


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (group(resources=NGINX, vip=False), "group.web.vip"),
        (
            group(
                resources=resource(
                    "command", 'name = "a"', f'start = ["{APP}"]', f'stop = ["{APP}"]'
                )
            ),
            "group.web.resource.a.monitor",
        ),
        (group(resources=f'{DUMMY}interval = "0s"\n'), "group.web.resource.#1.interval"),
        (group('probe = { http = "http://192.0.2.77/" }'), "group.web.probe.http"),
    ],
)
def test_accepted_with_a_warning(site: Site, text: str, where: str) -> None:
    """What works, but is unwise, is said."""
    assert [line.split(": ")[1] for line in site.load(text).warnings] == [where]


HASH_SAME = [
    (("[hooks]", f'[hooks]\non_alarm = ["{APP}"]'),),
    (('failback = "never"\n', ""),),
    (("failures = 2\n", ""), ('restart_window = "10m"\n', "")),
    (('restart_window = "10m"', 'restart_window = "600s"'),),
    ((', timeout = "1s" }', " }"),),
    ((REFERENCES, 'references = ["192.0.2.1"]\n'),),
]


@pytest.mark.parametrize("changes", HASH_SAME, ids=lambda changes: changes[0][1][:30])
def test_hash_is_blind_to_defaults_and_hooks(
    site: Site, changes: tuple[tuple[str, str], ...]
) -> None:
    """A key of this release at its default, and every hook, leave the hash as it is."""
    before = site.load(example()).pair.configuration_hash
    assert site.changed(*changes).pair.configuration_hash == before


HASH_CHANGES = [
    ('failback = "30m"', 'failback = "never"'),
    ("max_lag = 1000", "max_lag = 1001"),
    ("restarts = 3", "restarts = 0"),
    ('stop_timeout = "60s"', 'stop_timeout = "59s"'),
    ("/dev/vg/shop", "/dev/vg/other"),
    ('"/usr/local/sbin/app", "stop"', '"/usr/local/sbin/app", "halt"'),
    ('interval = "5s", ', ""),
    ("192.0.2.21/24", "192.0.2.22/24"),
    ('name = "data"', 'name = "date"'),
    ('body = "ok"', 'body = "OK"'),
    ("neighbours = []", 'neighbours = ["192.0.2.254"]'),
]


@pytest.mark.parametrize("change", HASH_CHANGES, ids=lambda change: change[1])
def test_hash_sees_the_groups(site: Site, change: tuple[str, str]) -> None:
    """Nodes that would start, watch or stop a group differently have different hashes."""
    before = site.load(everything()).pair.configuration_hash
    assert site.changed(change, text=everything()).pair.configuration_hash != before


def test_hash_is_blind_to_the_spelling_of_resources(site: Site) -> None:
    """A duration may be written in many ways."""
    before = site.load(everything()).pair.configuration_hash
    change = ('stop_timeout = "60s"', 'stop_timeout = "1m"')
    assert site.changed(change, text=everything()).pair.configuration_hash == before
