# SPDX-License-Identifier: GPL-2.0-or-later
"""[[fence]] tables of any driver become device settings, or every reason why not."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from uuid import UUID

import pytest
from fence_texts import AGENT, BMC, PDU, REDFISH, WORD, tables
from hypothesis import given
from hypothesis import strategies as st

from fencing import DeviceSettings, Secret
from fencing.config import device_table
from fencing.config.device_table import read_fences
from fencing.config.shared_devices import check_devices
from fencing.config.tables import TableError, load_fences
from fencing.drivers import DRIVERS

HOME = Path(__file__).parents[3]
NewSite = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> NewSite:
    """Writes a file beside its password, and gives its path."""
    password = tmp_path / "password"
    password.touch(mode=0o600)
    password.write_text(f"{WORD}\n")

    def write_file(text: str) -> Path:
        file = tmp_path / "fence.toml"
        file.write_text(text)
        return file

    return write_file


def refusal(file: Path) -> list[str]:
    """Lines of the refusal, less the file's name; none is broken and none shows the password."""
    with pytest.raises(TableError) as caught:
        load_fences(file)
    start, lines = f"{file}: ", caught.value.lines
    assert str(caught.value) == "\n".join(lines)
    assert WORD not in "".join(lines)
    assert all(line.startswith(start) and line.isprintable() for line in lines), lines
    return [line.removeprefix(start) for line in lines]


def test_one_table_of_every_driver(write: NewSite) -> None:
    """A file of fence tables alone becomes the devices of each node, whatever their drivers."""
    nodes = load_fences(write(BMC + PDU + REDFISH + AGENT))
    assert list(nodes) == ["alpha", "beta"]
    (bmc, pdu), (redfish, agent) = nodes["alpha"], nodes["beta"]
    assert bmc == DeviceSettings(
        name="alpha-bmc",
        driver="ipmi",
        address="203.0.113.11",
        user="haagent",
        password=bmc.password,
    )
    assert bmc.password.reveal() == WORD.encode()
    assert (pdu.level, pdu.address) == (2, "/dev/pdu")
    assert pdu.options == {"dialect": "apc", "outlets": (3, 4)}
    assert (pdu.user, pdu.password.reveal(), pdu.kg) == ("", b"", None)
    assert redfish.driver == "redfish"
    assert agent.options == {
        "agent": "fence_dummy",
        "type": "file",
        "random_sleep_range": 3,
        "wait": 1.5,
        "quiet": True,
    }


def test_every_key_arrives(write: NewSite, tmp_path: Path) -> None:
    """Durations become seconds, the identity a UUID, and the BMC key the bytes of its file."""
    kg = tmp_path / "kg"
    kg.touch(mode=0o600)
    kg.write_text("0xc0ffee\n")
    text = BMC + (
        'level = 3\nkg_file = "kg"\noff_settle = "1500ms"\ndeadline = "1m"\ncheck_every = "90s"\n'
        'identity = "B1234567-89AB-cdef-a123-456789abcdef"\n'
        'options = { port = 6230, logon = "1.5s", suites = [3], privilege = "administrator" }\n'
    )
    (device,) = load_fences(write(text))["alpha"]
    assert device.kg is not None
    assert device.kg.reveal() == b"\xc0\xff\xee"
    assert (device.level, device.off_settle_s, device.deadline_s) == (3, 1.5, 60.0)
    assert device.check_every_s == 90.0
    assert device.expect_identity == UUID("b1234567-89ab-cdef-a123-456789abcdef")
    assert device.options == {
        "port": 6230,
        "logon": 1.5,
        "suites": (3,),
        "privilege": "administrator",
    }
    assert WORD not in repr(device)
    assert "c0ffee" not in repr(device)


def test_a_whole_haagent_file(write: NewSite) -> None:
    """Of a full configuration only the fence tables count here, sound or not in the rest."""
    file = write(f'cluster = 3\n[timing]\nnonsense = true\n[[node]]\nname = "alpha"\n{BMC}')
    assert [device.name for device in load_fences(file)["alpha"]] == ["alpha-bmc"]


REFUSALS = [
    (BMC, ('node = "alpha"\n', ""), "fence.alpha-bmc.node: -: is missing"),
    (BMC, ('name = "alpha-bmc"\n', ""), "fence.#1.name: -: is missing"),
    (BMC, ('driver = "ipmi"\n', ""), "fence.alpha-bmc.driver: -: is missing; one of agent,"),
    (BMC, ('"ipmi"', '"ipmy"'), 'fence.alpha-bmc.driver: "ipmy": no driver; did you mean ipmi?'),
    (BMC, ('"ipmi"', "[1]"), "fence.alpha-bmc.driver: (an array): no driver; one of agent"),
    (BMC, ('user = "haagent"\n', ""), "fence.alpha-bmc.user: -: is missing; ipmi needs an account"),
    (BMC, ('password_file = "password"\n', ""), "fence.alpha-bmc.password_file: -: is missing"),
    (BMC, ('address = "203.0.113.11"\n', ""), "fence.alpha-bmc.address: -: is missing; ipmi needs"),
    (BMC, ("203.0.113.11", "203.0.113.256"), 'fence.alpha-bmc.address: "203.0.113.256": not an'),
    (BMC, ("203.0.113.11", "/dev/ttyS0"), "fence.alpha-bmc.address: "),
    (BMC, ("203.0.113.11", "224.0.0.1"), "fence.alpha-bmc.address: "),
    (BMC, ('"password"', '"nothing"'), "fence.alpha-bmc.password_file: (not shown): cannot be"),
    (BMC, ('"password"', "7"), "fence.alpha-bmc.password_file: (not shown): not a text"),
    (BMC, ("user =", "usr ="), "fence.alpha-bmc.usr: (not shown): unknown key; did you mean user?"),
    (BMC, ("user =", f'password = "{WORD}"\nuser ='), "fence.alpha-bmc.password: (not shown): unk"),
    (
        BMC,
        ("user =", "port = 623\nuser ="),
        "fence.alpha-bmc.port: (not shown): unknown key; it is",
    ),
    (BMC, ("user =", "level = true\nuser ="), "fence.alpha-bmc.level: true: not an integer"),
    (BMC, ("user =", "level = 9\nuser ="), "fence.alpha-bmc.level: 9: out of range; 1 to 8"),
    (BMC, ("user =", "deadline = 20\nuser ="), "fence.alpha-bmc.deadline: 20: a duration carries"),
    (BMC, ("user =", 'deadline = "2 s"\nuser ='), 'fence.alpha-bmc.deadline: "2 s": not a duratio'),
    (BMC, ("user =", 'deadline = "6m"\nuser ='), 'fence.alpha-bmc.deadline: "6m": out of range'),
    (BMC, ("user =", 'deadline = "2s"\nuser ='), 'fence.alpha-bmc.off_settle: "2s": not below de'),
    (BMC, ("user =", 'identity = "x"\nuser ='), 'fence.alpha-bmc.identity: "x": not a UUID'),
    (BMC, ("user =", "options = 3\nuser ="), "fence.alpha-bmc.options: (not shown): not a table"),
    (PDU, ('"/dev/pdu"', '"203.0.113.9"'), 'fence.alpha-pdu.address: "203.0.113.9": not the path'),
    (PDU, ("level = 2", 'kg_file = "kg"'), "fence.alpha-pdu.kg_file: (not shown): pdu has no such"),
    (PDU, ("dialect =", "dialekt ="), "fence.alpha-pdu.options.dialekt: (not shown): unknown opt"),
    (PDU, ("dialect =", "dialekt ="), "fence.alpha-pdu.options.dialect: -: is missing; how this"),
    (PDU, ('"apc"', '"apcc"'), "fence.alpha-pdu.options.dialect: (not shown): must be "),
    (PDU, ("[3, 4]", "[3, 65]"), "fence.alpha-pdu.options.outlets: (not shown): out of range"),
    (PDU, ("[3, 4]", "[3, 3]"), "fence.alpha-pdu.options.outlets: (not shown): lists a number"),
    (PDU, ("[3, 4]", "[]"), "fence.alpha-pdu.options.outlets: (not shown): not a list of 1 to"),
    (PDU, ("[3, 4]", '["all"]'), "fence.alpha-pdu.options.outlets: (not shown): not an integer"),
    (PDU, ("[3, 4]", "[true]"), "fence.alpha-pdu.options.outlets: (not shown): not an integer"),
    (PDU, ("[3, 4]", "3"), "fence.alpha-pdu.options.outlets: 3: not a list of 1 to"),
    (PDU, ("[3, 4]", "[3], baud = 1"), "fence.alpha-pdu.options.baud: 1: out of range; integer, 3"),
    (PDU, ("[3, 4]", '[3], answer = "1h"'), "fence.alpha-pdu.options.answer: (not shown): out of"),
    (PDU, ("[3, 4]", "[3], answer = 1"), "fence.alpha-pdu.options.answer: 1: a duration carries"),
    (PDU, ("[3, 4]", f'[3], passwd = "{WORD}"'), "fence.alpha-pdu.options.passwd: (not shown): a"),
    (
        REDFISH,
        ("user =", 'options = { ca_file = "ca" }\nuser ='),
        "fence.beta-bmc.options.ca_file: ",
    ),
    (AGENT, ("level = 2", 'address = "192.0.2.1"'), "fence.beta-agent.address: (not shown): agent"),
    (AGENT, ('agent = "fence_dummy", ', ""), "fence.beta-agent.options.agent: -: is missing"),
    (AGENT, ("wait = 1.5", "wait = inf"), "fence.beta-agent.options.wait: (not shown): not an opt"),
    (
        AGENT,
        ("wait =", f'login_token = "{WORD}", w ='),
        "fence.beta-agent.options.login_token: (no",
    ),
    (AGENT, ("wait =", f'hexadecimal_kg = "{WORD}", w ='), "fence.beta-agent.options.hexadecimal_"),
    (AGENT, ("wait =", '"a b" = 1, w ='), 'fence.beta-agent.options."a b": (not shown): not the n'),
    (AGENT, ("1.5", '"""two\nlines"""'), "fence.beta-agent.options.wait: (not shown): not a text"),
]


@pytest.mark.parametrize(("text", "change", "line"), REFUSALS, ids=[row[2] for row in REFUSALS])
def test_refused_by_key_and_reason(
    write: NewSite, text: str, change: tuple[str, str], line: str
) -> None:
    """What is wrong is said with its key path, and with its value if that is harmless."""
    old, new = change
    assert old in text, old
    lines = refusal(write(text.replace(old, new, 1)))
    assert any(said.startswith(line) for said in lines), lines


def test_no_problem_hides_another(write: NewSite, tmp_path: Path) -> None:
    """Every key, option and file of every table is judged, however broken its neighbours are."""
    (tmp_path / "open").write_text(WORD)
    text = BMC.replace('"password"', '"open"').replace('"alpha"', '"not a name"')
    text += 'level = 0\ndeadline = "1s"\noptions = { port = 0, suits = [3], kg = 1 }\n'
    text += PDU.replace("[3, 4]", '"all"') + "[[fence]]\nlevel = 1\n"
    said = {line.partition(": ")[0] for line in refusal(write(text))}
    assert said == {
        "fence.alpha-bmc.node",
        "fence.alpha-bmc.level",
        "fence.alpha-bmc.off_settle",
        "fence.alpha-bmc.password_file",
        "fence.alpha-bmc.options.port",
        "fence.alpha-bmc.options.suits",
        "fence.alpha-bmc.options.kg",
        "fence.alpha-pdu.options.outlets",
        "fence.#3.name",
        "fence.#3.node",
        "fence.#3.driver",
    }


def test_a_wrong_time_is_said_once(write: NewSite) -> None:
    """A deadline that cannot be read says nothing about the time before it."""
    lines = refusal(write(BMC + 'off_settle = "30s"\ndeadline = "1 m"\n'))
    assert [line.partition(": ")[0] for line in lines] == ["fence.alpha-bmc.deadline"]


def test_a_password_file_open_to_others_is_refused(write: NewSite, tmp_path: Path) -> None:
    """A password that others can read is refused, and so is a BMC key."""
    (tmp_path / "kg").write_text(WORD)
    (tmp_path / "password").chmod(0o640)
    (tmp_path / "kg").chmod(0o604)
    lines = refusal(write(BMC + 'kg_file = "kg"\n'))
    assert lines == [
        'fence.alpha-bmc.password_file: "password": has mode 0640, others can read it; chmod 0600',
        'fence.alpha-bmc.kg_file: "kg": has mode 0604, others can read it; chmod 0600',
    ]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("", "fence: -: is missing"),
        ("fence = []", "fence: (an array): 0 entries; 1 to 16 [[fence]] are needed"),
        ("fence = 3", "fence: (not shown): not an array of tables"),
        (f'fence = ["{WORD}"]', "fence.#1: (not shown): not a table"),
        ("[[fence]]\n" * 17, "fence: (an array): 17 entries"),
        ("a = ", "-: -: not TOML"),
    ],
)
def test_files_without_fences_are_refused(write: NewSite, content: str, line: str) -> None:
    """A file of which no device can be made is refused in lines, never by a traceback."""
    lines = refusal(write(content))
    assert any(said.startswith(line) for said in lines), lines


def test_no_more_tables_are_read_than_there_may_be(write: NewSite) -> None:
    """A file of very many tables gives no more lines than a person can use."""
    lines = refusal(write("[[fence]]\n" * 1000))
    assert lines[0] == "fence: (an array): 1000 entries; 1 to 16 [[fence]] are needed"
    assert any(line.startswith("fence.#16.") for line in lines)
    assert not any(line.startswith("fence.#17.") for line in lines)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """A path that cannot be read is one line."""
    with pytest.raises(TableError, match="cannot be read"):
        load_fences(tmp_path / "none.toml")


def test_entries_are_compared(write: NewSite) -> None:
    """A file of two entries that are one device is refused, and so is one of two machines' UUID."""
    assert "the same device" in refusal(write(BMC + BMC.replace("alpha", "beta")))[0]
    uuid = 'identity = "b1234567-89ab-cdef-a123-456789abcdef"\n'
    assert "fence.beta-bmc.identity" in refusal(write(BMC + uuid + REDFISH + uuid))[0]


def test_a_host_name_is_a_warning() -> None:
    """A name is accepted, and its owner told that name service may be what failed."""
    fences = read_fences(tomllib.loads(BMC.replace("203.0.113.11", "bmc.example.org")))
    (problem,) = fences.problems
    assert (problem.where, problem.refuses) == ("fence.alpha-bmc.address", False)
    assert fences.whole


def test_what_is_shared_is_blind_to_spelling_and_secrets() -> None:
    """Defaults, secrets and where they are kept are no part of what both nodes must agree in."""
    (plain,) = tables(BMC)
    (spelt,) = tables(
        BMC.replace('"password"', '"./other"')
        + 'level = 1\nkg_file = "kg"\noff_settle = "2000ms"\noptions = {}\n'
    )
    assert plain.shared() == spelt.shared()
    assert set(plain.shared()) == {"name", "node", "driver", "address", "user"}
    (changed,) = tables(BMC + 'off_settle = "3s"\noptions = { suites = [17] }\n')
    assert changed.shared() == plain.shared() | {
        "off_settle": 3_000_000_000,
        "options": {"suites": (17,)},
    }


SCALARS = st.one_of(
    st.text(max_size=300),
    st.integers(),
    st.integers(min_value=2**63).map(lambda number: number * 2**4000),
    st.floats(),
    st.booleans(),
    st.dates(),
    st.sampled_from([WORD, "ipmi", "pdu", "1s", "0s", "203.0.113.11", "/dev/pdu", "alpha"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=5,
)
OPTIONS = st.sampled_from(sorted({name for one in DRIVERS.values() for name in one.options}))
KEYS = st.sampled_from(sorted(device_table.FIELDS))
FENCES = st.fixed_dictionaries(
    {"driver": st.sampled_from(sorted(DRIVERS)) | VALUES},
    optional={"options": st.dictionaries(OPTIONS | st.text(max_size=8), VALUES) | VALUES},
).flatmap(lambda some: st.dictionaries(KEYS, VALUES, max_size=6).map(lambda more: more | some))


@given(raw=st.dictionaries(st.just("fence"), st.lists(FENCES | VALUES, max_size=3) | VALUES))
def test_any_values_are_read_or_refused(raw: Mapping[str, object]) -> None:
    """Any values give tables or problems whose lines stay lines; no traceback, no secret."""
    fences = read_fences(raw)
    problems = (*fences.problems, *check_devices(fences.tables))
    for problem in problems:
        line = problem.line(Path("f"))
        assert line.isprintable()
        assert len(line) < 800
    wanted = raw.get("fence")
    if isinstance(wanted, list) and not any(problem.refuses for problem in fences.problems):
        assert len(fences.tables) == len(wanted)


def test_settings_keep_their_own_options() -> None:
    """What a table holds cannot be changed behind it."""
    (table,) = tables(PDU)
    assert isinstance(table.options, MappingProxyType)


def test_fencing_reads_its_tables_alone() -> None:
    """Reading fence tables imports neither haagent, nor pydantic, nor any driver's library."""
    code = (
        "import sys, fencing.config.tables;"
        "print([name for name in ('haagent', 'pydantic', 'pyghmi', 'sushy', 'serial')"
        " if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=HOME, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_secrets_have_no_face(write: NewSite) -> None:
    """A device's secrets are in none of its forms."""
    (device,) = load_fences(write(BMC + 'kg_file = "password"\n'))["alpha"]
    assert WORD not in f"{device!r} {device.password} {device.kg!r} {Secret(WORD.encode())}"
