# SPDX-License-Identifier: GPL-2.0-or-later
"""The metadata of every agent that Debian has, and values as the agents' own parser reads them."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

import pytest
from agent_bench import settings

from fencing import NotSentError
from fencing.drivers.agent import NOT_POWER, AgentDevice
from fencing.drivers.contained import run
from fencing.drivers.metadata import Metadata, missing, read, unwritable, written
from fencing.findings import Trouble

FABRIC = {
    *("fence_brocade", "fence_cisco_mds", "fence_compute", "fence_ifmib"),
    *("fence_mpath", "fence_sanbox2", "fence_scsi"),
}
"""Agents that let a machine run: by their descriptions in fence-agents 4.12.1."""
NO_STATUS = {"fence_heuristics_ping", "fence_kdump", "fence_ovh", "fence_rcd_serial"}
WITHOUT = {"fence_ack_manual", "fence_legacy", "fence_watchdog"}
"""No agents like others: a person's word, another interface, a mark for a watchdog."""
LIMIT_S = 20.0

AGENTS = sorted(path.name for path in Path("/usr/sbin").glob("fence_*"))
POWER = [name for name in AGENTS if name not in FABRIC | NO_STATUS | WITHOUT | set(NOT_POWER)]

# fence-agents' own parser, for which its library's names must be free of ours.
_PARSER = """
import io, json, sys
sys.path.insert(0, "/usr/share/fence")
import fencing
for line in sys.stdin.readlines():
    sys.stdin = io.StringIO("action=off\\nport=" + json.loads(line) + "\\n")
    print(json.dumps(fencing._parse_input_stdin(["action", "port"]).get("--plug")))
"""


def _metadata(name: str) -> Metadata:
    return read(run(Path("/usr/sbin") / name, b"action=metadata\n", LIMIT_S).output)


def test_there_are_agents() -> None:
    """The package that the tests below need is installed: packaging/prepare does it."""
    assert {"fence_ipmilan", "fence_redfish", "fence_dummy", "fence_scsi"} <= set(POWER) | FABRIC
    assert len(POWER) > 50


@pytest.mark.parametrize("name", POWER)
def test_power_agents(name: str) -> None:
    """Every agent that switches power can be read, and is one that can give a proof."""
    metadata = _metadata(name)
    assert not metadata.fabric
    assert {"off", "on", "status"} <= metadata.actions
    assert metadata.first("plug", "port", "ip", "ipaddr", "status_file") is not None or name in {
        "fence_aliyun",
        "fence_vbox",
    }


@pytest.mark.parametrize("name", sorted(FABRIC | NO_STATUS | set(NOT_POWER)))
def test_unverifiable_agents(name: str) -> None:
    """Every agent that cannot prove the power off is refused as that, whatever its options."""
    with pytest.raises(NotSentError) as refused:
        AgentDevice(settings(name)).off()
    assert refused.value.trouble is Trouble.UNVERIFIABLE


@pytest.mark.parametrize("name", sorted(FABRIC))
def test_fabric(name: str) -> None:
    """What makes an agent one that cuts storage or network can be seen in its metadata."""
    assert _metadata(name).fabric


def test_scsi() -> None:
    """The parameters of fence_scsi are checked like any other's."""
    metadata = _metadata("fence_scsi")
    assert metadata.fabric
    given, problems = written(
        metadata, {"devices": "/dev/sda", "aptpl": True, "suppress-errors": 0}
    )
    assert given == {"devices": "/dev/sda", "aptpl": "1", "suppress_errors": "0"}
    assert problems == []
    assert missing(metadata, given) == ["plug is required"]
    _, problems = written(metadata, {"aptpl": "perhaps", "device": "/dev/sda"})
    assert problems == [
        "aptpl must be true or false",
        "device is unknown; did you mean devices?",
    ]


def test_ipmilan() -> None:
    """A select's choices are known, and compared as the agent does: without regard to case."""
    metadata = _metadata("fence_ipmilan")
    assert metadata.parameters["privlvl"].choices[-1] == "administrator"
    assert written(metadata, {"privlvl": "Operator"}) == ({"privlvl": "Operator"}, [])
    assert written(metadata, {"privlvl": "root"})[1] == [
        "privlvl must be one of: callback, user, operator, administrator"
    ]
    assert metadata.parameters["username"].obsoletes == "login"


def test_required_by_either_name() -> None:
    """fence_apc needs a plug, by its present name or by that of before."""
    metadata = _metadata("fence_apc")
    assert "plug is required" in missing(metadata, {"ip", "username"})
    assert missing(metadata, {"ip", "username", "port"}) == []
    assert missing(metadata, {"ipaddr", "login", "plug"}) == []


def test_values_arrive() -> None:
    """A value that is not refused reaches fence-agents' own parser exactly as it is."""
    chance = random.Random(7)  # noqa: S311  # the same values every time
    alphabet = "\"'# =\\\t\u00a0\u2028\u0085\x1f\x0b\r\n-_ab1ä"
    values = ["".join(chance.choices(alphabet, k=chance.randint(1, 6))) for _ in range(4000)]
    accepted = [value for value in values if not unwritable(value)]
    assert len(accepted) > 500
    parsed = _parsed(accepted)
    assert [(value, got) for value, got in zip(accepted, parsed, strict=True) if value != got] == []


def test_values_that_do_not_arrive() -> None:
    """What is refused is refused because the agents' own parser would change it."""
    values = ['"quoted"', "blank ", "\ttab\u00a0"]
    assert all(unwritable(value) for value in values)
    assert all(value != got for value, got in zip(values, _parsed(values), strict=True))


def _parsed(values: list[str]) -> list[str]:
    text = "".join(f"{json.dumps(value)}\n" for value in values)
    done = subprocess.run(
        ["/usr/bin/python3", "-c", _PARSER],
        input=text,
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
        env={"LANG": "C"},
        timeout=LIMIT_S,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]
