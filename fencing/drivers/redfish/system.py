# SPDX-License-Identifier: GPL-2.0-or-later
"""Which of a BMC's systems is meant, and what its resource says of it.

Source: DSP0268, "Redfish Data Model Specification", ComputerSystem.
"""

from __future__ import annotations

from uuid import UUID

from fencing import FenceError
from fencing.drivers.redfish.document import LINK, Document, links, text, texts
from fencing.drivers.redfish.service import ROOT, Service
from fencing.findings import Trouble
from fencing.identity import from_bytes, same

RESET = "#ComputerSystem.Reset"
"""The action that switches power, as a system names it."""


def find_system(service: Service, wanted: str, expected: UUID | None) -> str:
    """The path of the system that is meant: by its id, as the only one, or by its UUID.

    Args:
        service: Where it is.
        wanted: Its id, or its path; "" if it was not configured.
        expected: Its UUID, if it is known.

    Raises:
        FenceError: There is none, or it cannot be told which of several it is.
    """
    if wanted.startswith("/"):
        return wanted
    paths = members(service, "Systems")
    by_id = {path.rstrip("/").rpartition("/")[2]: path for path in paths}
    if wanted:
        if wanted not in by_id:
            raise FenceError(f"it has no system {wanted!r}, but {_named(by_id)}", Trouble.SETTINGS)
        return by_id[wanted]
    if len(paths) == 1:
        return paths[0]
    if not paths:
        raise FenceError("it lists no system", Trouble.REFUSED)
    if expected is None:
        raise FenceError(f"it has several systems: set system to {_named(by_id)}", Trouble.SETTINGS)
    for path in paths:
        identity = identity_of(service.get(path))
        if identity is not None and same(identity, expected):
            return path
    raise FenceError(f"none of {_named(by_id)} is {expected}", Trouble.OTHER_MACHINE)


def members(service: Service, collection: str) -> list[str]:
    """The paths in one of the root's collections."""
    path = text(service.root(), collection, LINK) or f"{ROOT}{collection}"
    return links(service.get(path), "Members")


def identity_of(system: Document) -> UUID | None:
    """The system's UUID, None if it has none or one that identifies nothing."""
    try:
        return from_bytes(UUID(text(system, "UUID")).bytes)
    except ValueError:
        return None


def listed_resets(system: Document) -> tuple[str, ...]:
    """The reset types that the resource itself lists; () if it lists none."""
    return texts(system, "Actions", RESET, "ResetType@Redfish.AllowableValues")


def _named(by_id: dict[str, str]) -> str:
    return ", ".join(by_id)
