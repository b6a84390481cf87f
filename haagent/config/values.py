# SPDX-License-Identifier: GPL-2.0-or-later
"""Single values of the configuration: each reader gives the value, or says what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, time
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from fencing.config import duration, forms
from fencing.config.forms import Address
from fencing.config.problems import join
from haagent.drill.due import DAYS, Blackout, Hours
from haagent.drill.kinds import LEVELS, Kind
from haagent.resources.units import UNIT_NAME, UNIT_NAME_CHARACTERS_MAX

INTERFACE_BYTES_MAX = 15
"""Source: linux/if.h, IFNAMSIZ less the final zero."""
SOCKET_PATH_BYTES_MAX = 100
"""Source: unix(7): 108 bytes with the final zero; the rest is for the name it is made under."""
ARGUMENTS_MAX = 64
ENTRIES_MAX = 128
"""Parameters or variables of one resource; the agent with the most of Debian's has 60."""
TEXT_CHARACTERS_MAX = 4096
"""Of one argument, parameter or variable: far below what exec takes (execve(2))."""
DEFAULT_PORTS = {"http": 80, "https": 443}
"""Source: RFC 9110, 4.2."""
CONNINFO_TAKEN = frozenset(
    {"host", "hostaddr", "port", "user", "dbname", "passfile", "application_name", "options"}
)
"""What the agent itself says in every connection to the peer."""
WRITES_EXAMPLE = "user=drill dbname=shop passfile=/etc/haagent/drill.pass"
WRITES_TAKEN = frozenset({"host", "hostaddr", "port", "service", "application_name"})
ENDPOINTS_MAX = 9
"""Source: etcd's FAQ: no more than seven members; and two that take the place of others."""
ETCD_PORT = 2379
NAME_CHARACTERS_MAX = 255
LOCAL_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})
INTERVAL_NS_MIN = duration.UNITS_NS["s"]
"""Programs are started for a look; more often, and they would be the load of the machine."""

Interface = IPv4Interface | IPv6Interface

_INTERFACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@-]*")
_AGENT_PART = r"[A-Za-z0-9][A-Za-z0-9_.+-]*"
_AGENT = re.compile(rf"ocf:{_AGENT_PART}:{_AGENT_PART}")
_KEY_PREFIX = re.compile(r"(/[A-Za-z0-9._-]+)+")
_HOURS = re.compile(
    rf"({'|'.join(DAYS)})(?:-({'|'.join(DAYS)}))? ([0-9]{{2}}:[0-9]{{2}})-([0-9]{{2}}:[0-9]{{2}})"
)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")


class Url(NamedTuple):
    """What is asked for by HTTP."""

    tls: bool
    host: str
    """An address, without brackets."""
    port: int
    target: str
    """Path and query as they stand in the request."""


def interface(value: object) -> str:
    """The name of a network interface."""
    text = forms.text(value)
    if len(text) > INTERFACE_BYTES_MAX or _INTERFACE.fullmatch(text) is None:
        raise ValueError(f'not an interface; such as "eth0", at most {INTERFACE_BYTES_MAX} bytes')
    return text


def group_address(value: object) -> Address:
    """A multicast address."""
    address = forms.any_address(value)
    if not address.is_multicast:
        raise ValueError('not a multicast address; such as "239.192.72.1" or "ff15::7072"')
    return address


def listen_address(value: object) -> Address:
    """An address of this node, or the unspecified one for all that it has."""
    if value in ("0.0.0.0", "::"):  # noqa: S104  # said by the operator
        return ip_address(str(value))
    return forms.address_of_one(value)


def webhook(value: object) -> str:
    """Where a notice is posted: under TLS, or to a relay on this very machine."""
    text = forms.text(value)
    wanted = 'such as "https://alerts.example.org/hook"'
    parts = _http(text, "https", wanted)
    if parts.username is not None:
        raise ValueError("has a user in it; use authorization_file")
    if parts.scheme == "http" and parts.hostname not in LOCAL_HOSTS:
        raise ValueError(f"would go unprotected; https, {wanted}")
    return text


def textfile(value: object) -> str:
    """A file that node_exporter's textfile collector reads."""
    path = forms.absolute_path(value)
    if not path.endswith(".prom"):
        raise ValueError('does not end in ".prom", as the textfile collector wants')
    return path


def vip_address(value: object) -> Interface:
    """A virtual address with the length of its prefix."""
    text = forms.text(value)
    if "/" not in text:
        raise ValueError('no prefix length; such as "192.0.2.10/24"')
    try:
        found = ip_interface(text)
    except ValueError:
        raise ValueError('not an address with prefix; such as "192.0.2.10/24"') from None
    forms.address_of_one(str(found.ip))
    if found.ip.is_loopback:
        raise ValueError("a loopback address; no client would reach it")
    network = found.network
    # /31, /32, /127 and /128 have no network or broadcast address (RFC 3021, RFC 6164).
    if network.num_addresses > 2 and (
        found.ip == network.network_address
        or (found.version == 4 and found.ip == network.broadcast_address)
    ):
        raise ValueError("the network's own or its broadcast address; no host can have it")
    return found


def tcp(value: object) -> tuple[str, int]:
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


def url(value: object) -> Url:
    """What an HTTP probe asks for: an address in the place of the host name."""
    text = forms.text(value)
    wanted = 'such as "http://192.0.2.10/health"'
    parts = _http(text, "http or https", wanted)
    if parts.username is not None:
        raise ValueError(f"has a user in it, which no probe sends; {wanted}")
    try:
        address = str(forms.address_of_one(parts.hostname))
    except ValueError:
        raise ValueError(
            "has no IP address in it; put the address here, and the name into host or server_name"
        ) from None
    tls = parts.scheme == "https"
    return Url(tls, address, parts.port or DEFAULT_PORTS[parts.scheme], _target(parts))


def _http(text: str, schemes: str, wanted: str) -> SplitResult:
    """The parts of a URL that has a host, and no port that is none.

    Args:
        text: The URL.
        schemes: What it may begin with, as the operator is told.
        wanted: An example.
    """
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"not a URL; {wanted}")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(f"not a URL; {wanted}") from None
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or parts.fragment or port == 0:
        raise ValueError(f"not a URL of {schemes}; {wanted}")
    return parts


def endpoints(value: object) -> tuple[Url, ...]:
    """Members of an etcd cluster."""
    wanted = 'such as ["https://192.0.2.51:2379"]'
    if not isinstance(value, list) or not 1 <= len(value) <= ENDPOINTS_MAX:
        raise ValueError(f"not a list of 1 to {ENDPOINTS_MAX} URLs; {wanted}")
    found = []
    for one in value:
        member = url(one)
        if member.target != "/":
            raise ValueError(f"more than scheme, address and port; {wanted}")
        found.append(member._replace(port=urlsplit(one).port or ETCD_PORT))
    return tuple(found)


def key_prefix(value: object) -> str:
    """Where keys begin in etcd."""
    text = forms.text(value)
    if _KEY_PREFIX.fullmatch(text) is None or len(text) > NAME_CHARACTERS_MAX:
        raise ValueError('not a prefix of keys; such as "/haagent", without a slash at the end')
    return text


def _target(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def socket_path(value: object) -> str:
    """Where a socket can be."""
    text = forms.absolute_path(value)
    if len(text.encode()) > SOCKET_PATH_BYTES_MAX:
        raise ValueError(f"longer than {SOCKET_PATH_BYTES_MAX} bytes; a socket needs a short path")
    return text


def unit(value: object) -> str:
    """A unit of systemd, with its suffix."""
    text = forms.text(value)
    if len(text) > UNIT_NAME_CHARACTERS_MAX or UNIT_NAME.fullmatch(text) is None:
        raise ValueError(
            'not a unit with its suffix; such as "nginx.service" or "postgresql@15-main.service"'
        )
    return text


def agent(value: object) -> str:
    """An OCF agent."""
    text = forms.text(value)
    if _AGENT.fullmatch(text) is None:
        raise ValueError('not an OCF agent; "ocf:PROVIDER:TYPE", such as "ocf:heartbeat:pgsql"')
    return text


def argv(value: object) -> tuple[str, ...]:
    """A program by its absolute path, and its arguments."""
    wanted = 'a program and its arguments, such as ["/usr/local/sbin/app", "start"]'
    if not isinstance(value, list) or not 1 <= len(value) <= ARGUMENTS_MAX:
        raise ValueError(f"not a list of 1 to {ARGUMENTS_MAX} texts: {wanted}")
    words = tuple(_passable(word, "an argument") for word in value)
    if not words[0].startswith("/") or words[0].endswith("/"):
        raise ValueError(f"does not begin with an absolute path: {wanted}")
    return words


def texts(value: object) -> dict[str, str]:
    """Parameters or variables; what is wrong is said by the name, since a value may be secret."""
    if not isinstance(value, dict) or len(value) > ENTRIES_MAX:
        raise ValueError(
            f'not a table of at most {ENTRIES_MAX} texts; such as {{ name = "value" }}'
        )
    for key, text in value.items():
        if _VARIABLE.fullmatch(key) is None:
            raise ValueError(f"{join(key)} is not a name; ASCII letters, digits, '_', '.', '-'")
        _passable(text, join(key))
    return dict(value)


def _passable(value: object, what: str) -> str:
    """A text that can be passed to a program."""
    if not isinstance(value, str):
        raise ValueError(f"{what} is not a text; write it in quotes")  # noqa: TRY004 as pydantic wants
    if "\0" in value or len(value) > TEXT_CHARACTERS_MAX:
        raise ValueError(f"{what} is longer than {TEXT_CHARACTERS_MAX} characters or has a zero")
    return value


def conninfo(value: object) -> str:
    """Parameters of libpq, such as "sslmode=verify-full"; none that says who or where."""
    text, names = _parameters(value, "sslmode=verify-full")
    if taken := CONNINFO_TAKEN & names:
        raise ValueError(f"{', '.join(sorted(taken))}: has a key of its own here")
    return text


def writes(value: object) -> dict[str, str]:
    """By group: who writes into which database, as parameters of libpq; none that says where."""
    form = f'such as {{ db = "{WRITES_EXAMPLE}" }}'
    if not isinstance(value, dict):
        raise ValueError(f"not a table, {form}")  # noqa: TRY004 as pydantic wants
    return {str(group): _login(str(group), text) for group, text in value.items()}


def _login(group: str, value: object) -> str:
    text, names = _parameters(value, WRITES_EXAMPLE)
    if taken := WRITES_TAKEN & names:
        raise ValueError(f"{group}: {', '.join(sorted(taken))}: is known from the group")
    if lacking := {"user", "dbname"} - names:
        raise ValueError(f"{group}: {', '.join(sorted(lacking))} is missing; {WRITES_EXAMPLE!r}")
    return text


def _parameters(value: object, example: str) -> tuple[str, set[str]]:
    """Parameters of libpq, and their names."""
    text = forms.text(value)
    if "password=" in text.replace(" ", ""):
        raise ValueError("has a password in it, for everybody to read; put it into passfile")
    if re.fullmatch(r"(?:[a-z_]+=(?:[^\s'\\]+|'[^'\\]*')(?:\s+|$))*", text) is None:
        raise ValueError(f'not parameters of libpq; such as "{example}"')
    return text, set(re.findall(r"([a-z_]+)=", text))


def failback(value: object) -> str | int:
    """When the preferred node takes a group back: "never", "manual", or ns of being well."""
    if value in ("never", "manual"):
        return str(value)
    try:
        return forms.span("1s", "7d")(value)
    except ValueError as error:
        raise ValueError(f'{error}; or "never", or "manual"') from None


def interval(value: object) -> int:
    """The pause between two looks; 0 for none. Nanoseconds."""
    value_ns = forms.span("0s", "1d")(value)
    if 0 < value_ns < INTERVAL_NS_MIN:
        raise ValueError(f'below "{duration.render(INTERVAL_NS_MIN)}"; "0s" is for no looks at all')
    return value_ns


def short_text(characters_max: int) -> Callable[[object], str]:
    """Reads printable characters, at least one."""

    def read(value: object) -> str:
        text = forms.text(value)
        if not 1 <= len(text) <= characters_max or not text.isprintable():
            raise ValueError(f"not a text of 1 to {characters_max} printable characters")
        return text

    return read


def drill(value: object) -> Kind:
    """A kind of drill."""
    text = forms.text(value)
    kind = next((one for one in LEVELS if one == text), None)
    if kind is None:
        raise ValueError(f"no kind of drill; one of {', '.join(LEVELS)}")
    return kind


def hours(value: object) -> tuple[Hours, ...]:
    """When something may be done: a list of days and times of the week."""
    return tuple(
        _hours(forms.text(one)) for one in _short_list(value, 'such as ["Mon-Fri 09:00-16:00"]')
    )


def _hours(text: str) -> Hours:
    form = 'such as "Mon-Fri 09:00-16:00" or "Sun 02:00-04:00"'
    found = _HOURS.fullmatch(text)
    if found is None:
        raise ValueError(f"not days and times; {form}")
    first, last, *clock = found.groups()
    try:
        begin, end = (time.fromisoformat(part) for part in clock)
    except ValueError:
        raise ValueError(f"no time of a day; {form}") from None
    numbers = DAYS.index(first), DAYS.index(last or first)
    if begin >= end or numbers[0] > numbers[1]:
        raise ValueError(f"ends before it begins; {form}, and another entry for the rest")
    return Hours(frozenset(range(numbers[0], numbers[1] + 1)), begin, end)


def blackouts(value: object) -> tuple[Blackout, ...]:
    """Days, each one alone or the first and the last of several."""
    form = 'such as ["2026-12-24", "2026-12-27/2027-01-06"]'
    return tuple(_blackout(forms.text(one), form) for one in _short_list(value, form))


def _blackout(text: str, form: str) -> Blackout:
    first, _, last = text.partition("/")
    try:
        found = Blackout(date.fromisoformat(first), date.fromisoformat(last or first))
    except ValueError:
        raise ValueError(f"not a date; {form}") from None
    if found.last < found.first:
        raise ValueError("its last day is before its first")
    return found


def _short_list(value: object, form: str) -> list[object]:
    if not isinstance(value, list) or len(value) > ENTRIES_MAX:
        raise ValueError(f"not a list of at most {ENTRIES_MAX} texts; {form}")
    return value
