# SPDX-License-Identifier: GPL-2.0-or-later
"""The udev rules, read by the real udev for a device that this machine has."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TTY = Path("/sys/class/tty/ttyS0")
SCENE = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir /run/udev /run/rules
cp "$@" /usr/lib/udev/rules.d/50-udev-default.rules /run/rules
mount --bind /run/rules /usr/lib/udev/rules.d
cp /etc/group /run/group
echo 'haagent:x:64999:' >> /run/group
mount --bind /run/group /etc/group
mount -t tmpfs -o mode=755 tmpfs /dev
udevadm --debug test --action=add /sys/class/tty/ttyS0
"""
"""In a mount namespace: no other rules, and no device of the machine is touched."""

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not TTY.exists(), reason="needs root and a serial line"
)


def judged(*rules: Path) -> str:
    """What udev says while it applies these rules to the line ttyS0."""
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", SCENE, "sh", *rules],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_a_named_line_gets_link_group_and_mode() -> None:
    """A line that the operator's rules name is /dev/haagent/pdu-NAME, and the group's alone."""
    example = ROOT / "udev/examples/69-haagent-local.rules"
    said = judged(ROOT / "udev/70-haagent.rules", example)
    assert "DEVLINKS=/dev/haagent/pdu-delta" in said
    assert "70-haagent.rules:12 GROUP 64999" in said
    assert "70-haagent.rules:12 MODE 0660" in said
    assert "ID_MM_DEVICE_IGNORE=1" in said


def test_a_line_without_a_name_is_left_alone() -> None:
    """What nobody named keeps the group and mode that the system gives it."""
    said = judged(ROOT / "udev/70-haagent.rules")
    assert "DEVLINKS" not in said
    assert "70-haagent.rules:12" not in said


def test_udev_understands_every_line(tmp_path: Path) -> None:
    """No line of ours, or of the example, is complained of; a misspelt one is."""
    rules = (ROOT / "udev/70-haagent.rules", ROOT / "udev/examples/69-haagent-local.rules")
    assert complaints(judged(*rules)) == []
    broken = tmp_path / "70-haagent.rules"
    broken.write_text(rules[0].read_text().replace("ENV{HAAGENT_PDU}", "ENVY{HAAGENT_PDU}", 1))
    assert len(complaints(judged(broken))) == 1


def complaints(said: str) -> list[str]:
    """The lines in which udev finds fault with a rule of ours."""
    marks = ("Invalid", "invalid", "Unknown", "Failed", "ignoring")
    return [
        line for line in said.splitlines() if "haagent" in line and any(m in line for m in marks)
    ]
