# SPDX-License-Identifier: GPL-2.0-or-later
"""The stand-ins for Pacemaker's tools, called as agents call them, beside the real ones."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haagent.resources.crm_shim import DISCONNECTED, NO_SUCH, TOOLS, USAGE, position
from haagent.resources.ocf_notes import STAND_IN

STAND_IN_PATH = Path(sys.executable).with_name(STAND_IN)


class Shim:
    """A directory of stand-ins, and the environment of an agent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.score = folder / "score"
        self.environment = {
            "PATH": "/usr/bin:/bin",
            "HAAGENT_OCF_SCORE": str(self.score),
            "HAAGENT_NODE": "alpha",
            "OCF_RESOURCE_INSTANCE": "db",
        }
        for tool in TOOLS:
            (folder / tool).symlink_to(STAND_IN_PATH)

    def run(self, command: str) -> tuple[int, str]:
        """Run one; its exit code and output."""
        tool, *arguments = command.split()
        done = subprocess.run(
            [self.folder / tool, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        self.complaint = done.stderr
        return done.returncode, done.stdout.strip()


@pytest.fixture
def shim(tmp_path: Path) -> Shim:
    """No score is set."""
    return Shim(tmp_path)


@pytest.mark.parametrize(
    "command",
    [
        "crm_master -l reboot -v 100",  # ocf_promotion_score, older
        "crm_attribute -p -v 100",  # ocf_promotion_score
        "crm_master -Q -l reboot -v 100",  # conntrackd, drbd
        "crm_master -Q -v 100 -l reboot",  # SAPInstance
        "crm_master -N alpha -l reboot -v 100",  # redis, rabbitmq
        "crm_attribute --promotion -v 100",  # pacemaker:Stateful
        "crm_attribute --promotion=db --update=100",
        "crm_attribute -p db --node ALPHA --update 100",
        "crm_attribute -N alpha -n master-db -l reboot -v 100",  # pgsql
        "crm_attribute --lifetime=reboot --name=master-db --node=alpha -v 100",  # sg_persist
        f"crm_attribute -p -N {os.uname().nodename} -v 100",
    ],
)
def test_ways_to_set_a_score(shim: Shim, command: str) -> None:
    """All forms that agents use come to the same."""
    assert shim.run(command) == (0, "")
    assert shim.score.read_text() == "100"
    assert shim.run("crm_master -l reboot -G -q") == (0, "100")


def test_score_is_set_asked_and_deleted(shim: Shim) -> None:
    """The course of a resource; deleting what is not there is success."""
    assert shim.run("crm_attribute -p -D") == (0, "")
    assert shim.run("crm_attribute -p -G -q") == (NO_SUCH, "")
    assert shim.run("crm_attribute -p -G -q -d 3") == (0, "3")
    assert shim.run("crm_attribute -p -v -INFINITY") == (0, "")
    assert shim.run("crm_attribute -p --quiet") == (0, "-INFINITY")
    assert shim.run("crm_attribute -p -v many") == (USAGE, "")
    assert shim.run("crm_attribute -p -v 7") == (0, "")
    assert shim.run("crm_attribute -p -G") == (0, "scope=status  name=master-db value=7")
    assert shim.run("crm_attribute -p -D") == (0, "")
    assert not shim.score.exists()
    assert shim.run("crm_node -n") == (0, "alpha")


@pytest.mark.parametrize(
    "command",
    [
        "crm_attribute -p -N beta -v 100",
        "crm_attribute -p -N beta -G",
        "crm_master -r other -v 5",
        "crm_attribute -p other -v 5",
        "crm_attribute -n db -l reboot -v 5",
        "crm_attribute -N alpha -l reboot --name pgsql-status -v PRI",
        "crm_attribute --type crm_config --name db_REPL_INFO -s mysql_replication --query -q",
        "crm_attribute --type=crm_config --name=stonith-enabled --query --quiet --default=true",
        "crm_attribute -t nodes --node alpha -z -n cpu -v 4",
        "crm_attribute --no-such-option",
        "crm_attribute -p -v",
        "crm_attribute -p -G surplus surplus",
        "attrd_updater -n pingd -U 100",
        "crm_mon -1",
        "crm_node -l",
        "crm_node -i",
        "crm_resource -Q -r db -z -g cpu",
        "cibadmin -Q",
        "stonith_admin --reboot=beta",
    ],
)
def test_no_cluster(shim: Shim, command: str) -> None:
    """Everything else is answered as where no cluster runs, in words that agents look for."""
    assert shim.run(command) == (DISCONNECTED, "")
    assert "not connected" in shim.complaint
    assert not shim.score.exists()


def test_outside_of_an_agent(shim: Shim) -> None:
    """Without the environment of an agent there is nothing to ask."""
    for name in ("HAAGENT_OCF_SCORE", "HAAGENT_NODE", "OCF_RESOURCE_INSTANCE"):
        del shim.environment[name]
    assert shim.run("crm_master -v 5") == (DISCONNECTED, "")
    assert shim.run("crm_node -n") == (DISCONNECTED, "")


def test_score_that_cannot_be_kept(shim: Shim) -> None:
    """A full or missing directory is a failure in one line, no traceback."""
    shim.environment["HAAGENT_OCF_SCORE"] = "/nonexistent/score"
    assert shim.run("crm_master -v 5") == (NO_SUCH, "")
    assert len(shim.complaint.splitlines()) == 1


CIB = """<cib crm_feature_set="3.16.2" validate-with="pacemaker-3.9" epoch="1" num_updates="0"
 admin_epoch="0"><configuration><crm_config/><nodes><node id="1" uname="alpha"/></nodes>
 <resources/><constraints/></configuration><status><node_state id="1" uname="alpha">
 <transient_attributes id="1"><instance_attributes id="status-1">
 <nvpair id="status-1-master-db" name="master-db" value="5"/>
 </instance_attributes></transient_attributes></node_state></status></cib>
"""


@pytest.mark.parametrize(
    "options",
    [
        *["crm_attribute -N alpha -p -G", "crm_attribute -N alpha -p -G -q"],
        *["crm_attribute -N alpha -p", "crm_attribute -N alpha -l reboot -n master-db -q"],
        *["crm_attribute -N alpha -p -Gq -d 9", "crm_master -N alpha -l reboot -G"],
        *["crm_master -N alpha -l reboot -G -q", "crm_master -N alpha -l reboot -Q"],
        *["crm_attribute --promotion --node=alpha --query", "crm_attribute -p db -N alpha -Gq"],
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_same_answer_as_pacemaker(shim: Shim, options: str, known: bool) -> None:  # noqa: FBT001  # a parameter
    """The real tools, with a cluster's state in a file, say the same with the same exit code."""
    tool, *arguments = options.split()
    real = shutil.which(tool, path="/usr/sbin:/usr/bin")
    assert real, "pacemaker-cli-utils is not installed"
    cib = shim.folder / "cib.xml"
    cib.write_text(CIB if known else CIB.replace("master-db", "master-x"))
    environment = {
        "CIB_file": str(cib),
        "OCF_RESOURCE_INSTANCE": "db",
        "PATH": "/usr/sbin:/usr/bin",
    }
    done = subprocess.run(
        [real, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if known:
        shim.score.write_text("5")
    assert shim.run(options) == (done.returncode, done.stdout.strip())


def test_same_exit_code_without_a_cluster(shim: Shim) -> None:
    """The real tools end like that where no cluster runs."""
    for command in ("crm_mon -1", "crm_node -l", "crm_attribute -n x -G"):
        tool, *arguments = command.split()
        real = shutil.which(tool, path="/usr/sbin:/usr/bin")
        assert real, "pacemaker-cli-utils is not installed"
        done = subprocess.run([real, *arguments], capture_output=True, check=False)
        assert done.returncode == DISCONNECTED
        assert shim.run(command)[0] == DISCONNECTED


@given(st.text())
def test_any_text_is_a_score_or_none(text: str) -> None:
    """Whatever is in the file: a bounded number, or none."""
    score = position(text)
    assert score is None or -1_000_000 <= score <= 1_000_000


@pytest.mark.parametrize(
    ("text", "score"),
    [("5\n", 5), ("+5", 5), ("-7", -7), ("999999999", 1_000_000), ("+INFINITY", 1_000_000)],
)
def test_scores(text: str, score: int) -> None:
    """Numbers and infinities."""
    assert position(text) == score
