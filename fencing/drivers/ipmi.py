# SPDX-License-Identifier: GPL-2.0-or-later
"""IPMI 2.0 over LAN with pyghmi: raw chassis commands in one warm session.

pyghmi's own `set_power` is not used: it sends nothing when it believes the state to be right
already. What else it has of traps is dealt with in `threadless`, `ipmi_logon` and `ipmi_session`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import UUID

from fencing import DeviceSettings, FenceError, Inspection, Option, Power
from fencing.drivers.ipmi_logon import NODE_BUSY, SUITES
from fencing.drivers.ipmi_session import (
    APPLICATION,
    CHASSIS,
    CHASSIS_CONTROL,
    TRANSPORT,
    Login,
    RefusedError,
    WarmSession,
)
from fencing.findings import Finding, Trouble
from fencing.identity import from_bytes

PORT = 623
PRIVILEGES = {"operator": 3, "administrator": 4}
"""Chassis Control needs Operator (IPMI 2.0, appendix G); more than needed is not asked for."""
USER_BYTES_MAX = 16
PASSWORD_BYTES_MAX = 20
KG_BYTES_MAX = 20
"""IPMI 2.0, 22.28 "Set User Name", 22.30 "Set User Password", 22.25 "Set Channel Security Keys"."""

WARM_ANSWER_S = 1.0
"""A session that is silent for so long is given up and a new one is tried."""
FRESH_ANSWER_S = 3.0
"""The BMC has just answered a logon, so it is alive, but it may be slow to act."""
LOGON_S = 6.0
"""pyghmi gives up on a silent BMC after 4.8 to 5.7 s; the limit is for the cases where it does
not (measured with 1.6.19)."""

_GET_CHASSIS_STATUS = 0x01
_POWER_DOWN, _POWER_UP = 0x00, 0x01
_GET_DEVICE_GUID, _GET_SYSTEM_GUID, _SET_SESSION_PRIVILEGE = 0x08, 0x37, 0x3B
_KEEP_PRIVILEGE = 0x00
_GET_LAN_PARAMETERS, _THIS_CHANNEL, _MAC_ADDRESS = 0x02, 0x0E, 5
_NOT_IN_PRESENT_STATE = 0xD5
_POWER_FAULTS = {1: "overload", 3: "power fault", 4: "power control fault"}
_RESTORE_POLICIES = {0: "the machine stays off when power comes back", 3: "it does not tell it"}
"""Bits of the chassis status and their meaning (IPMI 2.0, table 28-3). Restore policy 1, as it
was before, is no finding: a machine that is cut while it runs comes back with it as with 2, and
it is what most machines are delivered with, so that nobody would read the warning."""


class IpmiDevice:
    """One BMC, with the options that fencing.drivers declares.

    Raises:
        FenceError: Settings that no BMC can take.
    """

    def __init__(self, settings: DeviceSettings) -> None:
        self._session = WarmSession(_login(settings))

    def off(self) -> None:
        """Order a hard power-off (chassis control 0), never an ACPI one."""
        self._control(_POWER_DOWN, Power.OFF)

    def on(self) -> None:
        """Order power on (chassis control 1)."""
        self._control(_POWER_UP, Power.ON)

    def status(self) -> Power:
        """Read the power with Get Chassis Status: bit 0 of the first byte."""
        return Power.ON if self._chassis_status() & 1 else Power.OFF

    def evidence(self) -> str:
        """Nothing: a BMC has only its word."""
        return ""

    def identify(self) -> UUID | None:
        """Ask Get System GUID; the bytes are given in the order in which they came."""
        return from_bytes(self._optional(APPLICATION, _GET_SYSTEM_GUID))

    def inspect(self) -> Inspection:
        """Ask for identity, mark and privilege, and look at the chassis's flags."""
        findings = list(_chassis_findings(self._chassis_status()))
        # Asked to keep what it is, this command tells it (IPMI 2.0, 22.18).
        granted = self._optional(APPLICATION, _SET_SESSION_PRIVILEGE, (_KEEP_PRIVILEGE,))
        if granted and granted[0] & 0x0F < PRIVILEGES["operator"]:
            text = f"the session has privilege level {granted[0] & 0x0F}, Operator is 3"
            findings.append(Finding(Trouble.PRIVILEGE, text))
        identity = self.identify()
        if identity is None:
            findings.append(Finding(Trouble.IDENTITY_UNKNOWN, "it has no system GUID"))
        return Inspection(identity=identity, mark=self._mark(), findings=tuple(findings))

    def rest(self) -> None:
        """Nothing: the session stays, it is what makes the order fast."""

    def close(self) -> None:
        """Log out, so that the BMC's few session slots stay free; never raises."""
        self._session.close()

    def _command(self, netfn: int, command: int, data: Sequence[int] = ()) -> bytes:
        return self._session.command(netfn, command, data)

    def _optional(self, netfn: int, command: int, data: Sequence[int] = ()) -> bytes:
        """The answer to a command that not every BMC has or allows; b"" if it refuses."""
        try:
            return self._command(netfn, command, data)
        except RefusedError as refusal:
            if refusal.code == NODE_BUSY:
                raise  # Which says nothing of what it has.
            return b""

    def _control(self, order: int, wanted: Power) -> None:
        """Give an order; a refusal because it is so already is no error."""
        try:
            self._command(CHASSIS, CHASSIS_CONTROL, (order,))
        except RefusedError as refusal:
            if refusal.code != _NOT_IN_PRESENT_STATE or self.status() is not wanted:
                raise

    def _chassis_status(self) -> int:
        data = self._command(CHASSIS, _GET_CHASSIS_STATUS)
        if not data:
            raise FenceError("the chassis status was empty", Trouble.REFUSED)
        return data[0]

    def _mark(self) -> str:
        """The MAC address of its channel, else its device GUID.

        In that order because makers give one GUID to many boards. A BMC with two channels has
        two addresses: such a pair of entries is found by its system GUID alone.
        """
        address = self._optional(
            TRANSPORT, _GET_LAN_PARAMETERS, (_THIS_CHANNEL, _MAC_ADDRESS, 0, 0)
        )[1:]
        if len(address) == 6 and any(address):
            return f"bmc {address.hex(':')}"
        guid = from_bytes(self._optional(APPLICATION, _GET_DEVICE_GUID))
        return "" if guid is None else f"bmc {guid}"


def _login(settings: DeviceSettings) -> Login:
    options = settings.options
    user, kg = settings.user.encode(), settings.kg
    privilege = str(options.get("privilege", "operator"))
    if privilege not in PRIVILEGES:
        raise _wrong(f"privilege must be one of {', '.join(PRIVILEGES)}")
    if len(user) > USER_BYTES_MAX:
        raise _wrong(f"the user name is longer than IPMI's {USER_BYTES_MAX} bytes")
    if len(settings.password.reveal()) > PASSWORD_BYTES_MAX:
        raise _wrong(f"the password is longer than IPMI's {PASSWORD_BYTES_MAX} bytes")
    if kg is not None and len(kg.reveal()) > KG_BYTES_MAX:
        raise _wrong(f"the BMC key is longer than IPMI's {KG_BYTES_MAX} bytes")
    return Login(
        address=settings.address,
        port=int(_number(options.get("port", PORT))),
        user=user,
        password=settings.password,
        kg=kg,
        privilege=PRIVILEGES[privilege],
        suites=_suites(options.get("suites", SUITES)),
        logon_s=_number(options.get("logon", LOGON_S)),
        warm_answer_s=_number(options.get("warm_answer", WARM_ANSWER_S)),
        fresh_answer_s=_number(options.get("fresh_answer", FRESH_ANSWER_S)),
    )


def _suites(value: Option) -> tuple[int, ...]:
    if not isinstance(value, tuple) or not value or not set(value) <= set(SUITES):
        raise _wrong(f"suites must be some of {', '.join(str(suite) for suite in SUITES)}")
    return value


def _number(value: Option) -> float:
    if isinstance(value, (int, float)):
        return value
    raise _wrong(f"{value!r} is no number")


def _wrong(text: str) -> FenceError:
    return FenceError(text, Trouble.SETTINGS)


def _chassis_findings(status: int) -> Iterator[Finding]:
    policy = status >> 5 & 3
    if policy in _RESTORE_POLICIES:
        yield Finding(Trouble.RESTORE_POLICY, f"restore policy: {_RESTORE_POLICIES[policy]}")
    for bit, fault in _POWER_FAULTS.items():
        if status >> bit & 1:
            yield Finding(Trouble.POWER_FAULT, f"the chassis status shows: {fault}")
