# SPDX-License-Identifier: GPL-2.0-or-later
"""An emulated BMC that dies at its work."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hil.bmc import IpmiSim
from hil.ports import free_port

SCRIPT = """\
#!/bin/sh
cd "${0%/*}" || exit 1
echo > asked
[ -e quick ] || sleep 600
echo power:1
"""


def _question(bmc: IpmiSim) -> list[str]:
    device = ["-I", "lanplus", "-C", "3", "-H", bmc.address, "-p", str(bmc.port)]
    return ["ipmitool", *device, "-U", bmc.user, "-P", bmc.password, "chassis", "power", "status"]


@pytest.mark.parametrize("end", [IpmiSim.kill, IpmiSim.stop])
def test_bmc_that_died_at_an_answer_starts_again(
    tmp_path: Path, end: Callable[[IpmiSim], None]
) -> None:
    """What it ran for the answer has its ports too, and must not keep them."""
    script = tmp_path / "chassis.sh"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    os.mkfifo(tmp_path / "asked")
    bmc = IpmiSim(tmp_path / "bmc", free_port(), chassis_control=str(script), kcs_port=free_port())
    # Open for both, so that the script never waits for us.
    with bmc, (tmp_path / "asked").open("r+b", buffering=0) as asked:
        with subprocess.Popen(_question(bmc)) as client:
            asked.read(1)
            end(bmc)
            client.kill()
        (tmp_path / "quick").touch()
        bmc.start()
        said = subprocess.run(_question(bmc), capture_output=True, text=True, check=False)
        assert said.stdout == "Chassis Power is on\n", said.stderr
