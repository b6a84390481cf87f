# SPDX-License-Identifier: GPL-2.0-or-later
"""fence_haagent by the contract of the fence agents: stdin, command line, exit status, metadata."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from agent_bench import runs, until
from fence_bench import PASSWORD, sessions, simulator
from haagent_bench import Entry, called, configuration, program, told

from fencing.drivers.metadata import read
from fencing.fence_agent.contract import ACTIONS, RefusedError, Request, from_lines
from hil.bmc import IpmiSim
from hil.fence_agent import BenchAgent

SCHEMA = Path("/usr/share/cluster/relaxng/metadata.rng")


@pytest.fixture
def haagent(tmp_path: Path) -> Path:
    """The program."""
    return program(tmp_path)


@pytest.fixture
def bmc(tmp_path: Path) -> Iterator[IpmiSim]:
    """A BMC that is up."""
    with simulator(tmp_path / "bmc") as running_bmc:
        yield running_bmc


@pytest.fixture
def file(tmp_path: Path, bmc: IpmiSim) -> Path:
    """The configuration of one node with one BMC."""
    return configuration(tmp_path, Entry("alpha", bmc))


def _agents(folder: Path, *names: str) -> list[BenchAgent]:
    return [BenchAgent(folder / name) for name in names]


def test_metadata_are_valid(haagent: Path, tmp_path: Path) -> None:
    """The metadata are what fence-agents' own schema wants of every agent."""
    for parameters in ({"action": "metadata"}, {"action": "meta-data"}, {"option": "metadata"}):
        done = told(haagent, parameters)
        assert done.returncode == 0
        assert done.stderr == ""
    (tmp_path / "metadata.xml").write_text(done.stdout)
    command = ["xmllint", "--noout", "--relaxng", str(SCHEMA), str(tmp_path / "metadata.xml")]
    checked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert checked.returncode == 0, checked.stderr
    assert read(done.stdout).actions == set(ACTIONS)


def test_metadata_need_nothing(haagent: Path) -> None:
    """Metadata are there without a configuration, with next to nothing imported."""
    script = haagent.read_text().replace(
        "sys.exit(main())",
        "main(); print(*sorted(sys.modules), file=sys.stderr)",
    )
    haagent.write_text(script)
    done = called(haagent, "-o", "metadata", "--config", "/nowhere")
    assert "<resource-agent" in done.stdout
    assert not {"asyncio", "structlog", "tomllib", "pyghmi"} & set(done.stderr.split())


def test_command_line_metadata(haagent: Path) -> None:
    """Both ways of asking give the same metadata."""
    assert (
        called(haagent, "--action=metadata").stdout == told(haagent, {"action": "metadata"}).stdout
    )


def test_off_status_on(haagent: Path, bmc: IpmiSim, file: Path) -> None:
    """A node is read on, cut, read off, and given its power back; no session is left."""
    parameters = {"config": file, "plug": "alpha"}
    done = told(haagent, parameters | {"action": "status"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "Status: ON\n", "")
    done = told(haagent, parameters | {"action": "off"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "Success: Powered OFF\n", "")
    assert bmc.power == "off"
    assert told(haagent, parameters | {"action": "status"}).returncode == 2
    assert told(haagent, parameters | {"action": "off"}).returncode == 0, "off when it is off"
    assert told(haagent, parameters | {"action": "on"}).returncode == 0
    assert bmc.power == "on"
    assert sessions(bmc) == 0


def test_reboot(haagent: Path, bmc: IpmiSim, file: Path) -> None:
    """A reboot is off, proved, then on."""
    done = called(haagent, "-o", "reboot", "-n", "alpha", "-c", file)
    assert (done.returncode, done.stdout) == (0, "Success: Rebooted\n")
    orders = [line for line in bmc.log if line.startswith("set power")]
    assert [line.split()[2] for line in orders] == ["0", "1"]
    assert bmc.power == "on"


def test_reboot_that_stays_off(haagent: Path, tmp_path: Path) -> None:
    """A node that is proved off is fenced, although it does not come back."""
    (agent,) = _agents(tmp_path, "only-off")
    metadata = agent.directory / "metadata.xml"
    metadata.write_text(metadata.read_text().replace('<action name="on" automatic="0"/>', ""))
    file = configuration(tmp_path, Entry("alpha", agent))
    done = told(haagent, {"action": "reboot", "plug": "alpha", "config": file})
    assert (done.returncode, done.stdout) == (0, "Success: Rebooted\n")
    assert "proved off, and is not known to be on again" in done.stderr
    assert agent.power == "off"


@pytest.mark.parametrize("action", ["off", "reboot"])
def test_no_proof(haagent: Path, tmp_path: Path, action: str) -> None:
    """S3: an order that was taken and not carried out is no success, and is not followed by on."""
    (agent,) = _agents(tmp_path, "lazy")
    agent.fault = "ack_only"
    file = configuration(tmp_path, Entry("alpha", agent, deadline="1s"))
    done = told(haagent, {"action": action, "plug": "alpha", "config": file})
    assert done.returncode == 1
    assert done.stdout == ""
    assert "not proved off (unknown)" in done.stderr
    assert "on" not in agent.log


def test_levels(haagent: Path, tmp_path: Path) -> None:
    """The second level is used when the first one cannot be; a level can be chosen."""
    dead, good = _agents(tmp_path, "dead", "good")
    dead.fault = "fail Connection timed out"
    entries = (Entry("alpha", dead, deadline="1s"), Entry("alpha", good, level=2))
    parameters = {"plug": "alpha", "config": configuration(tmp_path, *entries)}
    assert told(haagent, parameters | {"action": "off", "level": 1}).returncode == 1
    assert good.log == ()
    assert told(haagent, parameters | {"action": "off", "level": 3}).returncode == 1
    assert told(haagent, parameters | {"action": "off"}).returncode == 0
    assert good.power == "off"


def test_hedge_after(haagent: Path, tmp_path: Path) -> None:
    """The second level begins beside the first after the file's own `hedge_after`, not ours."""
    lazy, good = _agents(tmp_path, "lazy", "good")
    lazy.fault = "ack_only"
    entries = (Entry("alpha", lazy, deadline="4s"), Entry("alpha", good, level=2))
    file = configuration(tmp_path, *entries)
    tables = file.read_text()
    parameters = {"plug": "alpha", "config": file, "action": "off"}
    file.write_text(f'{tables}[timing]\nhedge_after = "1m"\n')
    began_s = time.monotonic()
    assert told(haagent, parameters).returncode == 0
    # Between our own 2 s and the deadline; a level gives up as soon as no order fits into its rest.
    assert time.monotonic() - began_s >= 3.0
    file.write_text(f'{tables}[timing]\nhedge_after = "soon"\n')
    refused = told(haagent, parameters)
    assert refused.returncode == 1
    assert "timing.hedge_after" in refused.stderr


def test_all_of_a_level(haagent: Path, tmp_path: Path) -> None:
    """A node with two supplies is off when both outlets are, and on while one is."""
    one, two = _agents(tmp_path, "one", "two")
    file = configuration(tmp_path, Entry("alpha", one), Entry("alpha", two))
    parameters = {"plug": "alpha", "config": file, "action": "status"}
    one.power = "off"
    assert told(haagent, parameters).returncode == 0
    two.power = "off"
    assert told(haagent, parameters).returncode == 2
    two.fault = "mute"
    done = told(haagent, parameters)
    assert done.returncode == 1
    assert "device-2: unverifiable" in done.stderr


def test_contradiction(haagent: Path, tmp_path: Path) -> None:
    """Levels that contradict each other about a node leave its power unknown."""
    one, two = _agents(tmp_path, "one", "two")
    file = configuration(tmp_path, Entry("alpha", one), Entry("alpha", two, level=2))
    two.power = "off"
    done = told(haagent, {"plug": "alpha", "config": file, "action": "status"})
    assert (done.returncode, done.stdout) == (1, "")


def test_lists(haagent: Path, tmp_path: Path) -> None:
    """Nodes are listed as other agents list outlets."""
    one, two = _agents(tmp_path, "one", "two")
    two.power = "off"
    file = configuration(tmp_path, Entry("alpha", one), Entry("beta", two))
    assert told(haagent, {"action": "list", "config": file}).stdout == "alpha,\nbeta,\n"
    done = told(haagent, {"action": "list-status", "config": file})
    assert (done.returncode, done.stdout) == (0, "alpha,,ON\nbeta,,OFF\n")


def test_monitor(haagent: Path, tmp_path: Path) -> None:
    """Monitor checks every device of every node, or of one, and names what is wrong."""
    one, two = _agents(tmp_path, "one", "two")
    file = configuration(tmp_path, Entry("alpha", one), Entry("beta", two))
    parameters = {"action": "monitor", "config": file}
    assert told(haagent, parameters).returncode == 0
    two.fault = "fail Connection timed out"
    done = told(haagent, parameters)
    assert done.returncode == 1
    assert "beta: device-2: unreachable" in done.stderr
    assert told(haagent, parameters | {"plug": "alpha"}).returncode == 0


def test_validate(haagent: Path, file: Path, tmp_path: Path) -> None:
    """A configuration is read, and what its levels may take is told; every fault of it is, too."""
    done = told(haagent, {"action": "validate-all", "config": file})
    assert (done.returncode, done.stdout) == (
        0,
        "alpha: off takes at most 5 s, reboot at most 40 s\n",
    )
    bad = tmp_path / "bad.toml"
    bad.write_text(file.read_text().replace("driver", "drover").replace("port", "prot"))
    done = told(haagent, {"action": "validate-all", "config": bad})
    assert done.returncode == 1
    assert done.stderr.count("ERROR: ") > 1
    assert "did you mean driver?" in done.stderr


def test_secret(haagent: Path, file: Path, tmp_path: Path) -> None:
    """A failed fence shows the password nowhere, verbose or not."""
    wrong = f"not-{PASSWORD}"
    (tmp_path / "password").write_text(wrong)
    for action in ("off", "monitor", "status"):
        done = called(haagent, "-v", "-o", action, "-n", "alpha", "-c", file, "--power-timeout=1")
        assert done.returncode == 1
        assert done.stderr
        assert PASSWORD not in done.stdout + done.stderr


def test_verbose(haagent: Path, tmp_path: Path) -> None:
    """Asked to be verbose it shows each step, on stderr."""
    (agent,) = _agents(tmp_path, "one")
    file = configuration(tmp_path, Entry("alpha", agent))
    done = called(haagent, "-v", "-o", "off", "-n", "alpha", "-c", file)
    assert done.stdout == "Success: Powered OFF\n"
    assert done.stderr.count("fence.read") >= 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--actoin", "status"), "unrecognized arguments"),
        (("status",), "unrecognized arguments"),
        (("-o", "fence"), "Unrecognised action"),
        (("-o",), "expected one argument"),
        (("-o", "status"), "needs a plug"),
        (("-o", "status", "-n", "alhpa"), "did you mean alpha?"),
        (("-o", "status", "-n", "alpha", "-l", "x"), "level must be a whole number"),
        (("-o", "off", "-n", "alpha", "--delay", "-1"), "delay must be a whole number"),
        (("-o", "off", "-n", "alpha", "--delay", "1e9"), "delay must be a whole number"),
    ],
)
def test_wrong_usage(haagent: Path, file: Path, arguments: tuple[str, ...], said: str) -> None:
    """S3: wrong usage never ends with 2, which would say that the node is off."""
    done = called(haagent, "-c", file, *arguments)
    assert done.returncode == 1
    assert said in done.stderr


def test_missing_configuration(haagent: Path) -> None:
    """Without a configuration nothing but metadata works, and it is said why."""
    for action in set(ACTIONS) - {"metadata"}:
        done = told(haagent, {"action": action, "plug": "alpha", "config": "/nowhere/x.toml"})
        assert done.returncode == 1, action
        assert "cannot be read" in done.stderr


def test_ended_by_the_cluster(haagent: Path, tmp_path: Path) -> None:
    """A cluster that gives it up kills its process group: nothing goes on."""
    (agent,) = _agents(tmp_path, "hanging")
    agent.fault = "hang 23456789"
    file = configuration(tmp_path, Entry("alpha", agent, deadline="50s"))
    text = f"action=off\nplug=alpha\nconfig={file}\n"
    with subprocess.Popen(
        [str(haagent)], stdin=subprocess.PIPE, text=True, env={}, start_new_session=True
    ) as process:
        assert process.stdin is not None
        process.stdin.write(text)
        process.stdin.close()
        until(lambda: agent.hanging and runs("23456789"))
        process.kill()
    until(lambda: not runs("23456789") and not runs(str(agent.program)))
    assert agent.power == "on"


def _request(text: str) -> Request:
    return from_lines(text.splitlines(keepends=True))


def test_stdin_rules(capsys: pytest.CaptureFixture[str]) -> None:
    """Comments, blank lines, quotes, dashes, names of before, last wins, unknown names ignored."""
    request = _request(
        "# action=off\n\n  action=on\naction=STATUS\nport=alpha\npower-timeout=7\n"
        'config="/a b=c.toml"\nverbose=yes\npasswd=hidden-1\nnodename=beta\n'
    )
    assert request == Request(
        action="status",
        node="alpha",
        configuration=Path("/a b=c.toml"),
        level=None,
        power_timeout_s=7,
        delay_s=0,
        verbose=True,
    )
    warning = capsys.readouterr().err
    assert "'passwd' is ignored" in warning
    assert "hidden-1" not in warning


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("nodename=alpha\n", "alpha"),
        ("nodename=beta\nport=alpha\n", "alpha"),
        ("nodename=beta\nplug=alpha\nport=gamma\n", "alpha"),
        ("", ""),
    ],
)
def test_node(text: str, node: str) -> None:
    """The node is the plug; else the port; else the name that a cluster always sends."""
    request = _request(text)
    assert request.node == node
    assert request.action == "reboot", "as the metadata say"


def test_pacemaker_knows_what_is_not_supported() -> None:
    """An unknown action is refused in the words that Pacemaker looks for."""
    with pytest.raises(RefusedError, match=r"(?i)unrecogni[sz]ed action"):
        _request("action=explode\n")
