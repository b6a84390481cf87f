# SPDX-License-Identifier: GPL-2.0-or-later
"""What an emulated BMC shows: its resources by path.

Source: DSP0268, "Redfish Data Model Specification".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hil.redfish.faces import Face, Json
from hil.redfish.machine import HONEST, Faults, Machine

ROOT = "/redfish/v1"
PRIVILEGES = {
    "Administrator": [
        *("Login", "ConfigureManager", "ConfigureUsers", "ConfigureComponents", "ConfigureSelf")
    ],
    "Operator": ["Login", "ConfigureComponents", "ConfigureSelf"],
    "ReadOnly": ["Login", "ConfigureSelf"],
}
"""The standard roles (DSP0266, 13.5.2)."""


@dataclass(slots=True)
class Controller:
    """The BMC itself; all of it can be changed while it runs."""

    uuid: str = "58893887-8974-2487-2389-841168418919"
    mac: str = "02:00:00:aa:bb:cc"
    address: str = "127.0.0.1"
    clock_off_s: float = 0.0
    role: str = "Operator"
    """Of the one account."""
    session_roles: bool = False
    """Whether a session tells its roles (Session 1.7)."""
    accounts_refusal: int = 0
    """With which status it refuses to show accounts; 0 if it shows them."""
    extra: Json = field(default_factory=dict)
    """More for the manager's resource, or other values."""

    @property
    def now(self) -> datetime:
        """What its clock says."""
        return datetime.now(UTC) + timedelta(seconds=self.clock_off_s)


@dataclass(frozen=True, slots=True)
class Shown:
    """What there is to show."""

    face: Face
    machines: Mapping[str, Machine]
    manager: Controller
    faults: Faults
    user: str


def resource(path: str, shown: Shown) -> Json | None:
    """The resource at a path without a slash at its end; None if there is none."""
    face, manager, user = shown.face, shown.manager, shown.user
    account = user if face.account == "user" else face.account
    managers = f"{ROOT}/Managers/{face.manager}"
    accounts = f"{ROOT}/AccountService"
    tree: dict[str, Json] = {
        ROOT: _root(),
        f"{ROOT}/Systems": _collection([f"{ROOT}/Systems/{name}" for name in shown.machines], face),
        f"{ROOT}/Managers": _collection([managers], face),
        managers: {
            "Id": face.manager,
            "UUID": manager.uuid,
            "DateTime": manager.now.isoformat(timespec="seconds"),
            "EthernetInterfaces": _link(f"{managers}/EthernetInterfaces"),
            **manager.extra,
        },
        f"{managers}/EthernetInterfaces": _collection(
            [f"{managers}/EthernetInterfaces/usb", f"{managers}/EthernetInterfaces/lan"], face
        ),
        f"{managers}/EthernetInterfaces/usb": {
            "MACAddress": "02:00:00:00:00:01",
            "IPv4Addresses": [{"Address": "169.254.1.1"}],
        },
        f"{managers}/EthernetInterfaces/lan": {
            "MACAddress": manager.mac.upper(),
            "IPv4Addresses": [{"Address": manager.address}],
        },
        accounts: {"Accounts": _link(f"{accounts}/Accounts"), "Roles": _link(f"{accounts}/Roles")},
        f"{accounts}/Accounts": _collection(
            [f"{accounts}/Accounts/{one}" for one in ("other", account)], face
        ),
        f"{accounts}/Accounts/other": {"UserName": "somebody", "RoleId": "Administrator"},
        f"{accounts}/Accounts/{account}": _account(face, manager, user),
        **{
            f"{accounts}/Roles/{role}": {"RoleId": role, "AssignedPrivileges": privileges}
            for role, privileges in PRIVILEGES.items()
        },
    }
    for name, machine in shown.machines.items():
        here = f"{ROOT}/Systems/{name}"
        tree[here] = _system(here, name, face, machine, shown.faults)
        tree[f"{here}/ResetActionInfo"] = {
            "Parameters": [{"Name": "ResetType", "AllowableValues": list(face.resets)}]
        }
    found = tree.get(path)
    if found is None or (path.startswith(f"{accounts}/") and manager.accounts_refusal):
        return None
    return {"@odata.id": path + ("/" if face.slash else ""), **found}


def _root() -> Json:
    return {
        "Id": "RootService",
        "RedfishVersion": "1.12.0",
        "Systems": _link(f"{ROOT}/Systems"),
        "Managers": _link(f"{ROOT}/Managers"),
        "AccountService": _link(f"{ROOT}/AccountService"),
        "Links": {"Sessions": _link(f"{ROOT}/SessionService/Sessions")},
    }


def _system(here: str, name: str, face: Face, machine: Machine, faults: Faults) -> Json:
    action: Json = {"target": f"{here}/Actions/ComputerSystem.Reset"}
    if face.slash:
        action["target"] += "/"
    if face.listed == "values":
        action["ResetType@Redfish.AllowableValues"] = list(face.resets)
    elif face.listed == "info":
        action["@Redfish.ActionInfo"] = f"{here}/ResetActionInfo"
    return {
        "Id": name,
        "Name": "System",
        "UUID": str(machine.uuid),
        "PowerState": machine.state() if faults.says is HONEST else faults.says,
        "PowerRestorePolicy": "AlwaysOn",
        "Links": {"ManagedBy": [_link(f"{ROOT}/Managers/{face.manager}")]},
        "Actions": {"#ComputerSystem.Reset": action},
        **machine.extra,
    }


def _account(face: Face, manager: Controller, user: str) -> Json:
    account: Json = {"UserName": user, "RoleId": manager.role}
    if face.hpe:
        switches = manager.role != "ReadOnly"
        account["Oem"] = {"Hpe": {"Privileges": {"VirtualPowerAndResetPriv": switches}}}
    return account


def _link(path: str) -> Json:
    return {"@odata.id": path}


def _collection(paths: Sequence[str], face: Face) -> Json:
    slash = "/" if face.slash else ""
    return {
        "Members": [_link(path + slash) for path in paths],
        "Members@odata.count": len(paths),
    }
