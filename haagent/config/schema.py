# SPDX-License-Identifier: GPL-2.0-or-later
"""Form of the configuration file, table by table; the only module that imports pydantic."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import (
    IPv4Interface,
    IPv6Interface,
    ip_interface,
)
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError
from pydantic_core import ErrorDetails

from fencing.config import duration, forms
from fencing.config.forms import Address
from haagent.config.settings import LogFormat, LogLevel
from haagent.core.settings import Timing

INTERFACE_BYTES_MAX = 15
"""Source: linux/if.h, IFNAMSIZ less the final zero."""
SOCKET_PATH_BYTES_MAX = 100
"""Source: unix(7): 108 bytes with the final zero; the rest is for the name it is made under."""
HEDGE_AFTER_NS = 2 * duration.UNITS_NS["s"]
"""Source: design, section 7."""

Interface = IPv4Interface | IPv6Interface

_INTERFACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@-]*")
_DEFAULT = Timing()


def _interface(value: object) -> str:
    text = forms.text(value)
    if len(text) > INTERFACE_BYTES_MAX or _INTERFACE.fullmatch(text) is None:
        raise ValueError(f'not an interface; such as "eth0", at most {INTERFACE_BYTES_MAX} bytes')
    return text


def _group_address(value: object) -> Address:
    address = forms.any_address(value)
    if not address.is_multicast:
        raise ValueError('not a multicast address; such as "239.192.72.1" or "ff15::7072"')
    return address


def _vip_address(value: object) -> Interface:
    text = forms.text(value)
    if "/" not in text:
        raise ValueError('no prefix length; such as "192.0.2.10/24"')
    try:
        interface = ip_interface(text)
    except ValueError:
        raise ValueError('not an address with prefix; such as "192.0.2.10/24"') from None
    forms.address_of_one(str(interface.ip))
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
    text = forms.text(value)
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError('an IPv6 address without brackets; such as "[2001:db8::10]:80"')
    if not colon or re.fullmatch(r"[0-9]{1,5}", port) is None or not 1 <= int(port) <= 65535:
        raise ValueError('not an address and a port; such as "192.0.2.10:80"')
    return str(forms.address_of_one(host)), int(port)


def _socket_path(value: object) -> str:
    text = forms.absolute_path(value)
    if len(text.encode()) > SOCKET_PATH_BYTES_MAX:
        raise ValueError(f"longer than {SOCKET_PATH_BYTES_MAX} bytes; a socket needs a short path")
    return text


Name = Annotated[str, PlainValidator(forms.name)]
InterfaceName = Annotated[str, PlainValidator(_interface)]
Host = Annotated[Address, PlainValidator(forms.address_of_one)]
Location = Annotated[str, PlainValidator(forms.location)]
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

    interval: Annotated[int, PlainValidator(forms.span("10ms", "10s"))] = _DEFAULT.interval_ns
    suspect_after: Annotated[int, PlainValidator(forms.span("20ms", "5m"))] = (
        _DEFAULT.suspect_after_ns
    )
    dead_after: Annotated[int, PlainValidator(forms.span("30ms", "10m"))] = _DEFAULT.dead_after_ns
    serving_grace: Annotated[int, PlainValidator(forms.span("0s", "1h"))] = (
        _DEFAULT.serving_grace_ns
    )
    fence_delay: Annotated[int, PlainValidator(forms.span("0s", "5m"))] = _DEFAULT.fence_delay_ns
    fence_retry: Annotated[int, PlainValidator(forms.span("100ms", "1h"))] = _DEFAULT.fence_retry_ns
    max_fences: Annotated[int, Field(ge=1, le=100)] = _DEFAULT.max_fences
    fence_window: Annotated[int, PlainValidator(forms.span("1s", "7d"))] = _DEFAULT.fence_window_ns
    lone_start: Literal["wait", "fence"] = "wait"
    lone_start_after: Annotated[int | None, PlainValidator(forms.span("1s", "1d"))] = None
    power_on_retry: Annotated[int, PlainValidator(forms.span("100ms", "1h"))] = (
        _DEFAULT.power_on_retry_ns
    )
    hedge_after: Annotated[int, PlainValidator(forms.span("0s", "5m"))] = HEDGE_AFTER_NS
    stop_budget: Annotated[int, PlainValidator(forms.span("100ms", "1h"))] = _DEFAULT.stop_budget_ns


class AgentTable(Table):
    """Form of [agent]."""

    state_dir: Annotated[str, PlainValidator(forms.absolute_path)] = "/var/lib/haagent"
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
class Mismatch:
    """One value that is not of its form: its path in the table, itself, and what is wanted."""

    path: tuple[int | str, ...]
    value: object
    text: str
    kind: str
    """"missing", "extra_forbidden", or another of pydantic's error types."""


AnyTable = TypeVar("AnyTable", bound=Table)


def read_table(model: type[AnyTable], value: object) -> AnyTable | list[Mismatch]:
    """`value` as a table of this form, or everything that is wrong with it."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        return [_mismatch(detail) for detail in error.errors(include_url=False)]


def _mismatch(detail: ErrorDetails) -> Mismatch:
    own = detail.get("ctx", {}).get("error")
    text = str(own) if own is not None else detail["msg"].replace("Input should be", "must be")
    return Mismatch(detail["loc"], detail["input"], text, detail["type"])
