# SPDX-License-Identifier: GPL-2.0-or-later
"""What the dialects read out of captured screens, and out of anything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fencing import Power
from fencing.drivers import DRIVERS, pdu
from fencing.drivers.pdu.apc import DIALECT as APC
from fencing.drivers.pdu.cyberpower import DIALECT as CYBERPOWER
from fencing.drivers.pdu.dialect import COMMAND_CHARACTERS_MAX, Dialect
from fencing.drivers.pdu.line import plain
from fencing.drivers.pdu.wti import DIALECT as WTI

DIALECTS = [APC, CYBERPOWER, WTI]

CYBERPOWER_STATES = b"""oltsta show\r
\r
    #  Name                                 Status\r
    -----------------------------------------------------------------------------\r
    1  Outlet1                              On\r
    2  Off site backup                      On  \r
    3  On                                   Off\r
    4  Outlet4                              Off*\r
\r
CyberPower > """
CYBERPOWER_DELAYS = b"""oltcfg index all show\r
\r
    #  Name                                    On       Off       Reboot\r
                                             Delay     Delay     Duration\r
    -----------------------------------------------------------------------------\r
    1  Outlet1                               3 s        4 s       5 s\r
    2  Outlet2                               3 s        7 s       5 s\r
\r
CyberPower > """
APC_STATES = b"""E000: Success\r
 1: Outlet 1: On\r
 2: Web: Off: On\r
12: Outlet 12: Off\r
13: Outlet 13: Off*\r
"""
WTI_SCREEN = b"""\r
Internet Power Switch v1.41d    Site ID: (undefined)\r
Plug | Name           | Password    | Status | Boot/Seq. Delay | Default |\r
-----+----------------+-------------+--------+-----------------+---------+\r
 1   | (undefined)    | (undefined) |   ON   |     0.5 Secs    |   OFF   |\r
 2   | ON             | (undefined) |   OFF  |     0.5 Secs    |   ON    |\r
 3   | (undefined)    | (undefined) |  OFF*  |     0.5 Secs    |   ON    |\r
-----+----------------+-------------+--------+-----------------+---------+\r
"""
VMR_SCREEN = b"""\r
PLUG | NAME             | STATUS | BOOT/SEQ. DELAY | DEFAULT | PRIORITY |\r
-----+------------------+--------+-----------------+---------+----------+\r
 1   | alpha            |  OFF   |    0.5 Secs     |   ON    |    1     |\r
"""


def test_registry_knows_every_dialect() -> None:
    """What a configuration may name is what there is."""
    assert set(DRIVERS["pdu"].options["dialect"].choices) == set(pdu.DIALECTS)


def test_captured_screens() -> None:
    """Names that say On or Off, other columns and pending states mislead nobody."""
    on, off, unknown = Power.ON, Power.OFF, Power.UNKNOWN
    assert CYBERPOWER.states(plain(CYBERPOWER_STATES)) == {1: on, 2: on, 3: off, 4: unknown}
    assert APC.states(plain(APC_STATES)) == {1: on, 2: on, 12: off, 13: unknown}
    assert WTI.states(plain(WTI_SCREEN)) == {1: on, 2: off, 3: unknown}
    assert WTI.states(plain(VMR_SCREEN)) == {1: off}


def test_captured_delays() -> None:
    """The delay of switching off is the second of three, whatever stands in the header."""
    assert CYBERPOWER.delay is not None
    assert CYBERPOWER.delay.values(plain(CYBERPOWER_DELAYS)) == {1: "4", 2: "7"}


def test_two_rows_of_one_outlet() -> None:
    """A row whose number was garbled into ours makes ours unknown."""
    twice = CYBERPOWER_STATES.replace(b"    1  Outlet1 ", b"    3  Outlet1 ")
    assert CYBERPOWER.states(plain(twice))[3] is Power.UNKNOWN


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        (CYBERPOWER, b"\n\r             ^\r\nError : Command not found\r\n\r\n    devsta\r\n"),
        (CYBERPOWER, b"\r\nIndex number must be 1 to 8\r\n\r\n\r\n"),
        (CYBERPOWER, b"\n\r        ^\r\nError : Parameter Error\r\n    oltctrl index <outlet\r\n"),
        (APC, b"E102: Parameter Error\r\n"),
        (APC, b"E101: Command Not Found\r\n"),
        (WTI, b"\r\nInvalid Plug\r\n"),
    ],
)
def test_refusals(dialect: Dialect, text: bytes) -> None:
    """Every known shape of a refusal is one, with its own words."""
    refusal = dialect.refusal(plain(text))
    assert refusal
    assert refusal in text.decode()


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_answers_are_no_refusals(dialect: Dialect) -> None:
    """No captured screen is taken for a refusal."""
    for screen in (CYBERPOWER_STATES, CYBERPOWER_DELAYS, APC_STATES, WTI_SCREEN, VMR_SCREEN):
        assert dialect.refusal(plain(screen)) is None


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_commands_can_be_erased(dialect: Dialect) -> None:
    """No command is longer than what is erased before every wake-up."""
    queries = [query.command for query in (dialect.delay, dialect.current, dialect.serial) if query]
    for command in (dialect.off, dialect.on, dialect.status, dialect.logout, *queries):
        assert len(command.format(outlet=64, tower="A")) <= COMMAND_CHARACTERS_MAX


@given(st.binary(max_size=300))
def test_anything_is_read(data: bytes) -> None:
    """Whatever comes over a line is lines of ASCII, and no dialect fails on it."""
    text = plain(data)
    assert text.isascii()
    assert "\r" not in text
    for dialect in DIALECTS:
        dialect.states(text)
        dialect.refusal(text)


@given(st.integers(0, 400), st.integers(0, 255))
def test_one_garbled_character_is_never_off(position: int, character: int) -> None:
    """In a screen where all is on, no single garbled character makes anything read off."""
    for dialect, screen in ((CYBERPOWER, CYBERPOWER_STATES), (APC, APC_STATES), (WTI, WTI_SCREEN)):
        all_on = screen.replace(b"Off*", b"On  ").replace(b"OFF*", b"ON  ")
        all_on = all_on.replace(b"Off\r", b"On \r").replace(b" OFF  |", b"  ON  |")
        garbled = bytearray(all_on)
        garbled[position % len(garbled)] = character
        states = dialect.states(plain(bytes(garbled)))
        assert Power.OFF not in states.values()
