# SPDX-License-Identifier: GPL-2.0-or-later
"""An agent whose groups' programs would fail in its confinement refuses to start in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from config_bench import Site, example, with_groups

from haagent.confinement import confined_by_it, no_new_privileges

COMMAND = """
[[group]]
name = "web"
[[group.resource]]
kind = "command"
name = "app"
start = ["/bin/true"]
stop = ["/bin/true"]
monitor = ["/bin/true"]
"""


def run(file: Path, *prefix: str) -> subprocess.CompletedProcess[str]:
    """The agent, which ends by itself: its state directory cannot be made."""
    command = [*prefix, sys.executable, "-m", "haagent", "run", "--config", str(file)]
    return subprocess.run(
        [*command, "--node", "alpha"], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("confined", [True, False])
@pytest.mark.parametrize("text", [with_groups(COMMAND), example()], ids=["command", "address"])
def test_no_new_privileges(tmp_path: Path, text: str, *, confined: bool) -> None:
    """78 with the resource's name under NoNewPrivs, for groups with programs and for no others."""
    site = Site(tmp_path)
    obstacle = tmp_path / "file"
    obstacle.write_text("")
    site.file.write_text(text.replace("/var/lib/haagent", f"{obstacle}/state"))
    ended = run(site.file, *(["setpriv", "--no-new-privs"] if confined else []))
    if confined and "command" in text:
        assert ended.returncode == 78, ended.stderr
        assert "app of web" in ended.stderr
        assert "docs/install.md, Hardening" in ended.stderr
    else:
        assert ended.returncode == 1, ended.stderr
        assert "Not a directory" in ended.stderr


def test_who_is_confined(tmp_path: Path) -> None:
    """Units and addresses are nobody's children."""
    site = Site(tmp_path)
    assert not confined_by_it(site.changed())
    assert confined_by_it(site.load(with_groups(COMMAND))) == "app of web"


def test_reading_the_kernel(tmp_path: Path) -> None:
    """The kernel's own line, of whatever process."""
    status = tmp_path / "status"
    status.write_text("Name:\tx\nNoNewPrivs:\t1\nSeccomp:\t0\n")
    assert no_new_privileges(status)
    status.write_text("Name:\tx\nNoNewPrivs:\t0\nSeccomp:\t1\n")
    assert not no_new_privileges(status)
