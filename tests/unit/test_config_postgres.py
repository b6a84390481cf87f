# SPDX-License-Identifier: GPL-2.0-or-later
"""From the file to a server's settings, or refused."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest
from config_bench import Site, with_groups

from haagent.config import ConfigurationError
from haagent.config.group_plans import POSTGRES_MAX_LAG
from haagent.postgres.layout import TIMES, PostgresSettings, debian

ADDRESSES = 'address = { alpha = "198.51.100.11", beta = "198.51.100.12" }'


def resource(*lines: str, name: str = "pg", addresses: str = ADDRESSES) -> str:
    """One server's table."""
    head = ("[[group.resource]]", 'kind = "postgresql"', f'name = "{name}"', addresses)
    given = "\n".join((*head, *lines))
    return given if "version" in given else f"{given}\nversion = 15"


def text(*resources: str, group: str = "") -> str:
    """The example with one group of these."""
    return with_groups("\n".join(('[[group]]\nname = "db"', group, *resources, "")))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Keys and passwords in place."""
    return Site(tmp_path)


def test_the_packages_places_are_known(site: Site) -> None:
    """With a version and the addresses alone, everything is where Debian's packages put it."""
    configuration = site.load(text(resource()), "beta")
    ((settings,),) = (group.resources for group in configuration.groups)
    assert settings == PostgresSettings(
        name="pg",
        node="beta",
        peer="alpha",
        layout=debian(15, "main", Path("/var/run/postgresql")),
        address=ip_address("198.51.100.12"),
        peer_address=ip_address("198.51.100.11"),
        times=TIMES,
    )
    assert settings.layout.start_file == Path("/etc/postgresql/15/main/start.conf")
    assert configuration.pair.groups[0].max_lag == POSTGRES_MAX_LAG


def test_other_places(site: Site) -> None:
    """PGDG's RPM packages have theirs; a path in the file goes before both."""
    lines = ('packaging = "pgdg"', "version = 17", 'log = "/srv/log"')
    ((settings,),) = (
        group.resources for group in site.load(text(resource(*lines), group="max_lag = 7")).groups
    )
    assert isinstance(settings, PostgresSettings)
    assert settings.layout.programs == Path("/usr/pgsql-17/bin")
    assert settings.layout.configuration == Path("/var/lib/pgsql/17/data/postgresql.conf")
    assert settings.layout.log == Path("/srv/log")


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ((resource("version = 12"),), "version"),
        ((resource(addresses='address = { alpha = "198.51.100.11" }'),), "one address for each"),
        (
            (resource(addresses='address = { alpha = "192.0.2.9", beta = "192.0.2.9" }'),),
            "both nodes have the same",
        ),
        ((resource(), resource('cluster = "other"', name="second")), "reports a position already"),
        ((resource('conninfo = "password=x"'),), "put it into passfile"),
        (
            ('[[group.resource]]\nkind = "systemd"\nunit = "a.service"', resource()),
            "put it before a.service",
        ),
    ],
)
def test_what_cannot_work_is_refused(site: Site, tables: tuple[str, ...], said: str) -> None:
    """Each with its key and what would be right."""
    with pytest.raises(ConfigurationError, match=said):
        site.load(text(*tables))


def test_one_server_serves_one_group(site: Site) -> None:
    """Two groups cannot have the same data directory."""
    two = text(resource()) + '[[group]]\nname = "db2"\n' + resource(name="again")
    with pytest.raises(ConfigurationError, match="each server has its own"):
        site.load(two)
