# SPDX-License-Identifier: GPL-2.0-or-later
"""The console against real BMCs: what it does, what it says, and the number it ends with."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from console_bench import Pair, orders, pair, run, see, started
from fence_bench import PASSWORD, sessions, simulator
from haagent_bench import Entry, configuration

from fencing.console import exits
from fencing.console.command import carry_out
from fencing.console.daemon import NoDaemon
from fencing.console.exits import MEANINGS, Exit, RefusedError
from fencing.console.order import Order, Verb
from fencing.console.output import Output
from fencing.console.selection import select
from fencing.console.site import Site, read_site
from fencing.lock import FenceLock, LockedError, lock_path
from hil.fence_agent import BenchAgent

STEP = re.compile(r" +\d+\.\d{3} s  \S.*")


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Pair]:
    """A pair whose power is on."""
    with pair(tmp_path) as found:
        yield found


def test_off_status_on(two: Pair) -> None:
    """Off is proved, read as off and given back; the steps go to stderr, the result to stdout."""
    off = two.run("off", "--yes")
    assert (off.returncode, off.stdout) == (0, "beta: proved off, by device-2 (level 1)\n")
    steps = [line for line in off.stderr.splitlines() if STEP.fullmatch(line)]
    assert any("device-2 is ordered off" in step for step in steps)
    assert [step for step in steps if "reads off" in step][2:], off.stderr
    assert (two.beta.power, two.alpha.power) == ("off", "on")
    status = two.run("status")
    assert (status.returncode, status.stdout.splitlines()[-1]) == (0, "beta: level 1 reads off")
    on = two.run("on", "peer")
    assert (on.returncode, on.stdout) == (0, "beta: read back on\n")
    assert two.beta.power == "on"
    assert sessions(two.beta) == 0


def test_cycle(two: Pair) -> None:
    """Cycle is off, proved, a hold in which nobody else may switch, and on."""
    with two.start("cycle", "--yes") as process:
        see(process, "the power stays off for 5 s")
        assert two.beta.power == "off"
        lock = FenceLock(lock_path(two.socket, "beta"), "the test")
        with pytest.raises(LockedError, match=f"console, .* \\(pid {process.pid}\\) does cycle"):
            asyncio.run(_held(lock))
        told, _ = process.communicate()
    assert process.returncode == 0
    assert told == "beta: proved off, by device-2 (level 1); read back on\n"
    assert orders(two.beta) == ["off", "on"]
    asyncio.run(_held(lock))


async def _held(lock: FenceLock) -> None:
    async with lock.held("a look", 0.0):
        pass


def test_not_proved(two: Pair) -> None:
    """An order that shows no effect is not proved: code 4, and the power is not given back."""
    two.beta.fault = "ack_only"
    done = two.run("cycle", "--yes", "--deadline", "3s")
    assert done.returncode == Exit.UNPROVED
    assert "not proved off, it may be off or go off yet, and was not ordered on" in done.stdout
    assert orders(two.beta) == ["off"]


def test_nothing_ordered(two: Pair) -> None:
    """A device that refuses the login was certainly ordered nothing: code 3, for off and on."""
    (two.folder / "password").write_text("wrong\n")
    for verb in ("off", "on", "cycle"):
        told = two.told(verb, "--yes")
        assert (told["exit"], told["ordered"]) == (Exit.NOT_ORDERED, False)
        assert "nothing was ordered: device-2: " in told["message"]
    assert orders(two.beta) == []


def test_not_on_again(tmp_path: Path) -> None:
    """A machine that does not come back after its proof has a code of its own."""
    agent = BenchAgent(tmp_path / "agent")
    file = configuration(tmp_path, Entry("beta", agent))
    command = [sys.executable, "-m", "fencing", "cycle", "beta", "--yes", "--config", str(file)]
    with started(command) as process:
        see(process, "the power stays off")
        agent.fault = "mute"
        told, _ = process.communicate()
    assert process.returncode == Exit.STILL_OFF
    assert "proved off, by device-1 (level 1), and NOT READ ON again: device-1: " in told


def test_our_own_node(two: Pair) -> None:
    """The node that it runs on is not shot, unless that is what is wanted."""
    for target in ("alpha", "device-1"):
        refused = two.run("off", target, "--yes")
        assert (refused.returncode, refused.stdout) == (Exit.NOT_ORDERED, "")
        assert "alpha is the node that this runs on" in refused.stderr
    assert orders(two.alpha) == []
    assert two.run("off", "alpha", "--yes", "--this-node").returncode == 0
    assert two.alpha.power == "off"


def test_a_part_of_a_level_proves_nothing(tmp_path: Path) -> None:
    """S2 b: one of two supplies read off is reported as such, and never as a proof."""
    with simulator(tmp_path / "one") as one, simulator(tmp_path / "two") as two:
        file = configuration(tmp_path, Entry("beta", one), Entry("beta", two))
        both = Pair(tmp_path, file, one, two)
        told = both.told(
            "off", "--yes", "--device", "device-1", "--node", "beta", "--this-node", "beta"
        )
        assert (told["exit"], told["proof"]) == (Exit.ATTENTION, None)
        assert (
            "device-1 read off; without device-2 of level 1 that proves nothing" in told["message"]
        )
        assert (one.power, two.power) == ("off", "on")
        told = both.told("off", "beta", "--yes", "--node", "beta", "--this-node")
        assert told["exit"] == Exit.DONE
        assert told["proof"]["read_ns"] > 0


def test_levels(tmp_path: Path) -> None:
    """The next level is used when the first fails; --level and --device keep to what they name."""
    with simulator(tmp_path / "one") as one, simulator(tmp_path / "two") as two:
        file = configuration(tmp_path, Entry("beta", one), Entry("beta", two, level=2))
        levels = Pair(tmp_path, file, one, two)
        mine = ("beta", "--node", "beta", "--this-node", "--yes")
        assert levels.run("off", *mine, "--level", "2").returncode == 0
        assert (orders(one), orders(two)) == ([], ["off"])
        assert levels.run("off", *mine, "--device", "device-1").returncode == 0
        assert (orders(one), orders(two)) == (["off"], ["off"])
        assert levels.run("off", "device-2", *mine[1:]).returncode == 0
        one.power, one.fault = "on", "ack_only"
        told = levels.told("off", *mine, "--deadline", "4s")
        assert told["exit"] == 0
        assert "by device-2 (level 2)" in told["message"]
        assert levels.run("off", *mine, "--level", "3").returncode == Exit.USAGE


def test_readiness(two: Pair) -> None:
    """Test checks both nodes: what blocks is 2, what needs a person is 1, each with its remedy."""
    told = two.told("test")
    assert (told["exit"], told["nodes"]) == (Exit.ATTENTION, ["alpha", "beta"])
    (finding,) = told["devices"][1]["findings"]
    assert (finding["code"], finding["blocks"]) == ("restore_policy", False)
    assert finding["remedy"]
    assert told["devices"][0]["identity"] == str(two.alpha.guid)
    (two.folder / "password").write_text("wrong\n")
    done = two.run("test", "beta")
    assert done.returncode == Exit.BLOCKED
    assert "BLOCKS: login_refused: " in done.stdout
    assert "remedy: correct user and password file" in done.stdout
    assert done.stdout.endswith("CANNOT BE COUNTED ON: device-2\n")
    assert two.run("status").returncode == Exit.BLOCKED
    assert (orders(two.alpha), orders(two.beta)) == ([], [])


def test_one_device_for_two_nodes(two: Pair, tmp_path: Path) -> None:
    """A device that both nodes have, by two addresses or an agent, is found by what it tells."""
    told = two.told("test")
    assert "same_device" not in str(told)
    text = two.file.read_text().replace('"127.0.0.1"', '"localhost"', 1)
    text = text.replace(f"port = {two.alpha.port}", f"port = {two.beta.port}")
    two.file.write_text(text)
    for words in ("the same device as", "answers for the machine of"):
        told = two.told("test")
        assert told["exit"] == Exit.BLOCKED
        for device, other in zip(
            told["devices"], ("device-2 of beta", "device-1 of alpha"), strict=True
        ):
            (found,) = (one for one in device["findings"] if one["code"] == "same_device")
            assert f"{words} {other}" in found["text"]
        # Then one that does not tell its hardware address.
        (two.beta.directory / "lan.sh").write_text("#!/bin/sh\nexit 1\n")
    agent = BenchAgent(tmp_path / "agent")
    configuration(tmp_path, Entry("alpha", agent), Entry("beta", agent))
    text = two.file.read_text().replace("[fence.options]\n", "[fence.options]\nipport = 7\n")
    two.file.write_text(f"{text}power_wait = 1\n")
    assert "the same device as device-2 of beta" in two.run("test").stdout


def test_json(two: Pair) -> None:
    """Whatever is asked, the JSON has the same keys; steps and attempts carry their moments."""
    told = two.told("off", "--yes")
    assert told["nodes"] == ["beta"]
    assert told["ordered"] is True
    (attempt,) = told["attempts"]
    moments = [attempt[f"{name}_s"] for name in ("started", "ordered", "first_off", "read_off")]
    assert moments == sorted(moments)
    steps = [step for step in told["steps"] if step["device"] == "device-2"]
    assert [step["s"] for step in steps] == sorted(step["s"] for step in steps)
    assert steps[0]["happened"] == "ordered"
    for step in told["steps"]:
        assert set(step) == {"s", "at_ns", "device", "level", "happened", "text"}
    assert two.told("status")["levels"] == [{"node": "beta", "level": 1, "power": "off"}]
    assert two.told("on", "beta")["ordered"] is True
    assert two.told("off", "gamma", "--yes")["exit"] == Exit.USAGE
    assert two.told("off")["exit"] == Exit.NOT_ORDERED
    two.file.write_text("")
    assert two.told("off", "--yes")["exit"] == Exit.CONFIGURATION


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("off", "gamma", "--yes"), 64, "gamma is neither a node nor a device"),
        (("off", "bet", "--yes"), 64, "did you mean beta?"),
        (("off", "--device", "device-1", "--yes"), 64, "device-1 is no device of beta"),
        (("off", "--node", "gamma", "--yes"), 64, "--node gamma"),
        (("off", "--deadline", "soon", "--yes"), 64, "--deadline: not a duration"),
        (("explode",), 64, "invalid choice"),
        (("off", "--driver", "ipmi", "--yes"), 64, "the device comes from one place"),
        (("off", "--config", "/nowhere", "--yes"), 78, "/nowhere: -: -: cannot be read"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_refused(two: Pair, arguments: tuple[str, ...], code: int, text: str) -> None:
    """Wrong usage is 64 and a bad configuration 78; the reason goes to stderr."""
    done = two.run(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert text in done.stderr
    assert orders(two.beta) == []


def test_open_password_file(two: Pair) -> None:
    """A password file that others can read is refused, and not shown."""
    (two.folder / "password").chmod(0o644)
    done = two.run("off", "--yes")
    assert done.returncode == Exit.CONFIGURATION
    assert "others can read it" in done.stderr
    assert PASSWORD not in done.stderr + done.stdout
    assert orders(two.beta) == []


def test_settle_and_deadline(two: Pair) -> None:
    """A deadline that leaves no time to settle is refused."""
    two.file.write_text(two.file.read_text().replace('off_settle = "0s"', 'off_settle = "2s"'))
    done = two.run("off", "--yes", "--deadline", "2s")
    assert done.returncode == Exit.USAGE
    assert "not above off_settle of device-2, 2s" in done.stderr


def test_one_device_by_options(two: Pair, tmp_path: Path) -> None:
    """A device needs no file: its options are judged as a [[fence]] table is."""
    reach = ["--driver", "ipmi", "--address", "127.0.0.1", "--user", two.beta.user]
    reach += ["--password-file", str(tmp_path / "password"), "--off-settle", "0s"]
    port = ["--option", f"port={two.beta.port}"]
    fencing = [sys.executable, "-m", "fencing"]
    status = run([*fencing, "status", *reach, *port])
    assert (status.returncode, status.stdout.splitlines()[-1]) == (
        0,
        "127.0.0.1: level 1 reads on",
    )
    wrong = ["--identity", str(two.alpha.guid)]
    assert run([*fencing, "off", "--yes", *reach, *port, *wrong]).returncode == Exit.NOT_ORDERED
    assert orders(two.beta) == []
    assert run([*fencing, "off", "--yes", *reach, *port]).returncode == 0
    assert two.beta.power == "off"
    assert run([*fencing, "on", *reach, *port, "--option", "suites=17,3"]).returncode == 0
    for option, text in (("prot=1", "did you mean port?"), ("password=x", "use password_file")):
        refused = run([*fencing, "status", *reach, "--option", option])
        assert refused.returncode == Exit.CONFIGURATION
        assert text in refused.stderr
    assert run([*fencing, "status"]).returncode == Exit.USAGE


def test_names_of_both_kinds(two: Pair) -> None:
    """A name that is a node and a device of the other node is never guessed at."""
    site = read_site(two.file, "alpha", None)
    alphas, betas = site.nodes["alpha"], site.nodes["beta"]
    crossed = (replace(betas[0], name="alpha"),)
    odd = Site({"alpha": alphas, "beta": crossed}, None, 2.0, None)
    with pytest.raises(RefusedError, match="alpha is a node, and a device that cuts beta"):
        select(odd, Order(Verb.OFF, "alpha"))
    with pytest.raises(RefusedError, match="who is the peer"):
        select(odd, Order(Verb.OFF))
    same = Site({"alpha": (replace(alphas[0], name="alpha"),), "beta": betas}, None, 2.0, None)
    assert select(same, Order(Verb.OFF, "alpha"))[0].node == "alpha"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(two: Pair, number: signal.Signals) -> None:
    """In mid order it gives up, leaves no session, and says that the order may be carried out."""
    two.beta.fault = "ack_only"
    with two.start("off", "--yes", "--json", "--deadline", "5m") as process:
        see(process, "reads on")
        process.send_signal(number)
        told, shown = process.communicate()
    assert process.returncode == Exit.INTERRUPTED
    assert '"ordered": true' in told
    assert "an order off was given (device-2 at " in told
    assert "it may be carried out yet, and nothing proves it" in told
    assert "interrupted: giving up" in shown
    assert sessions(two.beta) == 0


def test_interrupted_status(two: Pair) -> None:
    """A check that hangs is given up; nothing was ordered."""
    two.beta.signal(signal.SIGSTOP)
    with two.start("test") as process:
        see(process, "device-1 was checked")
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate()
    two.beta.signal(signal.SIGCONT)
    assert (process.returncode, told) == (Exit.INTERRUPTED, "interrupted: nothing was ordered\n")


@pytest.mark.parametrize("fault", ["none", "ack_only"])
def test_nothing_is_left(two: Pair, fault: str) -> None:
    """When the command has ended, however it ended, so has every worker: nothing comes later."""
    two.beta.fault = fault
    site = read_site(two.file, "alpha", two.socket)
    before = _children()
    for order in (Order(Verb.OFF, yes=True, deadline_s=2.0), Order(Verb.ON), Order(Verb.TEST)):
        carry_out(order, lambda: site, NoDaemon(), Output(None, None))
        assert _children() == before


def _children() -> str:
    """Process ids of our own children, zombies among them."""
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text()


def test_a_bug_is_no_success(capfd: pytest.CaptureFixture[str]) -> None:
    """A bug of ours ends as not proved, never as the 1 of Python, and shows no value."""

    def failing() -> Site:
        raise RuntimeError(PASSWORD)

    code = carry_out(Order(Verb.OFF, yes=True), failing, NoDaemon(), Output.standard())
    told = capfd.readouterr().out
    assert code is Exit.UNPROVED
    assert "this program failed, an order may have been given: RuntimeError: " in told
    assert "failing" in told
    assert PASSWORD not in told


def test_help_and_page_have_the_codes() -> None:
    """Help and page tell every exit code in the words of the code."""
    assert set(MEANINGS) == set(Exit)
    help_text = run([sys.executable, "-m", "fencing", "--help"]).stdout
    assert exits.table() in " ".join(help_text.split())
    page = (Path(__file__).parents[3] / "docs" / "fencing-console.md").read_text()
    rows = re.findall(r"^\| (\d+) \| (.*?) \|$", page, re.MULTILINE)
    assert rows == [(str(int(code)), text) for code, text in MEANINGS.items()]
