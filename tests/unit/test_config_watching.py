# SPDX-License-Identifier: GPL-2.0-or-later
"""[metrics] and [[alert]]: from the file to the settings, or refused."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest
from config_bench import Site, example

from haagent.alerts import Receiver, Severity, Webhook
from haagent.metrics import LOCALHOST, MetricsSettings

GIVEN = 'port = 7073\naddress = "127.0.0.1"\n'


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Keys and passwords in place."""
    return Site(tmp_path)


def test_off_by_default(site: Site) -> None:
    """Without [metrics] nothing is served or written, and a port alone is on localhost only."""
    head, _, tail = example().partition("[metrics]")
    without = head + tail[tail.index("[[node]]") :]
    assert site.load(without).metrics == MetricsSettings()
    assert site.load(without + "\n[metrics]\nport = 7073\n").metrics.address == LOCALHOST


def test_metrics(site: Site) -> None:
    """Everything that is written is in force, and it is not in the hash."""
    plain = site.changed()
    assert plain.metrics == MetricsSettings(
        7073, LOCALHOST, Path("/var/lib/prometheus/node-exporter/haagent.prom"), 15.0
    )
    other = site.changed(
        (GIVEN, 'port = 9100\naddress = "::"\n'), ('textfile_every = "15s"', "# none")
    )
    assert (other.metrics.port, other.metrics.address) == (9100, ip_address("::"))
    assert other.pair.configuration_hash == plain.pair.configuration_hash


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ((GIVEN, 'address = "0.0.0.0"\n'), "metrics.address: 0.0.0.0: without effect; a port"),
        (('address = "127.0.0.1"', 'address = "alpha"'), 'metrics.address: "alpha": not an IP'),
        (("haagent.prom", "haagent.txt"), 'does not end in ".prom"'),
        (("port = 7073", "port = 0"), "metrics.port: 0: "),
        (('"15s"', '"0s"'), "out of range"),
    ],
)
def test_refused(site: Site, change: tuple[str, str], refusal: str) -> None:
    """What cannot be meant is refused with its key."""
    (line,) = site.refusal(change)
    assert refusal in line


ALERTS = """
[[alert]]
name = "chat"
url_file = "chat.url"
authorization_file = "chat.token"
severity = "critical"
after = "1m"

[[alert]]
name = "mail"
command = ["/usr/local/sbin/mail-alert", "-v"]
"""


def with_alerts(site: Site, url: str = "https://chat.example.org/x") -> str:
    """The example with two receivers, and the secrets of one."""
    for name, text in (("chat.url", url), ("chat.token", "Bearer secret")):
        path = site.folder / name
        path.touch(mode=0o600)
        path.write_text(text + "\n")
    return example() + ALERTS


def test_alerts(site: Site) -> None:
    """What is written is in force; secrets stay in their files; it is not in the hash."""
    plain = site.changed()
    assert plain.alerts == ()
    configuration = site.load(with_alerts(site))
    chat, mail = configuration.alerts
    webhook = Webhook(
        url_file="chat.url", authorization_file="chat.token", folder=site.folder.absolute()
    )
    assert chat == Receiver("chat", webhook, Severity.CRITICAL, 60.0, 30.0)
    assert mail == Receiver("mail", ("/usr/local/sbin/mail-alert", "-v"))
    assert "secret" not in repr(configuration)
    assert configuration.pair.configuration_hash == plain.pair.configuration_hash


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (('url_file = "chat.url"\n', ""), "one of command, url and url_file is needed; found none"),
        (('"chat.token"', '"no.token"'), "authorization_file: "),
        (('name = "mail"', 'name = "Chat"'), "a second alert of this name"),
        (('name = "mail"', 'name = "mail"\nca_file = "/x.pem"'), "without effect beside a command"),
        (('name = "mail"', 'name = "mail"\nurl = "https://a.example/"'), "found command and url"),
        (('url_file = "chat.url"', 'url = "http://a.example/"'), "would go unprotected"),
        (('url_file = "chat.url"', 'url = "https://u:p@a.example/"'), "has a user in it"),
        (('url_file = "chat.url"', 'url = "ftp://a.example/"'), "not a URL of https"),
        (('severity = "critical"', 'severity = "loud"'), "alert.chat.severity"),
        (('after = "1m"', 'ca_file = "/nowhere/ca.pem"'), "/nowhere/ca.pem: No such file"),
    ],
)
def test_refused_alerts(site: Site, change: tuple[str, str], refusal: str) -> None:
    """What cannot be meant, or would leak, is refused with its key."""
    lines = site.refusal(change, text=with_alerts(site))
    assert any(refusal in line for line in lines), lines


@pytest.mark.parametrize("url", ["http://a.example/s3cret", "s3cret", "https://a.example/\u00e9"])
def test_a_secret_url_is_not_shown(site: Site, url: str) -> None:
    """What is wrong with it is said without it."""
    (line,) = site.refusal(text=with_alerts(site, url))
    assert "what it holds is not of use" in line
    assert "s3cret" not in line
