# SPDX-License-Identifier: GPL-2.0-or-later
"""What the two machines of the bench are, and the configuration that their agents get."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from hil.network import HEARTBEAT_PORT, REFERENCE, VIP, Port
from hil.node_init import SERVICE_PORT
from hil.shared_disk import SharedDisk

NODES = ("alpha", "beta")
PASSWORD = "bench-only"  # noqa: S105  # known to everybody, as the bench is
BMC_USER = "haagent"
BMC_PORT = 623
CONTROL_SOCKET = "/run/haagent/control.sock"


def identity(name: str) -> UUID:
    """The system UUID of a machine, which its BMC tells as well."""
    return UUID(f"b1234567-89ab-4def-a123-4567890000{NODES.index(name) + 1:02x}")


def bmc_address(name: str) -> str:
    """Of the machine's BMC in the management network."""
    return f"203.0.113.{NODES.index(name) + 11}"


def ports(name: str) -> tuple[Port, ...]:
    """The cables of a machine; the hardware addresses outlive its power."""
    number = NODES.index(name) + 1
    mac = f"02:00:00:00:{number:02x}"
    return (
        Port(
            "lan",
            "eth0",
            f"{mac}:01",
            (f"192.0.2.{number + 10}/24", f"2001:db8::{number + 10:x}/64"),
        ),
        Port("ring", "eth1", f"{mac}:02", (f"198.51.100.{number + 10}/24",)),
        Port("mgmt", "eth2", f"{mac}:03", (f"203.0.113.{number + 20}/24",)),
    )


def spare(name: str) -> Port:
    """A second cable into the LAN, unused until a scenario makes a bond of both."""
    return Port("spare", "eth3", f"02:00:00:00:{NODES.index(name) + 1:02x}:04", switch="lan")


CLIENT = (Port("lan", "eth0", "02:00:00:00:0c:01", ("192.0.2.100/24",)),)
OBSERVER = (Port("lan", "eth0", "02:00:00:00:0b:01"),)


@dataclass(frozen=True, slots=True)
class Options:
    """How a pair departs from the bench's usual one."""

    timing: dict[str, str | int] = field(default_factory=dict)
    """Keys of [timing]; what is missing has the agent's default."""
    probe: bool = False
    """The service is probed as a client sees it, so a silent peer that serves gets its grace."""
    wrong_password: str | None = None
    """The node whose BMC is configured with a password it does not know."""
    check_every: str = "2s"
    """Time between two looks at a BMC."""
    deadline: str = "8s"
    """Limit of one fence attempt."""
    unicast: bool = False
    """The LAN link has no multicast group."""
    log_level: str = "info"
    network: str = ""
    """Further lines of [network]."""
    drill: str = ""
    """Lines of [drill]."""
    restarts: bool = False
    """An agent that dies is started again, as systemd would do it."""
    tables: str | None = None
    """Tables in place of the usual group, as in the file; SERVICE stands for the path of the
    program that runs the bench's services (see Services), VOLUME for the one of the shared disk."""
    group: str = "web"
    """The group with the address that the client asks at."""
    shared_disk: bool = False
    """Both machines reach a disk with reservations, and its permission stands beside each BMC (see
    hil.shared_disk)."""
    databases: bool = False
    """Each machine has a PostgreSQL server on its disk (see hil.database)."""
    database_disk_mib: int = 0
    """Size of a disk that the server has for itself; 0: it shares the bench's."""
    watchdog: str = 'mode = "off"'
    """Lines of [watchdog]; these machines have none but that of hil.dog."""
    program: str = "haagent"
    """The module that is the agent."""
    under: tuple[str, ...] = ()
    """What its command line begins with."""
    more: str = ""
    """Tables beside the usual ones, such as [[witness]]."""


_CONFIGURATION = """\
cluster = "bench"

[key]
send = 1
files = {{ 1 = "key.1" }}

[timing]
{timing}

[agent]
state_dir = "/run/disk/haagent"
control_socket = "{control_socket}"
log = "json"
log_level = "{log_level}"

[network]
references = ["{reference}"]
{network}

[watchdog]
{watchdog}

[drill]
{drill}

[[node]]
name = "alpha"
[[node]]
name = "beta"

[[link]]
name = "lan"
kind = "switched"
{transport}
port = {heartbeat_port}
alpha = {{ interface = "eth0", address = "192.0.2.11" }}
beta = {{ interface = "eth0", address = "192.0.2.12" }}

[[link]]
name = "ring"
kind = "direct"
transport = "unicast"
port = {heartbeat_port}
alpha = {{ interface = "eth1", address = "198.51.100.11" }}
beta = {{ interface = "eth1", address = "198.51.100.12" }}
"""

_FENCE = """
[[fence]]
name = "{node}-bmc"
node = "{node}"
driver = "ipmi"
level = 1
address = "{address}"
user = "{user}"
password_file = "{node}-bmc.password"
off_settle = "0s"
deadline = "{deadline}"
check_every = "{check_every}"
options = {{ port = {port} }}
"""

KEYS = {"alpha": "a1", "beta": "b1"}
"""Of the machines, on the shared disk."""
_PERMISSION = """
[[fence]]
name = "{node}-disk"
node = "{node}"
driver = "permission"
level = 1
off_settle = "0s"
deadline = "{deadline}"
check_every = "{check_every}"
options = {{ agent = "fence_scsi", disk = "{disk}", key = "{key}", sg_persist_path = "{program}", \
sg_turs_path = "{turs}" }}
"""

_GROUP = """
[[group]]
name = "web"
preferred = "alpha"
{probe}
[[group.vip]]
address = "{vip}/24"
"""


def write_configuration(
    directory: Path, options: Options, service: Path, disk: SharedDisk | None = None
) -> Path:
    """Write the pair's one configuration with its key and passwords; return the file.

    Args:
        directory: Where to.
        options: How it departs from the usual one.
        service: The program that runs the bench's services.
        disk: What both machines reach, if there is one.
    """
    secret_files = {"key.1": secrets.token_hex(32)}
    for node in NODES:
        wrong = node == options.wrong_password
        secret_files[f"{node}-bmc.password"] = "not-it" if wrong else PASSWORD
    for name, content in secret_files.items():
        path = directory / name
        path.touch(mode=0o600)
        path.write_text(content + "\n")
    timing = [
        f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}"
        for key, value in options.timing.items()
    ]
    text = _CONFIGURATION.format(
        timing="\n".join(timing),
        control_socket=CONTROL_SOCKET,
        transport='transport = "unicast"' if options.unicast else 'group = "239.192.72.1"',
        log_level=options.log_level,
        reference=REFERENCE,
        network=options.network,
        watchdog=options.watchdog,
        drill=options.drill,
        heartbeat_port=HEARTBEAT_PORT,
    )
    for node in NODES:
        text += _FENCE.format(
            node=node,
            address=bmc_address(node),
            user=BMC_USER,
            port=BMC_PORT,
            deadline=options.deadline,
            check_every=options.check_every,
        )
        if disk is not None:
            text += _PERMISSION.format(
                node=node,
                deadline=options.deadline,
                check_every=options.check_every,
                disk=disk.path,
                key=KEYS[node],
                program=disk.program,
                turs=disk.turs,
            )
    if options.tables is None:
        probe = f'probe = {{ tcp = "{VIP}:{SERVICE_PORT}" }}' if options.probe else ""
        text += _GROUP.format(vip=VIP, probe=probe)
    else:
        text += options.tables.replace("SERVICE", str(service))
    if disk is not None:
        text = text.replace("VOLUME", str(disk.volume))
    path = directory / "haagent.toml"
    path.write_text(text + options.more)
    return path
