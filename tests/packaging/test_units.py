# SPDX-License-Identifier: GPL-2.0-or-later
"""The unit and what belongs to it, judged by systemd's own tools."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from haagent.install import ENVIRONMENT, Owner, lay, take_away
from haagent.resources.spawn import PATH

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "systemd/haagent.service"
GENERATOR = ROOT / "systemd/generator"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A system with our files, and a program where the unit names one."""
    environment = Path(ENVIRONMENT)
    list(lay(Owner.ADMINISTRATOR, root=tmp_path, environment=environment))
    program = tmp_path / "opt/haagent/bin/haagent"
    for path in (program, tmp_path / "bin/sh"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    units = tmp_path / "usr/lib/systemd/system"
    units.mkdir(parents=True)
    for name in ("sysinit", "basic", "shutdown", "multi-user", "timers"):
        (units / f"{name}.target").write_text("[Unit]\nDefaultDependencies=no\n")
    return tmp_path


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze; it needs no systemd."""
    return subprocess.run(
        ["systemd-analyze", "--man=no", *arguments],
        env={"PATH": PATH, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def verified(root: Path) -> str:
    """What systemd says against our unit; of other units of the machine nothing is there."""
    units = ("haagent.service", "haagent-drill.timer", "haagent-drill.service")
    said = analyze("verify", f"--root={root}", *units).stderr
    return "\n".join(line for line in said.splitlines() if "haagent" in line)


def exposure(root: Path) -> float:
    """How much a process of the unit may do, 0 to 10."""
    said = analyze("security", "--offline=yes", f"--root={root}", "haagent.service").stdout
    found = re.search(r"exposure level for haagent.service: ([\d.]+)", said)
    assert found is not None, said
    return float(found[1])


def test_unit_is_verified(root: Path) -> None:
    """Every line of the unit is understood; a misspelt one is named."""
    assert verified(root) == ""
    unit = root / "etc/systemd/system/haagent.service"
    unit.write_text(unit.read_text().replace("KillMode=process", "KillMode=proces"))
    assert "kill mode" in verified(root)
    timer = root / "etc/systemd/system/haagent-drill.timer"
    timer.write_text(timer.read_text().replace("OnCalendar=hourly", "OnCalendar=howrly"))
    assert "howrly" in verified(root)


def test_unit_is_confined(root: Path) -> None:
    """By itself the unit is exposed less than 5; opened for programs it is as before, and valid."""
    confined = exposure(root)
    lay_drop_in(root)
    assert verified(root) == ""
    assert confined < 5 < exposure(root) < 9


def test_observer_may_do_next_to_nothing(root: Path) -> None:
    """Its unit is understood line by line, and its exposure is that of a program of no rights."""
    text = (ROOT / "systemd/haagent-observer.service").read_text()
    (root / "etc/systemd/system/haagent-observer.service").write_text(text)
    said = analyze("verify", f"--root={root}", "haagent-observer.service").stderr
    assert [line for line in said.splitlines() if "haagent" in line] == []
    offline = ("--offline=yes", f"--root={root}", "haagent-observer.service")
    found = re.search(r"exposure level for \S+: ([\d.]+)", analyze("security", *offline).stdout)
    assert found is not None
    assert float(found[1]) < 3


def lay_drop_in(root: Path) -> str:
    """What the generator would lay for a configuration with programs."""
    done = subprocess.run(
        [GENERATOR, "print"], capture_output=True, text=True, timeout=60, check=True
    )
    target = root / "etc/systemd/system/haagent.service.d/10-programs.conf"
    target.parent.mkdir()
    target.write_text(done.stdout)
    return done.stdout


def test_services_inherit_nothing_that_they_miss(root: Path) -> None:
    """Every restriction of the unit that a service started by a child would keep is taken back."""
    opened = dict(re.findall(r"^(\w+)=(.*)$", lay_drop_in(root), re.MULTILINE))
    kept = {"LockPersonality", "SystemCallArchitectures", "SystemCallErrorNumber", "KeyringMode"}
    section = UNIT.read_text().partition("# Hardening")[2].partition("[Install]")[0]
    confined = set(re.findall(r"^(\w+)=", section, re.MULTILINE))
    assert confined - kept == set(opened)
    assert {"NoNewPrivileges", "ProtectSystem", "PrivateTmp", "RestrictSUIDSGID"} <= confined
    assert {key for key, value in opened.items() if value == "no"} == {
        key
        for key in confined - kept
        if key.startswith(("Protect", "Private", "Restrict", "NoNew"))
        and key != "RestrictAddressFamilies"
    }
    for capability in ("CAP_SYS_ADMIN", "CAP_SETUID", "CAP_CHOWN", "CAP_SYS_MODULE", "CAP_KILL"):
        assert capability not in opened["CapabilityBoundingSet"]


def test_unit_waits_for_no_carrier_and_ends_before_the_network() -> None:
    """A direct cable to a peer that is off holds nothing up; a hand-over at the end has its LAN."""
    lines = UNIT.read_text().splitlines()
    ordered = " ".join(line for line in lines if line.startswith(("After=", "Wants=", "Requires=")))
    assert "network-online.target" not in ordered
    assert "After=network.target" in ordered


PROGRAMS = (
    'kind = "ocf"',
    "kind='command'",
    'kind   =   "postgresql"',
    'resource = [{ kind = "ocf", agent = "ocf:heartbeat:Dummy" }]',
    'on_active = ["/bin/true"]',
    'probe = { command = ["/bin/true"] }',
    'driver = "agent"',
)
NONE = ('kind = "systemd"', 'driver = "ipmi"', 'probe = { tcp = "192.0.2.10:80" }', "")


@pytest.mark.parametrize("line", PROGRAMS + NONE)
def test_generator_opens_for_programs_only(tmp_path: Path, line: str) -> None:
    """Whatever of others' programs the configuration names, in any form, opens the unit."""
    file = tmp_path / "haagent.toml"
    file.write_text(f"[[group]]\n{line}\n")
    environment = {"PATH": PATH, "HAAGENT_CONFIG": str(file)}
    normal = tmp_path / "normal"
    subprocess.run([GENERATOR, normal, "early", "late"], env=environment, check=True, timeout=60)
    assert (normal / "haagent.service.d/10-programs.conf").exists() is (line in PROGRAMS)


def test_generator_without_a_configuration(tmp_path: Path) -> None:
    """A node that is not configured yet has nothing to open for, and no error at boot."""
    environment = {"PATH": PATH, "HAAGENT_CONFIG": str(tmp_path / "none")}
    subprocess.run([GENERATOR, tmp_path / "normal"], env=environment, check=True, timeout=60)
    assert not (tmp_path / "normal").exists()


def test_install_lays_for_its_own_environment_and_takes_away(tmp_path: Path) -> None:
    """The unit names the environment it is installed for; removal leaves only others' files."""
    environment = Path("/srv/ha")
    laid = list(lay(Owner.ADMINISTRATOR, root=tmp_path, environment=environment))
    unit = (tmp_path / "etc/systemd/system/haagent.service").read_text()
    assert "/srv/ha/bin/haagent run" in unit
    assert ENVIRONMENT not in unit
    foreign = tmp_path / "usr/sbin/fence_haagent"
    foreign.unlink()
    foreign.symlink_to("/elsewhere")
    removed = list(take_away(Owner.ADMINISTRATOR, root=tmp_path, environment=environment))
    assert {*removed, foreign} == set(laid)
    assert foreign.is_symlink()


def test_sysusers_and_tmpfiles(root: Path) -> None:
    """The group and the folders are made as declared."""
    (root / "etc/passwd").touch()
    (root / "etc/group").touch()
    subprocess.run(["systemd-sysusers", f"--root={root}", "haagent.conf"], check=True, timeout=60)
    assert (root / "etc/group").read_text().startswith("haagent:x:")
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    with (root / "etc/group").open("a") as file:
        file.write("root:x:0:\n")
    command = ["systemd-tmpfiles", "--create", f"--root={root}", "haagent.conf"]
    subprocess.run(command, check=True, timeout=60)
    assert (root / "var/lib/haagent").stat().st_mode & 0o777 == 0o755
    assert (root / "etc/haagent").stat().st_mode & 0o777 == 0o755
