# SPDX-License-Identifier: GPL-2.0-or-later
"""What the agents on the two servers are told: one file, as an operator would write it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from haagent.config.load import load
from hil.network import HEARTBEAT_PORT, REFERENCE, VIP
from hil.node_init import SERVICE_PORT
from hil.pair import BMC_PORT, BMC_USER, NODES, PASSWORD, bmc_address, ports
from hil.pdu.makes import MAKES, Make
from hil.qemu.furniture import CONFIGURATION, SERVICE_UNIT
from hil.qemu.redfish import PORT as REDFISH_PORT
from hil.qemu.supplies import APC, OUTLETS

AUTHORITY = "/etc/haagent/bmc-ca.pem"
"""Of the BMCs' web sides, on either server."""
PDU_LINE = "/dev/ttyS2"
"""Of the peer's PDU, on either server."""

BMC_DEADLINE = "30s"
"""Of an order; an emulated processor may need half of it to load the worker first."""
TIMING = {
    "interval": "200ms",
    "suspect_after": "1s",
    "dead_after": "3s",
    "hedge_after": "10s",
    "max_fences": 100,
}
"""An emulated processor that shares real ones with others is late by a second now and then."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a pair departs from the usual one of this bench."""

    timing: dict[str, str | int] = field(default_factory=dict)
    """Keys of [timing]."""
    probe: bool = False
    """Both nodes ask the service whether it serves."""
    redfish: bool = False
    """The BMCs are spoken to by Redfish in place of IPMI."""
    pdu: str = APC
    """Make of the PDUs."""
    interfaces: dict[str, str] = field(default_factory=dict)
    """What the heartbeats go through in place of a card, such as a bond."""
    extra: str = ""
    """Further tables, as in the file."""
    off_settle: str = "0s"
    """Of the BMCs: emulated ones that say off do not need any."""
    check_every: str = "5s"
    """Time between two looks at a BMC."""
    reference_failures: int = 3
    """Rounds of 2 s without an answer until a server knows that it is out of its clients' reach."""


def files(settings: Settings) -> dict[str, str]:
    """Every file of the pair's configuration, by its absolute path; the same on both nodes.

    Raises:
        ConfigurationError: An agent would refuse it.
    """
    directory = CONFIGURATION.rpartition("/")[0]
    result = {CONFIGURATION: _text(settings), f"{directory}/key.1": secrets.token_hex(32) + "\n"}
    for node in NODES:
        for device in ("bmc", "pdu"):
            result[f"{directory}/{node}-{device}.password"] = PASSWORD + "\n"
    _check(result)
    return result


def _check(written: dict[str, str]) -> None:
    """Refused here and now, not by an agent that takes half a minute to be loaded."""
    with TemporaryDirectory() as directory:
        places = {path: Path(directory, Path(path).name) for path in written}
        for path, place in places.items():
            place.write_text(written[path])
            place.chmod(0o600)
        for node in NODES:
            load(places[CONFIGURATION], node)


def _text(settings: Settings) -> str:
    timing = "\n".join(
        f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}"
        for key, value in {**TIMING, **settings.timing}.items()
    )
    network = f'references = ["{REFERENCE}"]\nreference_failures = {settings.reference_failures}'
    tables = [
        'cluster = "bench"',
        '[key]\nsend = 1\nfiles = { 1 = "key.1" }',
        f"[timing]\n{timing}",
        f"[network]\n{network}",
        *(f'[[node]]\nname = "{node}"' for node in NODES),
        _link("lan", 'kind = "switched"\ngroup = "239.192.72.1"', 0, settings),
        _link("ring", 'kind = "direct"\ntransport = "unicast"', 1, settings),
        *(_bmc(node, settings) for node in NODES),
        *(_pdu(node, MAKES[settings.pdu]) for node in NODES),
        f'[[group]]\nname = "web"\npreferred = "{NODES[0]}"',
    ]
    if settings.probe:
        tables[-1] += f'\nprobe = {{ tcp = "{VIP}:{SERVICE_PORT}" }}'
    tables += [
        f'[[group.resource]]\nkind = "systemd"\nunit = "{SERVICE_UNIT}"\nstop_timeout = "15s"',
        f'[[group.vip]]\naddress = "{VIP}/24"',
        settings.extra,
    ]
    return "\n\n".join(tables) + "\n"


def _link(name: str, kind: str, port: int, settings: Settings) -> str:
    lines = [f'[[link]]\nname = "{name}"\n{kind}\nport = {HEARTBEAT_PORT}']
    for node in NODES:
        card, address = ports(node)[port].interface, ports(node)[port].addresses[0]
        interface, own = settings.interfaces.get(card, card), address.partition("/")[0]
        lines.append(f'{node} = {{ interface = "{interface}", address = "{own}" }}')
    return "\n".join(lines)


def _bmc(node: str, settings: Settings) -> str:
    driver, options = "ipmi", f"port = {BMC_PORT}"
    if settings.redfish:
        driver = "redfish"
        options = f'port = {REDFISH_PORT}, ca_file = "{AUTHORITY}"'
    return f"""\
[[fence]]
name = "{node}-bmc"
node = "{node}"
driver = "{driver}"
address = "{bmc_address(node)}"
user = "{BMC_USER}"
password_file = "{node}-bmc.password"
off_settle = "{settings.off_settle}"
deadline = "{BMC_DEADLINE}"
check_every = "{settings.check_every}"
options = {{ {options} }}"""


def _pdu(node: str, make: Make) -> str:
    account = f'user = "{make.user}"\n' if make.user else ""
    return f"""\
[[fence]]
name = "{node}-pdu"
node = "{node}"
driver = "pdu"
level = 2
address = "{PDU_LINE}"
{account}password_file = "{node}-pdu.password"
off_settle = "0s"
deadline = "30s"
check_every = "10s"
options = {{ dialect = "{make.dialect}", outlets = {list(OUTLETS)} }}"""
