# SPDX-License-Identifier: GPL-2.0-or-later
"""A Redfish BMC on the bench: login, sessions, resources and orders, with faults."""

from __future__ import annotations

import base64
import json
import secrets
import threading
from dataclasses import dataclass
from email.message import Message
from email.utils import format_datetime
from typing import Self
from uuid import UUID

from hil.redfish.certificates import Certificate
from hil.redfish.faces import FACES, Answer, Face, error
from hil.redfish.machine import Faults, Machine
from hil.redfish.resources import ROOT, Controller, Shown, resource
from hil.redfish.server import Reply, Request, Server

UUID_OF_FIRST = UUID("4c4c4544-0044-4a10-8059-b4c04f565231")
"""Of the shape of Dell's, where the first bytes are letters."""
_SESSIONS = f"{ROOT}/SessionService/Sessions"
_RESET = "/Actions/ComputerSystem.Reset"


@dataclass(frozen=True, slots=True)
class Seen:
    """One request, as it was taken."""

    method: str
    path: str
    body: bytes
    login: str
    """session, basic or none; "refused" if it was wrong."""
    headers: Message
    connection: int
    """Number of the connection, rising."""


class RedfishBmc:
    """One emulated BMC at an address of this machine; a context manager, which starts and stops it.

    Args:
        certificate: What it shows; can be replaced while it runs.
        face: A maker's name in FACES, or a face of its own.
        address: Where it listens.
        port: At that address; 0 for a free one.
    """

    def __init__(
        self,
        certificate: Certificate,
        *,
        face: str | Face = "idrac",
        address: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.face = FACES[face] if isinstance(face, str) else face
        self.user, self.password = "haagent", "bench only: ü"
        self.machines = {self.face.system: Machine(UUID_OF_FIRST)}
        self.manager = Controller(address=address)
        self.faults = Faults()
        self.sessions: dict[str, str] = {}
        """The tokens of those who are logged in, with their paths."""
        self.logins = 0
        """How often a session was opened."""
        self.seen: list[Seen] = []
        self.orders: list[str] = []
        """The reset types that were asked for by somebody who may."""
        self._lock = threading.Lock()
        self._server = Server(
            (address, port), certificate.file, self._reply, lambda: self.faults.mute
        )

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.faults = Faults()
        self._server.stop()

    @property
    def machine(self) -> Machine:
        """The first system."""
        return self.machines[self.face.system]

    @property
    def address(self) -> str:
        """Where it is reached."""
        return self.manager.address

    @property
    def port(self) -> int:
        """Where it is reached."""
        return self._server.port

    def show(self, certificate: Certificate) -> None:
        """Show this certificate from now on; connections that are open stay."""
        self._server.show(certificate.file)

    def cut(self) -> None:
        """Cut all connections that are open."""
        self._server.cut()

    def restart(self) -> None:
        """Forget all sessions and cut all connections, as a BMC's firmware does."""
        with self._lock:
            self.sessions.clear()
        self.cut()

    def stop(self) -> None:
        """Close the port and all connections: connecting is refused until start()."""
        self._server.stop()

    def start(self) -> None:
        """Listen again, on the same port."""
        self._server.start()

    def _reply(self, request: Request) -> Reply | None:
        """Answer one request; None cuts the connection."""
        faults = self.faults
        login = self._login(request)
        self.seen.append(
            Seen(
                method=request.method,
                path=request.path,
                body=request.body,
                login=login,
                headers=request.headers,
                connection=request.connection,
            )
        )
        self._server.wait(faults.answer_after_s)
        while faults.silent and self._server.wait(0.05):
            pass
        if faults.moved_to:
            return Reply(302, b"", {"Location": faults.moved_to})
        if faults.not_ready:
            return self._json((503, error("Base.1.12.ServiceTemporarilyUnavailable")))
        if faults.garbage:
            return Reply(faults.garbage_status, faults.garbage)
        return self._routed(request, login)

    def _routed(self, request: Request, login: str) -> Reply | None:
        path = request.path.rstrip("/")
        if self.face.slash and not request.path.endswith("/") and request.method == "GET":
            return Reply(308, b"", {"Location": f"{request.path}/"})
        if (request.method, path) == ("POST", _SESSIONS):
            return self._open_session(request)
        denied = self.faults.denied and request.method == "GET"
        if (denied or login in ("none", "refused")) and path != ROOT:
            return self._json((401, error("Base.1.12.NoValidSession")))
        if request.method == "POST" and path.endswith(_RESET):
            return self._reset(path.removesuffix(_RESET), request)
        if request.method == "DELETE":
            return self._json(self._close_session(path))
        return self._json(self._read(path))

    def _read(self, path: str) -> Answer:
        if path in self.sessions.values():
            roles = {"Roles": [self.manager.role]} if self.manager.session_roles else {}
            return 200, {"@odata.id": path, "UserName": self.user, **roles}
        shown = Shown(self.face, self.machines, self.manager, self.faults, self.user)
        found = resource(path, shown)
        if found is None:
            if self.manager.accounts_refusal and "Account" in path:
                return self.manager.accounts_refusal, error("Base.1.12.InsufficientPrivilege")
            return 404, error("Base.1.12.ResourceMissingAtURI")
        return 200, found

    def _reset(self, system: str, request: Request) -> Reply | None:
        machine = self.machines.get(system.rpartition("/")[2])
        reset_type = str(json.loads(request.body).get("ResetType"))
        if machine is None or reset_type not in self.face.resets:
            return self._json((400, error("Base.1.12.ActionParameterNotSupported")))
        if self.faults.forbidden or self.manager.role == "ReadOnly":
            words = "There are insufficient privileges for the account or credentials."
            return self._json((403, error("Base.1.12.InsufficientPrivilege", words)))
        self.orders.append(reset_type)
        changed = machine.order(reset_type, self.faults)
        self._server.wait(self.faults.stuck_s)
        if self.faults.lost:
            return None
        if self.faults.refused:
            return self._json((500, error("Base.1.12.InternalError", "An internal error.")))
        return self._json(self.face.taken if changed else self.face.already or self.face.taken)

    def _open_session(self, request: Request) -> Reply:
        asked = json.loads(request.body)
        if (asked["UserName"], asked["Password"]) != (self.user, self.password):
            # Some quote what they do not like.
            words = f"The value {asked['Password']} for the property Password is not accepted."
            return self._json((401, error("Base.1.12.PropertyValueError", words)))
        with self._lock:
            if len(self.sessions) >= self.faults.sessions_max:
                return self._json(self.face.full)
            self.logins += 1
            token, path = secrets.token_hex(16), f"{_SESSIONS}/{self.logins}"
            self.sessions[token] = path
        reply = self._json((201, {"@odata.id": path, "UserName": self.user}))
        named = {
            "path": {"Location": path},
            "absolute": {"Location": f"https://bmc.example{path}/"},
            "body": {},
        }[self.face.location]
        reply.headers.update({"X-Auth-Token": token, "Set-Cookie": "SESSION=1; Path=/", **named})
        return reply

    def _close_session(self, path: str) -> Answer:
        with self._lock:
            token = next((one for one, its in self.sessions.items() if its == path), "")
            self.sessions.pop(token, None)
        return (204, None) if token else (404, error("Base.1.12.ResourceMissingAtURI"))

    def _login(self, request: Request) -> str:
        token = request.headers.get("X-Auth-Token")
        if token is not None:
            return "session" if token in self.sessions else "refused"
        words = request.headers.get("Authorization", "")
        if not words:
            return "none"
        wanted = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        return "basic" if words == f"Basic {wanted}" else "refused"

    def _json(self, answer: Answer) -> Reply:
        status, body = answer
        headers = {
            "Content-Type": "application/json",
            "OData-Version": "4.0",
            "Date": format_datetime(self.manager.now, usegmt=True),
        }
        words = b"" if body is None else json.dumps(body).encode()
        return Reply(status, words, headers, self.faults.drip_s)
