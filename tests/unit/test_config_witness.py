# SPDX-License-Identifier: GPL-2.0-or-later
"""Witnesses that cannot be meant are refused by name, unwise ones are warned of."""

from __future__ import annotations

from pathlib import Path

import pytest
from config_bench import Site, example, witnesses

from haagent.core.settings import S
from haagent.witness.settings import EtcdSettings, ReferenceSettings

TEXT = example() + witnesses()
FILES = (
    'server_name = "etcd.example.org"\n',
    'ca_file = "/etc/haagent/etcd-ca.pem"\n',
    'cert_file = "/etc/haagent/etcd-client.pem"\n',
    'key_file = "/etc/haagent/etcd-client.key"\n',
)
REFUSALS = [
    ('kind = "etcd"', 'kind = "etc"', "no kind of witness; did you mean etcd?"),
    ('name = "gateway"', 'name = "ETCD"', "a second witness of this name"),
    ('unreachable = "block"', 'unreachable = "retry"', "must be 'block' or 'ignore'"),
    ('timeout = "500ms"\nunre', 'timeout = "2s"\nunre', "witness.etcd.timeout"),
    ('lease = "30s"', 'lease = "20s"', "not above the longest deadline of a [[fence]]"),
    ('lease = "30s"', 'lease = "30500ms"', "a lease has whole seconds"),
    ('prefix = "/haagent"', 'prefix = "haagent/"', "not a prefix of keys"),
    ('"https://192.0.2.52:2379"', '"http://192.0.2.52:2379"', "use one for all"),
    ('"https://192.0.2.52:2379"', '"https://etcd2:2379"', "has no IP address in it"),
    ('"https://192.0.2.52:2379"', '"https://192.0.2.52:2379/v3"', "more than scheme, address"),
    ('address = "192.0.2.1"\n', "", "address: -: is missing"),
    (FILES[2], "", "cert_file: -: is missing; a client's certificate"),
    (FILES[3], "", "key_file: -: is missing; a client's certificate"),
]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """With everything the example needs."""
    return Site(tmp_path)


@pytest.mark.parametrize(("old", "new", "text"), REFUSALS)
def test_refused_by_name(site: Site, old: str, new: str, text: str) -> None:
    """One thing wrong gives one line, which names it."""
    lines = site.refusal((old, new), text=TEXT)
    assert len(lines) == 1, lines
    assert text in lines[0]


def test_what_is_left_out_has_its_default(site: Site) -> None:
    """An etcd of one member without TLS needs two keys, and is warned of."""
    changes = [(line, "") for line in FILES]
    changes.append(
        (
            '["https://192.0.2.51:2379", "https://192.0.2.52:2379", "https://192.0.2.53:2379"]',
            '["http://[2001:db8::51]"]',
        )
    )
    loaded = site.changed(*changes, text=TEXT)
    etcd, _, _, gateway = (plan.target for plan in loaded.witnesses)
    assert isinstance(etcd, EtcdSettings)
    assert [(str(address), port) for address, port in etcd.endpoints] == [("2001:db8::51", 2379)]
    assert not etcd.tls
    assert isinstance(gateway, ReferenceSettings)
    assert [plan.ignored for plan in loaded.witnesses] == [False] * 4
    (warning,) = loaded.warnings
    assert "anybody on the way can forge a consent" in warning


def test_files_are_for_tls_only(site: Site) -> None:
    """A certificate that nobody would ask for was meant for something."""
    lines = site.refusal(
        ("https://192", "http://192"),
        ("https://192", "http://192"),
        ("https://192", "http://192"),
        text=TEXT,
    )
    assert [line.split(":")[0] for line in lines] == [
        f"witness.etcd.{key}" for key in ("server_name", "ca_file", "cert_file", "key_file")
    ]


def test_choosers_that_can_be_outvoted_are_warned_of(site: Site) -> None:
    """Two references of five: both nodes may have a majority."""
    more = '[[witness]]\nkind = "reference"\nname = "other"\naddress = "198.51.100.1"\n'
    (warning,) = site.load(TEXT + more).warnings
    assert "fence_delay alone keeps them apart" in warning


def test_lease_outlasts_every_fence(site: Site) -> None:
    """What is compared is the longest deadline there is."""
    lines = site.refusal(('deadline = "20s"', 'deadline = "40s"'), text=TEXT)
    assert [line.split(":")[0] for line in lines] == [
        f"witness.{name}.lease" for name in ("etcd", "gamma", "delta")
    ]
    assert site.load(TEXT).devices[0][0].deadline_s * S < 30 * S


FENCE = 'fence = true\nunfed_after = "10s"\n'
GUARDED = (
    example()
    .replace('mode = "preferred"', 'mode = "required"')
    .replace('fence = false\nunfed_after = "10s"\n', FENCE)
)
ETCD = witnesses().partition('[[witness]]\nkind = "observer"')[0]


def test_the_watchdog_as_a_fence_arrives(site: Site) -> None:
    """S2 e: on both nodes alike, so the configurations of two nodes differ if only one has it."""
    plain, guarded = site.changed(text=example() + ETCD), site.changed(text=GUARDED + ETCD)
    assert (plain.watchdog.right_ns, guarded.watchdog.right_ns) == (0, 10 * S)
    assert plain.pair.configuration_hash != guarded.pair.configuration_hash
    longer = site.changed((FENCE, FENCE.replace("10s", "20s")), text=GUARDED + ETCD)
    assert longer.watchdog.unfed_after_s == 20
    assert longer.pair.configuration_hash != guarded.pair.configuration_hash


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GUARDED, 'watchdog.fence: "true": needs witnesses of which a majority can never agree'),
        (
            GUARDED + '[[witness]]\nkind = "reference"\nname = "gw"\naddress = "192.0.2.1"\n',
            'watchdog.fence: "true": needs witnesses of which a majority can never agree',
        ),
        (GUARDED.replace('"required"', '"preferred"') + ETCD, 'set mode = "required"'),
        (GUARDED.replace("iTCO_wdt", "Software Watchdog") + ETCD, "dies with the kernel"),
        (GUARDED.replace(FENCE, FENCE.replace("10s", "5500ms")) + ETCD, "whole seconds"),
        (
            (GUARDED.replace(FENCE, FENCE.replace("10s", "5s")) + ETCD).replace(
                'timeout = "500ms"', 'timeout = "900ms"'
            ),
            "less than 3 questions to the witnesses; at least 5700ms",
        ),
    ],
    ids=["no-witness", "no-choice", "preferred", "softdog", "fractions", "too-short"],
)
def test_a_watchdog_that_proves_nothing_is_refused(site: Site, text: str, words: str) -> None:
    """S2 e: where its conditions do not hold, it is no fence, and the line says what to do."""
    lines = site.refusal(text=text)
    assert any(words in line for line in lines), lines
