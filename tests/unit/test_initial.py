# SPDX-License-Identifier: GPL-2.0-or-later
"""What `haagent init` finds and writes; the walk through it is in tests/net/test_init.py."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_interface
from pathlib import Path

import pytest

from haagent.config import load
from haagent.errors import EdgeError
from haagent.initial.answers import Answers, BmcAnswer, GroupAnswer, LinkAnswer, PduAnswer
from haagent.initial.discovery import _serial_lines
from haagent.initial.writing import occupied, write

SIMPLE = Answers(
    cluster="shop",
    nodes=("alpha", "beta"),
    links=(
        LinkAnswer(
            "lan",
            "switched",
            ("eth0", "eno1"),
            (IPv4Address("192.0.2.11"), IPv4Address("192.0.2.12")),
            multicast=True,
        ),
        LinkAnswer(
            "ring",
            "direct",
            ("eth1", "eth1"),
            (IPv4Address("198.51.100.1"), IPv4Address("198.51.100.2")),
            multicast=False,
        ),
    ),
    references=(IPv4Address("192.0.2.1"),),
    bmcs=(
        BmcAnswer("alpha", "ipmi", IPv4Address("203.0.113.11"), "haagent", "p'4\"ss\\w"),
        BmcAnswer("beta", "redfish", IPv4Address("203.0.113.12"), "haagent", "p2", "ab" * 32),
    ),
    pdus=(),
    group=GroupAnswer("web", (), ip_interface("192.0.2.10/24"), ("eth0", "eno1")),
    watchdog="",
)
FULL = replace(
    SIMPLE,
    pdus=(
        PduAnswer("alpha", "/dev/haagent/pdu-alpha", "apc", (3, 4)),
        PduAnswer("beta", "/dev/haagent/pdu-beta", "wti", (1,)),
    ),
    group=replace(SIMPLE.group, units=("nginx.service", "postgresql@15-main.service")),
    watchdog='A "quoted" watchdog',
)
PDU_ALONE = replace(FULL, bmcs=())
SIX = replace(
    SIMPLE,
    nodes=("alpha.example", "b-2"),
    references=(),
    bmcs=(replace(SIMPLE.bmcs[0], node="alpha.example"), replace(SIMPLE.bmcs[1], node="b-2")),
    links=(
        replace(
            SIMPLE.links[0],
            addresses=(IPv6Address("2001:db8::11"), IPv6Address("2001:db8::12")),
        ),
    ),
    group=replace(SIMPLE.group, vip=ip_interface("2001:db8::10/64")),
)


@pytest.mark.parametrize(
    "answers", [SIMPLE, FULL, PDU_ALONE, SIX], ids=["simple", "full", "pdu", "six"]
)
def test_what_is_written_is_taken(tmp_path: Path, answers: Answers) -> None:
    """Every kind of answer makes a file that both nodes load, and that says what was answered."""
    file = tmp_path / "etc" / "haagent.toml"
    written = write(answers, file)
    assert {path.stat().st_mode & 0o777 for path in written} == {0o600}
    for number, name in enumerate(answers.nodes):
        loaded = load(file, name)
        assert loaded.node_names == answers.nodes
        assert [link.address for link in loaded.links] == [
            link.addresses[number] for link in answers.links
        ]
        assert [link.interface for link in loaded.links] == [
            link.interfaces[number] for link in answers.links
        ]
        (vip,) = loaded.vips[answers.group.name]
        assert (vip.address, vip.interface) == (
            answers.group.vip,
            answers.group.interfaces[number],
        )
        assert len(loaded.groups[0].resources) == len(answers.group.units) + 1
        assert loaded.watchdog.identity == answers.watchdog
        devices = loaded.devices[number]
        passwords = {bmc.node: bmc.password for bmc in answers.bmcs}
        told = [d.password.reveal().decode() for d in devices if d.driver != "pdu"]
        assert told == [password for node, password in passwords.items() if node == name]
        levels = {device.driver: device.level for device in devices}
        assert levels.get("pdu", 1) == (2 if answers.bmcs and answers.pdus else 1)


def test_all_or_nothing(tmp_path: Path) -> None:
    """A file that is in the way is not overwritten, and what was written before it is gone."""
    file = tmp_path / "haagent.toml"
    assert not occupied(file)
    (tmp_path / "beta-bmc.password").write_text("mine")
    with pytest.raises(EdgeError, match="exists"):
        write(SIMPLE, file)
    assert [path.name for path in tmp_path.iterdir()] == ["beta-bmc.password"]
    assert (tmp_path / "beta-bmc.password").read_text() == "mine"
    (tmp_path / "key.1").symlink_to("nowhere")
    assert "key.1" in occupied(file)


def test_serial_lines(tmp_path: Path) -> None:
    """Each line once, by the name that stays longest."""
    for name in ("ttyUSB0", "ttyUSB1", "ttyACM0"):
        (tmp_path / name).write_text("")
    for link, target in {"haagent/pdu-beta": "ttyUSB1", "serial/by-id/usb-a": "ttyUSB1"}.items():
        (tmp_path / link).parent.mkdir(parents=True)
        (tmp_path / link).symlink_to(tmp_path / target)
    lines = [line.removeprefix(f"{tmp_path}/") for line in _serial_lines(tmp_path)]
    assert lines == ["haagent/pdu-beta", "ttyUSB0", "ttyACM0"]
