# SPDX-License-Identifier: GPL-2.0-or-later
"""What is found at a BMC by daylight, so that nobody finds it on the night it is needed.

Nothing here orders anything. What a BMC does not tell, or does not let this account read, is no
finding.

Source: DSP0268 (ComputerSystem, Manager, ManagerAccount, Role), DSP8010 PrivilegeRegistry
("ComputerSystem", POST); iLO's own privileges: HPE's "iLO RESTful API" reference, ManagerAccount.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address

from fencing import FenceError, Inspection
from fencing.drivers.redfish.document import LINK, Document, inside, links, text, texts
from fencing.drivers.redfish.service import Service
from fencing.drivers.redfish.system import RESET, identity_of, listed_resets
from fencing.drivers.redfish.tls import BmcTls
from fencing.findings import Finding, Trouble

BUDGET_S = 5.0
"""No further resource is asked for after so long; a check has 15 s (fencing.client)."""
CERTIFICATE_DAYS = 30
"""Before a certificate ends: time for whoever renews it."""
CLOCK_OFF_S_MAX = 300.0
"""Five minutes, as Kerberos allows (RFC 4120, 8.2): more is no drift, it is a wrong clock."""
ACCOUNTS_MAX = 20
"""Accounts that are looked at for our own; iDRAC and Lenovo have 16 places, iLO 12."""

_SWITCHING = frozenset({"ConfigureComponents", "OperateSystems", "AdministrateSystems"})
"""Each of these privileges allows a reset."""
_READERS = frozenset({"ReadOnly", "NoAccess", "None"})
_DAY_S = 86400.0


def inspect(service: Service, tls: BmcTls, system: Document, user: str) -> Inspection:
    """Say all that a check finds; `system` was just read."""
    look = _Look(service)
    manager = _manager(look, service, system)
    identity = identity_of(system)
    findings = [
        *_certificate(tls),
        *_clock(manager, service.date),
        *_resets(look, system),
        *_privilege(look, service, user),
    ]
    if system.get("PowerRestorePolicy") == "AlwaysOff":
        findings.append(Finding(Trouble.RESTORE_POLICY, "PowerRestorePolicy is AlwaysOff"))
    if identity is None:
        findings.append(Finding(Trouble.IDENTITY_UNKNOWN, "its system has no UUID"))
    mark = _mac(look, manager, tls.address) or _serial(manager) or tls.shown()
    return Inspection(identity=identity, mark=f"bmc {mark}", findings=tuple(findings))


class _Look:
    """Reads what may be missing, until the time for it is over."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._end_s = time.monotonic() + BUDGET_S

    def at(self, path: str) -> Document:
        """The resource there; an empty one if it cannot be read, or need not be any more."""
        if path and time.monotonic() < self._end_s:
            with contextlib.suppress(FenceError):
                return self._service.get(path, in_new_login=False)
        return {}


def _certificate(tls: BmcTls) -> Iterator[Finding]:
    if tls.ends_s is not None:
        days = (tls.ends_s - time.time()) / _DAY_S
        if days < CERTIFICATE_DAYS:
            yield Finding(Trouble.CERTIFICATE_ENDS, f"its certificate ends in {days:.1f} days")


def _clock(manager: Document, date: str) -> Iterator[Finding]:
    off_s = None
    with contextlib.suppress(ValueError):
        theirs = parsedate_to_datetime(date)
        with contextlib.suppress(ValueError):  # Not every BMC serves the header by its own clock.
            theirs = datetime.fromisoformat(text(manager, "DateTime"))
        off_s = theirs.replace(tzinfo=theirs.tzinfo or UTC).timestamp() - time.time()
    if off_s is not None and abs(off_s) > CLOCK_OFF_S_MAX:
        way = "ahead" if off_s > 0 else "behind"
        yield Finding(Trouble.CLOCK, f"its clock is {abs(off_s):.0f} s {way}")


def _resets(look: _Look, system: Document) -> Iterator[Finding]:
    """Whether the order that is needed is one that the BMC knows, where it lists them."""
    listed = listed_resets(system)
    if not listed:
        info = look.at(text(system, "Actions", RESET, "@Redfish.ActionInfo"))
        listed = texts(info, "Parameters", 0, "AllowableValues")
    if listed and "ForceOff" not in listed:
        yield Finding(Trouble.REFUSED, f"it lists no ForceOff, but {', '.join(listed)}"[:200])


def _manager(look: _Look, service: Service, system: Document) -> Document:
    """The BMC's own resource: the one that manages this system."""
    path = text(system, "Links", "ManagedBy", 0, LINK)
    if not path:
        path = text(look.at(text(service.root(), "Managers", LINK)), "Members", 0, LINK)
    return look.at(path)


def _privilege(look: _Look, service: Service, user: str) -> Iterator[Finding]:
    """Whether the account may switch power, by its roles' privileges; no word is no finding."""
    account_service = look.at(text(service.root(), "AccountService", LINK))
    account = _account(look, account_service, user)
    roles = texts(look.at(service.session_path), "Roles") or (text(account, "RoleId"),)
    roles = tuple(role for role in roles if role)
    hpe = inside(account, "Oem", "Hpe", "Privileges", "VirtualPowerAndResetPriv")
    if hpe is False:
        yield Finding(Trouble.PRIVILEGE, f"{user} has no Virtual Power and Reset privilege")
    elif roles and not any(_may_switch(look, account_service, role) for role in roles):
        yield Finding(Trouble.PRIVILEGE, f"{user} has the role {', '.join(roles)}"[:100])


def _may_switch(look: _Look, account_service: Document, role: str) -> bool:
    path = text(account_service, "Roles", LINK).rstrip("/")
    privileges = texts(look.at(path and f"{path}/{role}"), "AssignedPrivileges")
    return role not in _READERS if not privileges else not _SWITCHING.isdisjoint(privileges)


def _account(look: _Look, account_service: Document, user: str) -> Document:
    """Our own account; one whose id is its name is looked at first (OpenBMC)."""
    paths = links(look.at(text(account_service, "Accounts", LINK)), "Members")
    paths.sort(key=lambda path: path.rstrip("/").rpartition("/")[2] != user)
    for path in paths[:ACCOUNTS_MAX]:
        account = look.at(path)
        if account.get("UserName") == user:
            return account
    return {}


def _mac(look: _Look, manager: Document, address: str) -> str:
    """The MAC address of its port that we speak to, or of its first port.

    The ipmi driver marks a BMC by the same, so that two entries for one BMC are known as such.
    """
    found = ""
    for path in links(look.at(text(manager, "EthernetInterfaces", LINK)), "Members"):
        port = look.at(path)
        mac = (text(port, "MACAddress") or text(port, "PermanentMACAddress")).lower()
        if mac and address in _addresses(port):
            return mac
        found = found or mac
    return found


def _addresses(port: Document) -> Iterator[str]:
    for name in ("IPv4Addresses", "IPv6Addresses"):
        entries = port.get(name)
        for entry in entries if isinstance(entries, list) else []:
            with contextlib.suppress(ValueError):
                yield str(ip_address(text(entry, "Address")))


def _serial(manager: Document) -> str:
    return text(manager, "UUID") or text(manager, "SerialNumber")
