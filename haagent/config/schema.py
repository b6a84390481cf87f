# SPDX-License-Identifier: GPL-2.0-or-later
"""Form of the configuration file, table by table; the only module that imports pydantic."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv6Address,
    IPv6Interface,
    ip_address,
    ip_interface,
)
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError
from pydantic_core import ErrorDetails

from haagent import duration
from haagent.config.settings import LogFormat, LogLevel
from haagent.core.settings import Timing

NAME_BYTES_MAX = 32
"""Names travel in frames of at most 1,200 bytes (design, section 4)."""
INTERFACE_BYTES_MAX = 15
"""Source: linux/if.h, IFNAMSIZ less the final zero."""
SOCKET_PATH_BYTES_MAX = 100
"""Source: unix(7): 108 bytes with the final zero; the rest is for the name it is made under."""
INTEGER_MAX = 2**63 - 1

Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_INTERFACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@-]*")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_SECRET_OPTION = re.compile(r"pass|secret|token|^kg$", re.IGNORECASE)

_DEFAULT = Timing()


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("not a text; write it in quotes")  # noqa: TRY004 pydantic wants ValueError
    return value


def _name(value: object) -> str:
    text = _text(value)
    if len(text) > NAME_BYTES_MAX or _NAME.fullmatch(text) is None:
        raise ValueError(
            f"not a name; at most {NAME_BYTES_MAX} ASCII letters, digits, '.', '_', '-'"
        )
    return text


def _interface(value: object) -> str:
    text = _text(value)
    if len(text) > INTERFACE_BYTES_MAX or _INTERFACE.fullmatch(text) is None:
        raise ValueError(f'not an interface; such as "eth0", at most {INTERFACE_BYTES_MAX} bytes')
    return text


def _usable(address: Address) -> None:
    if address.is_unspecified:
        raise ValueError("the unspecified address; write the real one")
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise ValueError("an address with a zone; leave out '%', the interface has its own key")


def _parsed_address(value: object) -> Address:
    try:
        return ip_address(_text(value))
    except ValueError:
        raise ValueError('not an IP address; such as "192.0.2.11" or "2001:db8::11"') from None


def _address(value: object) -> Address:
    address = _parsed_address(value)
    _usable(address)
    if address.is_multicast or address == IPv4Address("255.255.255.255"):
        raise ValueError("a multicast or broadcast address; write the address of one host")
    return address


def _group_address(value: object) -> Address:
    address = _parsed_address(value)
    _usable(address)
    if not address.is_multicast:
        raise ValueError('not a multicast address; such as "239.192.72.1" or "ff15::7072"')
    return address


def _vip_address(value: object) -> Interface:
    text = _text(value)
    if "/" not in text:
        raise ValueError('no prefix length; such as "192.0.2.10/24"')
    try:
        interface = ip_interface(text)
    except ValueError:
        raise ValueError('not an address with prefix; such as "192.0.2.10/24"') from None
    _address(str(interface.ip))
    if interface.ip.is_loopback:
        raise ValueError("a loopback address; no client would reach it")
    network = interface.network
    # /31, /32, /127 and /128 have no network or broadcast address (RFC 3021, RFC 6164).
    if network.num_addresses > 2 and (
        interface.ip == network.network_address
        or (interface.version == 4 and interface.ip == network.broadcast_address)
    ):
        raise ValueError("the network's own or its broadcast address; no host can have it")
    return interface


def _tcp(value: object) -> tuple[str, int]:
    """Host (address without brackets) and port of "192.0.2.10:80" or "[2001:db8::1]:80"."""
    text = _text(value)
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError('an IPv6 address without brackets; such as "[2001:db8::10]:80"')
    if not colon or re.fullmatch(r"[0-9]{1,5}", port) is None or not 1 <= int(port) <= 65535:
        raise ValueError('not an address and a port; such as "192.0.2.10:80"')
    return str(_address(host)), int(port)


def _host(value: object) -> str:
    text = _text(value)
    try:
        return str(_address(text))
    except ValueError:
        if _HOST.fullmatch(text) is None or re.fullmatch(r"[0-9.]+", text):
            raise ValueError('not an address; such as "203.0.113.11"') from None
    return text


def _absolute_path(value: object) -> str:
    text = _text(value)
    if not PurePosixPath(text).is_absolute() or not text.isprintable():
        raise ValueError('not an absolute path; such as "/var/lib/haagent"')
    return text


def _socket_path(value: object) -> str:
    text = _absolute_path(value)
    if len(text.encode()) > SOCKET_PATH_BYTES_MAX:
        raise ValueError(f"longer than {SOCKET_PATH_BYTES_MAX} bytes; a socket needs a short path")
    return text


def _location(value: object) -> str:
    text = _text(value)
    if not text or not text.isprintable():
        raise ValueError('not a path; such as "alpha-bmc.password" or "credential:alpha-bmc"')
    return text


def _user(value: object) -> str:
    text = _text(value)
    if not 1 <= len(text) <= 64 or not text.isascii() or not text.isprintable():
        raise ValueError("not a user name; 1 to 64 printable ASCII characters")
    return text


def _uuid(value: object) -> UUID:
    try:
        return UUID(_text(value))
    except ValueError:
        raise ValueError('not a UUID; such as "b1234567-89ab-cdef-a123-456789abcdef"') from None


def _option(value: object) -> str | int | float | bool:
    match value:
        case str() if len(value) <= 256 and value.isprintable():
            return value
        case bool():
            return value
        case int() if abs(value) <= INTEGER_MAX:
            return value
        case float() if math.isfinite(value):
            return value
    raise ValueError("not an option's value; a short text, a number, true or false")


def _options(value: object) -> dict[str, str | int | float | bool]:
    if not isinstance(value, dict):
        raise ValueError("not a table; such as { port = 623 }")  # noqa: TRY004 pydantic wants ValueError
    for name in value:
        if _SECRET_OPTION.search(name):
            raise ValueError("a secret has no place in the configuration; use password_file")
        if _NAME.fullmatch(name) is None or len(name) > NAME_BYTES_MAX:
            raise ValueError("has an option whose name is not a name")
    return {name: _option(option) for name, option in value.items()}


def _span(lowest: str, highest: str) -> Callable[[object], int]:
    """Reads a duration between two others, both inclusive; nanoseconds."""
    lowest_ns, highest_ns = duration.parse(lowest), duration.parse(highest)

    def read(value: object) -> int:
        if not isinstance(value, str):
            raise ValueError('a duration carries its unit; such as "100ms", "1s" or "30m"')  # noqa: TRY004 pydantic wants ValueError
        value_ns = duration.parse(value)
        if not lowest_ns <= value_ns <= highest_ns:
            raise ValueError(f'out of range; "{lowest}" to "{highest}"')
        return value_ns

    return read


Name = Annotated[str, PlainValidator(_name)]
InterfaceName = Annotated[str, PlainValidator(_interface)]
Host = Annotated[Address, PlainValidator(_address)]
Location = Annotated[str, PlainValidator(_location)]
Port = Annotated[int, Field(ge=1, le=65535)]


class Table(BaseModel):
    """A table of the file: unknown keys are refused, nothing is coerced."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TopTable(Table):
    """The file itself; its tables are read one by one, so that one error does not hide others."""

    cluster: Name
    key: Any
    timing: Any = None
    agent: Any = None
    network: Any = None
    node: Any
    link: Any
    fence: Any
    group: Any


class KeyTable(Table):
    """Form of [key]."""

    send: Annotated[int, Field(ge=0, le=255)]
    files: Annotated[dict[str, Location], Field(min_length=1, max_length=8)]


class TimingTable(Table):
    """Form of [timing]; nanoseconds once read."""

    interval: Annotated[int, PlainValidator(_span("10ms", "10s"))] = _DEFAULT.interval_ns
    suspect_after: Annotated[int, PlainValidator(_span("20ms", "5m"))] = _DEFAULT.suspect_after_ns
    dead_after: Annotated[int, PlainValidator(_span("30ms", "10m"))] = _DEFAULT.dead_after_ns
    serving_grace: Annotated[int, PlainValidator(_span("0s", "1h"))] = _DEFAULT.serving_grace_ns
    fence_delay: Annotated[int, PlainValidator(_span("0s", "5m"))] = _DEFAULT.fence_delay_ns
    fence_retry: Annotated[int, PlainValidator(_span("100ms", "1h"))] = _DEFAULT.fence_retry_ns
    max_fences: Annotated[int, Field(ge=1, le=100)] = _DEFAULT.max_fences
    fence_window: Annotated[int, PlainValidator(_span("1s", "7d"))] = _DEFAULT.fence_window_ns
    lone_start: Literal["wait", "fence"] = "wait"
    lone_start_after: Annotated[int | None, PlainValidator(_span("1s", "1d"))] = None
    power_on_retry: Annotated[int, PlainValidator(_span("100ms", "1h"))] = (
        _DEFAULT.power_on_retry_ns
    )
    stop_budget: Annotated[int, PlainValidator(_span("100ms", "1h"))] = _DEFAULT.stop_budget_ns


class AgentTable(Table):
    """Form of [agent]."""

    state_dir: Annotated[str, PlainValidator(_absolute_path)] = "/var/lib/haagent"
    control_socket: Annotated[str, PlainValidator(_socket_path)] = "/run/haagent/control.sock"
    log: LogFormat = "json"
    log_level: LogLevel = "info"


class NetworkTable(Table):
    """Form of [network]."""

    references: Annotated[list[Host], Field(max_length=8)] = []


class NodeTable(Table):
    """Form of [[node]]."""

    name: Name


class LinkTable(Table):
    """Form of [[link]], without the two tables that carry the nodes' names."""

    name: Name
    kind: Literal["switched", "direct"]
    transport: Literal["multicast", "unicast"] = "multicast"
    group: Annotated[Address | None, PlainValidator(_group_address)] = None
    port: Port = 7072


class LinkEndTable(Table):
    """One node's end of a link, e.g. { interface = "eth0", address = "192.0.2.11" }."""

    interface: InterfaceName
    address: Host


class FenceTable(Table):
    """Form of [[fence]]."""

    name: Name
    node: Name
    driver: Name
    level: Annotated[int, Field(ge=1, le=8)] = 1
    address: Annotated[str, PlainValidator(_host)]
    user: Annotated[str, PlainValidator(_user)]
    password_file: Location
    off_settle: Annotated[int, PlainValidator(_span("0s", "60s"))] = 2 * duration.UNITS_NS["s"]
    deadline: Annotated[int, PlainValidator(_span("1s", "5m"))] = 20 * duration.UNITS_NS["s"]
    check_every: Annotated[int, PlainValidator(_span("1s", "1h"))] = 30 * duration.UNITS_NS["s"]
    identity: Annotated[UUID | None, PlainValidator(_uuid)] = None
    options: Annotated[dict[str, str | int | float | bool], PlainValidator(_options)] = {}


class VipTable(Table):
    """Form of [[group.vip]]."""

    address: Annotated[Interface, PlainValidator(_vip_address)]
    interface: dict[str, InterfaceName] | None = None


class ProbeTable(Table):
    """Form of a probe, e.g. { tcp = "192.0.2.10:80" }."""

    tcp: Annotated[tuple[str, int], PlainValidator(_tcp)]


class GroupTable(Table):
    """Form of [[group]]."""

    name: Name
    preferred: Name | None = None
    probe: ProbeTable | None = None
    vip: Annotated[list[VipTable], Field(max_length=32)] = []


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a table: the path inside it, the value there, and what is wrong."""

    path: tuple[int | str, ...]
    value: object
    text: str
    kind: str
    """"missing", "extra_forbidden", or another of pydantic's error types."""


AnyTable = TypeVar("AnyTable", bound=Table)


def read_table(model: type[AnyTable], value: object) -> AnyTable | list[Problem]:
    """`value` as a table of this form, or everything that is wrong with it."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        return [_problem(detail) for detail in error.errors(include_url=False)]


def _problem(detail: ErrorDetails) -> Problem:
    own = detail.get("ctx", {}).get("error")
    text = str(own) if own is not None else detail["msg"].replace("Input should be", "must be")
    return Problem(detail["loc"], detail["input"], text, detail["type"])
