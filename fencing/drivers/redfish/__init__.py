# SPDX-License-Identifier: GPL-2.0-or-later
"""Redfish: one system behind a BMC, switched by ForceOff and On, read by its PowerState.

An order is given whatever the state or the list of allowed values says, and only a later reading
of exactly "Off" means off: real BMCs answer an error to an order that they carry out (409 and
400 if it is off already, a timeout), and success to one that they do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from fencing import DeviceSettings, FenceError, Inspection, NotSentError, Option, Power
from fencing.drivers.redfish.checks import inspect
from fencing.drivers.redfish.document import Document, text
from fencing.drivers.redfish.line import Line, left_before
from fencing.drivers.redfish.refusal import RefusedError
from fencing.drivers.redfish.service import Access, Service
from fencing.drivers.redfish.system import RESET, find_system, identity_of, listed_resets
from fencing.drivers.redfish.tls import trusting
from fencing.findings import Trouble

PORT = 443
CONNECT_S = 2.0
"""A silent host is given up after so long (TLS handshake apart, which has the same limit)."""
ANSWER_S = 5.0
"""The field report (section 2) advises 3 to 5 s; an iLO was seen to take 1.1 to 1.4 s for each
answer (apache/cloudstack #12921)."""
_OFF = "ForceOff"
"""Cuts the power like holding the button (DSP0268, ResetType); the graceful types are ACPI."""
_ON, _ON_TOO = "On", "ForceOn"
_NOT_FOUND = 404
_ALREADY = frozenset({400, 409})
"""What iLO and iDRAC answer to an order that changes nothing, and to many others."""


class RedfishDevice:
    """One system. The options are declared in fencing.drivers.

    Raises:
        FenceError: Settings that no BMC can be reached with.
    """

    def __init__(self, settings: DeviceSettings) -> None:
        options = settings.options
        self._tls = trusting(str(options.get("ca_file", "")), str(options.get("fingerprint", "")))
        line = Line(
            settings.address,
            int(_number(options.get("port", PORT))),
            self._tls,
            str(options.get("server_name", "")),
            _number(options.get("connect", CONNECT_S)),
        )
        self._service = Service(line, _access(settings))
        self._wanted = str(options.get("system", ""))
        self._user = settings.user
        self._expected = settings.expect_identity
        self._path = ""
        self._system: Document = {}
        self._login = 0

    def off(self) -> None:
        """Order ForceOff, never a graceful type, whatever the list of allowed values says."""
        self._order(self._prepared(), _OFF, Power.OFF)

    def on(self) -> None:
        """Order On, or ForceOn if the BMC lists only that."""
        system = self._prepared()
        listed = listed_resets(system)
        reset_type = _ON_TOO if _ON_TOO in listed and _ON not in listed else _ON
        self._order(system, reset_type, Power.ON)

    def status(self) -> Power:
        """Read PowerState: PoweringOff, PoweringOn, Paused, null and the rest are UNKNOWN."""
        state = self._read().get("PowerState")
        return Power.OFF if state == "Off" else Power.ON if state == "On" else Power.UNKNOWN

    def evidence(self) -> str:
        """The BMC's own word for the power where it is neither on nor off."""
        state = self._system.get("PowerState", "Off")
        return "" if state in ("Off", "On") else f"PowerState is {str(state)[:40]!r}"

    def identify(self) -> UUID | None:
        """The System's UUID, as it was last read in this session, else read now.

        The session is with the BMC that it was read from, so a second reading would only delay
        the order that follows.
        """
        known = self._system and self._service.still(self._login)
        return identity_of(self._system if known else self._read())

    def inspect(self) -> Inspection:
        """Look at the system, its manager, the certificate, the clock and the account's role."""
        system = self._read()
        return inspect(self._service, self._tls, system, self._user)

    def rest(self) -> None:
        """Nothing: connection and session stay, they are what makes the order fast."""

    def close(self) -> None:
        """End the session, so that the BMC's few slots stay free; never raises."""
        self._service.close()

    def _prepared(self) -> Document:
        """The system as it was read last, ready for an order.

        Raises:
            NotSentError: It cannot be had; so no order leaves.
            FenceError: The BMC refuses, which may pass: a starting iDRAC says "not ready".
        """
        if self._system:
            return self._system
        try:
            return self._read()
        except FenceError as error:
            if error.trouble is Trouble.REFUSED:
                raise
            raise NotSentError(str(error), error.trouble) from None

    def _order(self, system: Document, reset_type: str, wanted: Power) -> None:
        """Give the order; a refusal because it is so already is no error."""
        try:
            self._reset_surely(system, reset_type)
        except RefusedError as refused:
            if refused.status not in _ALREADY or not self._reads(wanted):
                raise

    def _reads(self, wanted: Power) -> bool:
        try:
            return self.status() is wanted
        except FenceError:
            return False  # What the order was answered is the better thing to tell.

    def _reset_surely(self, system: Document, reset_type: str) -> None:
        """Give the order; in a new login only after a look at whom that is with."""
        try:
            self._reset(system, reset_type)
        except RefusedError as refused:
            if refused.trouble is not Trouble.LOGIN_REFUSED:
                raise
            with left_before():
                now = self._read()
                if identity_of(now) != identity_of(system):
                    found, before = identity_of(now), identity_of(system)
                    text = f"it now answers for {found}, before for {before}"
                    raise FenceError(text, Trouble.OTHER_MACHINE) from None
                self._reset(now, reset_type)

    def _reset(self, system: Document, reset_type: str) -> None:
        usual = f"{self._path.rstrip('/')}/Actions/ComputerSystem.Reset"
        target = text(system, "Actions", RESET, "target") or usual
        with self._found():
            self._service.post(target, {"ResetType": reset_type})

    def _read(self) -> Document:
        """Read the system anew."""
        if not self._path:
            self._path = find_system(self._service, self._wanted, self._expected)
        with self._found():
            self._system = self._service.get(self._path)
        self._login = self._service.logins
        return self._system

    @contextmanager
    def _found(self) -> Iterator[None]:
        """Look for the system anew, next time, if it is not there any more."""
        try:
            yield
        except RefusedError as refused:
            if refused.status == _NOT_FOUND:
                self._path, self._system = "", {}
            raise


def _access(settings: DeviceSettings) -> Access:
    auth = settings.options.get("auth", "session")
    if auth not in ("session", "basic"):
        raise FenceError("auth must be session or basic", Trouble.SETTINGS)
    try:
        settings.password.reveal().decode()
    except UnicodeDecodeError:
        raise FenceError("the password is not UTF-8, as JSON must be", Trouble.SETTINGS) from None
    return Access(
        user=settings.user,
        password=settings.password,
        session=auth == "session",
        answer_s=_number(settings.options.get("answer", ANSWER_S)),
    )


def _number(value: Option) -> float:
    assert isinstance(value, (int, float)), "the configuration was checked"
    return value
