# SPDX-License-Identifier: GPL-2.0-or-later
"""`make hil-rehearsal`: the virtual pair given to `pytest hil --bench` as if it were a rack.

What runs the scenarios there has ssh, IPMI, the pseudo-terminals of PDUs and a switch's command,
in the operator's network; of QEMU it knows nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import pexpect

from hil.agent import GROUP
from hil.namespaces import inside
from hil.network import VIP
from hil.pair import BMC_PORT, BMC_USER, NODES, PASSWORD, bmc_address, ports
from hil.pdu.makes import MAKES
from hil.processes import ROOT
from hil.qemu.configuration import Settings
from hil.qemu.furniture import service_files
from hil.qemu.image import image
from hil.qemu.lab import OPERATOR, VirtualLab
from hil.qemu.proof import RETURN_LIMIT_S, ready
from hil.qemu.saved import resumed
from hil.qemu.shell import EXIT_NOT_ROOT, leave_in_order
from hil.qemu.supplies import APC, OUTLETS
from hil.qemu.switchboard import Switchboard
from hil.ssh import STRANGER

CLUSTER = "bench"
LAN, MANAGEMENT = OPERATOR[1].interface, OPERATOR[0].interface
"""Of the operator's machine."""
RUN_LIMIT_S = 3600.0
ASKED_LIMIT_S = 120.0
_PASSWORD_FILE = "lab.password"  # noqa: S105  # its name


@dataclass(frozen=True, slots=True)
class Rack:
    """A virtual pair, ready, as an operator has it."""

    lab: VirtualLab
    port: Path
    """The command of its switches."""


@contextmanager
def rack() -> Iterator[Rack]:
    """Such a pair, until the end of the context."""
    with resumed(image()) as lab:
        lab.power_on()
        ready(lab)
        # Who reads the power from outside must be able to, before the takeover.
        lab.configure(Settings(off_settle="2s"))
        ready(lab, limit_s=RETURN_LIMIT_S)
        for guest in lab.machines.values():
            guest.run("rm", *service_files())  # it goes on to run; the lab has to bring it
            guest.ssh.close()
        switches = Switchboard(lab, lab.directory / "switches")
        try:
            yield Rack(lab, switches.command)
        finally:
            switches.close()


def inventory(rack: Rack, interface: str, *, mains: bool) -> Path:
    """Write down how a pair is reached, as its operator would.

    Args:
        rack: The pair.
        interface: Of the operator's machine, through which the pair is watched.
        mains: Whether the bench has a PDU of its own.
    """
    lab = rack.lab
    secret = lab.directory / _PASSWORD_FILE
    secret.touch(0o600)
    secret.write_text(f"{PASSWORD}\n")
    head = {"cluster": CLUSTER, "group": GROUP, "address": VIP, "interface": interface}
    lines = [*_keys({**head, "boot_limit": f"{RETURN_LIMIT_S:.0f}s"})]
    for name in NODES:
        login = [*STRANGER, "-i", str(lab.image.login_key)]
        console = ["/usr/bin/tail", "-n", "+1", "-F", str(lab.machines[name].server.console)]
        address = ports(name)[2].addresses[0].partition("/")[0]
        server = {"name": name, "ssh": f"root@{address}", "ssh_options": login}
        lines += ["[[server]]", *_keys({**server, "interface": "eth0", "console": console})]
        bmc = {"driver": "ipmi", "address": bmc_address(name), "user": BMC_USER}
        lines += ["[server.bmc]", *_keys({**bmc, "password_file": _PASSWORD_FILE})]
        lines += [f"options = {{ port = {BMC_PORT} }}"]
        if mains:
            make, path = MAKES[APC], str(lab.mains[name].pdu.path)
            pdu = {"driver": "pdu", "address": path, "user": make.user}
            lines += ["[server.mains]", *_keys({**pdu, "password_file": _PASSWORD_FILE})]
            lines += [f'options = {{ dialect = "{make.dialect}", outlets = {list(OUTLETS)} }}']
        for wire in ("lan", "ring"):
            commands = {state: [str(rack.port), name, wire, state] for state in ("down", "up")}
            lines += [f"[server.ports.{wire}]", *_keys(commands)]
    file = lab.directory / f"{interface}.toml"
    file.write_text("\n".join(lines) + "\n")
    return file


def _keys(values: Mapping[str, object]) -> list[str]:
    """Lines of TOML; texts and lists of texts are written there as in JSON."""
    return [f"{key} = {json.dumps(value)}" for key, value in values.items()]


def play(
    rack: Rack, words: Sequence[str], show: TextIO, *, interface: str = LAN, mains: bool = True
) -> int:
    """Run scenarios through an inventory, at a terminal where the operator is asked and answers.

    Args:
        rack: The pair.
        words: For pytest.
        show: Gets what the operator sees.
        interface: As for `inventory`.
        mains: As for `inventory`.

    Returns:
        pytest's exit status.
    """
    file = inventory(rack, interface, mains=mains)
    pytest = [sys.executable, "-m", "pytest", "hil", "--bench", str(file), *words]
    program, *rest = [*inside(rack.lab.operator_pid), *pytest]
    run = pexpect.spawn(program, rest, cwd=str(ROOT), encoding="utf-8", timeout=ASKED_LIMIT_S)
    run.logfile_read = show
    try:
        if run.expect([rf"name \({CLUSTER}\): ", pexpect.EOF]) == 0:
            run.sendline(CLUSTER)
            run.expect(pexpect.EOF, timeout=RUN_LIMIT_S)
    finally:
        run.close()
    return run.exitstatus if run.exitstatus is not None else -1


def main() -> None:
    """Run what is asked for, the smoke set if nothing is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="for pytest, after --; -m smoke if left out")
    given = parser.parse_args()
    if os.geteuid() != 0:
        sys.stderr.write("hil: virtual servers need root, for their networks\n")
        raise SystemExit(EXIT_NOT_ROOT)
    leave_in_order()
    with rack() as pair:
        status = play(pair, given.words or ["-m", "smoke"], sys.stdout)
    raise SystemExit(status)


if __name__ == "__main__":
    main()
