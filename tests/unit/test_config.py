# SPDX-License-Identifier: GPL-2.0-or-later
"""A configuration file becomes one node's settings, or every reason why not."""

from __future__ import annotations

import socket
from ipaddress import ip_address, ip_interface
from pathlib import Path
from uuid import UUID

import pytest
from config_bench import Site, example

from haagent.config import ConfigurationError, load
from haagent.config.settings import TcpTarget
from haagent.core.settings import GroupSettings, LinkSettings, Timing
from haagent.links import Link
from haagent.reach import Reference
from haagent.vip import Vip


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Keys and passwords in place."""
    return Site(tmp_path)


def test_the_example_as_alpha_sees_it(site: Site) -> None:
    """Every table of the file arrives in the settings, seen from the node that loads it."""
    configuration = site.load(example(), "alpha")
    assert configuration.cluster == "shop"
    assert configuration.node_names == ("alpha", "beta")
    pair = configuration.pair
    assert (pair.me, pair.peer) == (0, 1)
    assert pair.groups == (GroupSettings("web", 0),)
    assert pair.links == (LinkSettings("lan", switched=True), LinkSettings("ring", switched=False))
    assert pair.timing == Timing()
    assert len(pair.configuration_hash) == 16
    first, second = (ip_address(text) for text in ("192.0.2.11", "192.0.2.12"))
    group = ip_address("239.192.72.1")
    assert configuration.links[0] == Link("lan", "eth0", first, second, group, 7072, switched=True)
    assert configuration.links[1].group is None
    assert configuration.keys.send == 1
    assert configuration.keys.secrets == {1: b"\x11" * 32}
    assert configuration.vips == {"web": (Vip(ip_interface("192.0.2.10/24"), "eth0"),)}
    (alpha,), (beta,) = configuration.devices
    assert (alpha.name, alpha.address, alpha.options) == (
        "alpha-bmc",
        "203.0.113.11",
        {"port": 623},
    )
    assert configuration.hedge_after_s == 2.0
    assert (alpha.off_settle_s, alpha.deadline_s, alpha.check_every_s) == (2.0, 20.0, 30.0)
    assert alpha.expect_identity == UUID("b1234567-89ab-cdef-a123-456789abcdef")
    assert beta.password.reveal() == b"beta's secret"
    assert configuration.reach.references == (Reference(ip_address("192.0.2.1")),)
    probe = configuration.groups[0].probe
    assert probe is not None
    assert probe.target == TcpTarget(ip_address("192.0.2.10"), 80)
    assert configuration.state_dir == Path("/var/lib/haagent")
    assert configuration.warnings == ()


def test_the_peer_sees_the_mirror(site: Site) -> None:
    """Both nodes agree on hash and order, and see each other's addresses."""
    alpha, beta = site.load(example(), "alpha"), site.load(example(), "beta")
    assert beta.pair.me == 1
    assert beta.pair.configuration_hash == alpha.pair.configuration_hash
    for mine, theirs in zip(alpha.links, beta.links, strict=True):
        assert (mine.address, mine.peer_address) == (theirs.peer_address, theirs.address)
    assert beta.devices == alpha.devices or beta.devices[0][0].name == "alpha-bmc"


def test_all_optional_tables_may_be_missing(site: Site) -> None:
    """Without [timing], [agent], [network] everything has its documented default."""
    text = example()
    start, end = text.index("[timing]"), text.index("[[node]]")
    configuration = site.load(text[:start] + text[end:])
    assert configuration.pair.timing == Timing()
    assert configuration.control_socket == Path("/run/haagent/control.sock")
    assert "network.references" in configuration.warnings[0]


def test_host_name_decides(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a node the host name tells, with or without its domain; a stranger is refused."""
    monkeypatch.setattr(socket, "gethostname", lambda: "beta.example.org")
    assert site.load(example(), None).pair.me == 1
    monkeypatch.setattr(socket, "gethostname", lambda: "gamma")
    assert "--node alpha or --node beta" in site.refusal(node=None)[0]
    assert site.refusal(node="gamma")[0].startswith('node: "gamma": no node of this pair')


HASH_CHANGES = [
    ('cluster = "shop"', 'cluster = "shed"'),
    ('interval = "100ms"', 'interval = "110ms"'),
    ('references = ["192.0.2.1"]', 'references = ["192.0.2.2"]'),
    ('name = "lan"', 'name = "lan2"'),
    ("port = 7072\nalpha", "port = 7073\nalpha"),
    ('address = "198.51.100.12"', 'address = "198.51.100.13"'),
    ('address = "203.0.113.12"', 'address = "203.0.113.13"'),
    ("options = { port = 623 }", "options = { port = 624 }"),
    ('preferred = "alpha"', 'preferred = "beta"'),
    ('off_settle = "2s"', 'off_settle = "3s"'),
    ('hedge_after = "2s"', 'hedge_after = "3s"'),
    ('192.0.2.10/24"', '192.0.2.9/24"'),
]


@pytest.mark.parametrize("change", HASH_CHANGES, ids=lambda change: change[1])
def test_hash_sees_what_must_be_equal(site: Site, change: tuple[str, str]) -> None:
    """Nodes whose decisions would differ have different hashes."""
    before = site.load(example()).pair.configuration_hash
    assert site.changed(change).pair.configuration_hash != before


RELEASED_HASHES = [
    ((), "b27b7aef96534b6acea38939e53b80d7"),
    (
        (
            ('identity = "b1234567-89ab-cdef-a123-456789abcdef"\n', ""),
            ('off_settle = "2s"', 'off_settle = "3s"'),
            ('address = "203.0.113.12"', 'address = "bmc.example.org"'),
            ("level = 1", "level = 2"),
            ("{ port = 623 }", '{ port = 6230, privilege = "administrator" }'),
        ),
        "8cdc6c9882e1819f617bb46121eca67c",
    ),
]


@pytest.mark.parametrize(("changes", "hexadecimal"), RELEASED_HASHES)
def test_hash_of_a_released_configuration(
    site: Site, changes: tuple[tuple[str, str], ...], hexadecimal: str
) -> None:
    """A pair may be upgraded node by node: a file of an older release keeps its hash."""
    assert site.changed(*changes).pair.configuration_hash.hex() == hexadecimal


HASH_SAME = [
    ('dead_after = "1s"', 'dead_after = "1000ms"'),
    ('dead_after = "1s"\n', ""),
    ('log = "json"', 'log = "console"'),
    ("/var/lib/haagent", "/srv/haagent"),
    ('{ 1 = "key.1" }', '{ 1 = "key.1", 2 = "key.2" }'),
    ('password_file = "alpha-bmc', 'password_file = "./alpha-bmc'),
    ("options = { port = 623 }", 'options = { port = 623 }\nkg_file = "alpha-bmc.password"'),
    ('hedge_after = "2s"', 'hedge_after = "2000ms"'),
]


@pytest.mark.parametrize("change", HASH_SAME, ids=lambda change: change[1])
def test_hash_is_blind_to_the_rest(site: Site, change: tuple[str, str]) -> None:
    """Spelling, keys, passwords and each node's own paths leave the hash as it is."""
    before = site.load(example()).pair.configuration_hash
    assert site.changed(change).pair.configuration_hash == before


REFUSALS = [
    ("timing.dead_after", ('dead_after = "1s"', 'dead_after = "250ms"'), "3 intervals"),
    ("timing.suspect_after", ('suspect_after = "400ms"', 'suspect_after = "1s"'), "dead_after"),
    ("timing.suspect_after", ('suspect_after = "400ms"', 'suspect_after = "150ms"'), "2 intervals"),
    ("timing.fence_delay", ('fence_delay = "3s"', 'fence_delay = "0s"'), "at once"),
    ("timing.fence_window", ('fence_window = "30m"', 'fence_window = "5s"'), "fence_retry"),
    ("timing.interval", ('interval = "100ms"', "interval = 100"), "unit"),
    ("timing.interval", ('interval = "100ms"', 'interval = "100 ms"'), "not a duration"),
    ("timing.interval", ('interval = "100ms"', 'interval = "1ms"'), "out of range"),
    ("timing.hedge_after", ('hedge_after = "2s"', 'hedge_after = "6m"'), "out of range"),
    ("timing.max_fences", ("max_fences = 3", "max_fences = true"), "integer"),
    ("timing.lone_start_after", ('"wait"', '"fence"'), "is missing"),
    ("timing.lone_start_after", ('"wait"', '"wait"\nlone_start_after = "5m"'), "without effect"),
    ("timing.dead_afer", ("dead_after", "dead_afer"), "did you mean dead_after?"),
    ("cluster", ('"shop"', '"schön"'), "not a name"),
    ("cluster", ('cluster = "shop"', ""), "is missing"),
    ("node.#2.name", ('name = "beta"', 'name = "alpha"'), "second node"),
    ("node.kind.name", ('name = "beta"', 'name = "kind"'), "also a key of [[link]]"),
    ("node", ('[[node]]\nname = "beta"', ""), "1 entries; 2 [[node]]"),
    ("link.LAN.name", ('name = "ring"', 'name = "LAN"'), "second link"),
    ("link.lan.group", ('group = "239.192.72.1"\n', ""), "is missing"),
    ("link.lan.group", ("239.192.72.1", "192.0.2.99"), "not a multicast address"),
    ("link.lan.group", ("239.192.72.1", "ff15::1"), "IP version"),
    ("link.ring.group", ('"unicast"', '"unicast"\ngroup = "239.192.72.2"'), "unicast has no group"),
    ("link.lan.prot", ("port = 7072", "prot = 7072"), "did you mean port?"),
    ("link.lan.port", ("port = 7072", "port = 0"), "greater than or equal to 1"),
    ("link.lan.beta", ('beta = { interface = "eth0", address = "192.0.2.12" }', ""), "is missing"),
    (
        "link.ring.alpha.interface",
        ('alpha = { interface = "eth1"', 'alpha = { interface = "eth0"'),
        "carries link lan",
    ),
    ("link.ring.alpha.address", ("198.51.100.11", "192.0.2.11"), "link.lan.alpha.address too"),
    ("link.ring", ("198.51.100.11", "2001:db8::1"), "one end speaks IPv4"),
    ("link.lan.alpha.address", ("192.0.2.11", "fe80::1%eth0"), "zone"),
    ("link.lan.alpha.interface", ("eth0", "an-interface-too-long"), "not an interface"),
    ("network.references.#1", ('["192.0.2.1"]', '["192.0.2.10"]'), "third party"),
    ("fence.alpha-bmc.node", ('node = "alpha"', 'node = "gamma"'), "no node"),
    ("node.beta", ('node = "beta"', 'node = "alpha"'), "no fence device"),
    ("fence.beta-bmc.address", ("203.0.113.12", "203.0.113.11"), "same device"),
    (
        "fence.beta-bmc.driver",
        ('node = "beta"\ndriver = "ipmi"', 'node = "beta"\ndriver = "ipmy"'),
        "no driver",
    ),
    (
        "fence.alpha-bmc.off_settle",
        ('off_settle = "2s"', 'off_settle = "20s"'),
        "not below deadline",
    ),
    ("fence.alpha-bmc.identity", ("b1234567-", "x"), "not a UUID"),
    ("fence.alpha-bmc.options.kg", ("{ port = 623 }", '{ kg = "sesame" }'), "use kg_file"),
    ("fence.alpha-bmc.options.port", ("{ port = 623 }", "{ port = nan }"), "not an integer"),
    ("fence.alpha-bmc.address", ("203.0.113.11", "192.0.2.10"), "virtual address"),
    ("group.web.preferred", ('preferred = "alpha"', 'preferred = "gamma"'), "no node"),
    ("group.web.probe.tcp", ("192.0.2.10:80", "example.org:80"), "not an IP address"),
    ("group.web.probe.tcp", ("192.0.2.10:80", "192.0.2.10:0"), "port"),
    ("group.web.probe.tcp", ("192.0.2.10:80", "192.0.2.11:80"), "own address"),
    ("group.web.vip.#1.address", ("192.0.2.10/24", "192.0.2.10"), "prefix"),
    ("group.web.vip.#1.address", ("192.0.2.10/24", "192.0.2.11/24"), "own address"),
    ("group.web.vip.#1.address", ("192.0.2.10/24", "192.0.2.255/24"), "broadcast"),
    ("group.web.vip.#1.interface.alpha", ("192.0.2.10/24", "192.0.2.130/25"), "outside the subnet"),
    (
        "group.web.vip.#1.interface.alpha",
        ('{ alpha = "eth0", beta', '{ alpha = "eth7", beta'),
        "no link uses it",
    ),
    ("group.web.vip.#1.interface.beta", (', beta = "eth0" }', " }"), "is missing"),
    (
        "group.web.vip.#1.interface.gamma",
        (', beta = "eth0" }', ', beta = "eth0", gamma = "eth0" }'),
        "no node",
    ),
    (
        "group.a-name-of-more-than-thirty-two-bytes.name",
        ('name = "web"', 'name = "a-name-of-more-than-thirty-two-bytes"'),
        "not a name",
    ),
    ("key.send", ("send = 1", "send = 2"), "no such key id"),
    ("key.files.300", ("{ 1 =", "{ 300 ="), "key id"),
    ("key.files.1", ('"key.1"', '"key.9"'), "cannot be read"),
    ("agent.state_dir", ("/var/lib/haagent", "var/lib"), "absolute"),
    ("agent.control_socket", ("/run/haagent/control.sock", "/" + "x" * 100), "short path"),
    ("agent.log", ('"json"', '"xml"'), "'json' or 'console'"),
]


@pytest.mark.parametrize(
    ("where", "change", "why"), REFUSALS, ids=[f"{row[0]}-{row[2][:20]}" for row in REFUSALS]
)
def test_refused_by_key_and_reason(
    site: Site, where: str, change: tuple[str, str], why: str
) -> None:
    """What is inconsistent or unsafe is refused with its key path, value and reason."""
    lines = site.refusal(change)
    assert any(line.startswith(f"{where}: ") and why in line for line in lines), lines
    assert all("\n" not in line for line in lines)


def test_all_errors_at_once(site: Site) -> None:
    """One run names every error: of form, of sense and of files, in every table."""
    (site.folder / "beta-bmc.password").chmod(0o644)
    lines = site.refusal(
        ('dead_after = "1s"', 'dead_after = "50ms"'),
        ("port = 7072", "port = 70720"),
        ('log = "json"', 'log = "xml"'),
        ("192.0.2.10:80", "192.0.2.10"),
        ("level = 1", 'level = 0\npassword = "sesame"'),
        ('"key.1"', '"key.9"'),
    )
    wanted = {
        "timing.dead_after",
        "link.lan.port",
        "agent.log",
        "group.web.probe.tcp",
        "fence.alpha-bmc.level",
        "fence.alpha-bmc.password",
        "fence.beta-bmc.password_file",
        "key.files.1",
    }
    assert wanted <= {line.partition(": ")[0] for line in lines}, lines
    assert "sesame" not in "\n".join(lines)


def test_a_secret_in_place_of_its_file_is_not_shown(site: Site) -> None:
    """No line shows a secret that was written where its path belongs; a real path is shown."""
    word = "hunter2" * 10
    lines = "\n".join(
        site.refusal(
            ('"key.1"', f'"{word}"'),
            ('password_file = "alpha-bmc.password"', f'password_file = "{word}"'),
            ('user = "haagent"', f'user = "{word}"'),
            ("{ port = 623 }", f'{{ privilege = "{word}", retries = "{word}" }}'),
        )
    )
    assert "hunter2" not in lines
    assert lines.count("(not shown)") == 5
    assert "5318008" not in "".join(site.refusal(('"key.1"', "5318008")))
    (site.folder / "beta-bmc.password").chmod(0o644)
    assert '"beta-bmc.password": has mode 0644' in site.refusal()[0]


def test_direct_links_alone_need_references(site: Site) -> None:
    """Own connectivity must be judged by references or a switched link."""
    direct = ('kind = "switched"', 'kind = "direct"')
    lines = site.refusal(direct, ('references = ["192.0.2.1"]', ""))
    assert "judged by references or a switched link" in lines[0]
    assert site.changed(direct).warnings == ()


def test_a_single_link_is_accepted_with_a_warning(site: Site) -> None:
    """One link works, and its owner is told what it means."""
    text = example()
    start, end = text.index('[[link]]\nname = "ring"'), text.index("[[fence]]")
    assert "the only link" in site.load(text[:start] + text[end:]).warnings[0]


def test_vip_finds_its_interface(site: Site) -> None:
    """Without `interface` a VIP goes onto the link whose subnet contains it, or is refused."""
    line = 'interface = { alpha = "eth0", beta = "eth0" }\n'
    other = ('beta = { interface = "eth0"', 'beta = { interface = "eno1"')
    beta = site.changed((line, ""), other, node="beta")
    assert beta.vips["web"][0].interface == "eno1"
    outside = site.refusal((line, ""), ("192.0.2.10/24", "192.0.2.200/28"))
    assert "outside every subnet that alpha has a link in" in outside[0]
    twice = site.refusal(
        (line, ""), ("198.51.100.11", "192.0.2.21"), ("198.51.100.12", "192.0.2.22")
    )
    assert "alpha could hold it on eth0 or eth1" in twice[0]


def test_ipv6_vip_beside_an_ipv4_link(site: Site) -> None:
    """An interface named explicitly carries a VIP of the other IP version."""
    vip = site.changed(("192.0.2.10/24", "2001:db8::10/64")).vips["web"][0]
    assert str(vip.address) == "2001:db8::10/64"


def test_the_same_vip_in_two_groups_is_refused(site: Site) -> None:
    """A virtual address belongs to one group."""
    second = '[[group]]\nname = "db"\n[[group.vip]]\naddress = "192.0.2.10/24"\n'
    lines = site.refusal(("[[group]]", f"{second}[[group]]"))
    assert any("group.db.vip.#1.address too" in line for line in lines), lines


def test_bounds_on_counts(site: Site) -> None:
    """More than 16 groups are refused before anything is made of them."""
    more = "".join(f'[[group]]\nname = "g{number}"\n' for number in range(16))
    assert any("17 entries" in line for line in site.refusal(("[[group]]", f"{more}[[group]]")))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\xff\xfe", "not UTF-8"),
        (b"a = ", "not TOML"),
        (b"a = " + b"[" * 100_000, "nested too deeply"),
        (b"", "is missing"),
        (b"#" * 1_000_001, "larger than"),
        (b'"a\\n\\u001bb" = 1', "unknown key"),
        (b"cluster = 0x" + b"f" * 10_000, "not a text"),
    ],
)
def test_hostile_files_are_refused_in_lines(site: Site, content: bytes, why: str) -> None:
    """Any bytes are refused in printable lines, never by a traceback."""
    site.file.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        load(site.file, "alpha")
    assert any(why in line for line in caught.value.errors), caught.value.errors
    assert all(line.isprintable() for line in caught.value.errors)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    """A path that cannot be read is one line."""
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(ConfigurationError, match="cannot be read"):
            load(path, None)


def test_secrets_are_shown_nowhere(site: Site) -> None:
    """Neither keys nor passwords appear in the settings' repr."""
    text = repr(site.load(example()))
    assert "secret" not in text.replace("Secret(***)", "").lower()
    assert "\\x11" not in text
