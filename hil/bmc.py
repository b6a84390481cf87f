# SPDX-License-Identifier: GPL-2.0-or-later
"""A BMC on the bench: OpenIPMI's `ipmi_sim` with faults that can be switched on while it runs."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from uuid import UUID

from hil.processes import end_group

START_LIMIT_S = 20.0
"""ipmi_sim opens its port within 0.1 s on an idle machine; the rest is for a busy one."""
STOP_LIMIT_S = 2.0
_POLL_S = 0.005
_GUID = UUID("b1234567-89ab-cdef-a123-456789abcdef")

_LAN_CONF = """\
name "{name}"
set_working_mc 0x20
  startlan 1
    addr {address} {port}
    priv_limit admin
    allowed_auths_callback none md2 md5 straight
    allowed_auths_user none md2 md5 straight
    allowed_auths_operator none md2 md5 straight
    allowed_auths_admin none md2 md5 straight
    guid {guid}
    lan_config_program "{lan_script}"
  endlan
{chassis}
  user 1 false "" "test" user 10 none md2 md5 straight
  user 2 true "{user}" "{password}" operator 10 none md2 md5 straight
"""

# ipmi_sim's other mode: it starts and ends the machine itself. Off is SIGTERM, and SIGKILL
# after kill_wait; the power is on as long as the process is there.
# Without the serial line, to which nothing needs to be connected, it ends nothing.
_OWNED = """\
  serial 15 {address} {port} codec VM
  startcmd "{machine}"
  startnow true
  poweroff_wait 1
  kill_wait {kill_wait_s}"""

_EMU = """\
mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
sel_enable 0x20 1000 0x0a
mc_enable 0x20
"""

# ipmi_sim waits for this script, so "hang N" freezes the whole BMC for N seconds, and what goes
# on in the background must not keep ipmi_sim's end of the pipe open.
_CHASSIS = """\
#!/bin/sh
# Usage: chassis.sh 0x20 get power | set power 0|1 | set reset 1 | set shutdown 1
cd {directory} || exit 1
shift; op=$1; shift
read -r fault < fault || fault=none
change() {{ echo "$1" > power.new && mv power.new power; {on_change} "$1"; }}
later() {{ ( sleep "$1"; change off ) </dev/null >/dev/null 2>&1 & }}
echo "$op $* fault=$fault" >> chassis.log
if [ "$op" = get ]; then
  read -r power < power
  [ -e lying ] && power=off
  if [ "$power" = on ]; then echo power:1; else echo power:0; fi
  exit 0
fi
case "$1 $2" in
"power 1") rm -f lying; change on </dev/null >/dev/null 2>&1 ;;
"power 0")
  case "$fault" in
  ack_only) ;;
  off_delay*) later "${{fault#off_delay }}" ;;
  lie_off*) : > lying; later "${{fault#lie_off }}" ;;
  fail) exit 1 ;;
  hang*) sleep "${{fault#hang }}"; change off </dev/null >/dev/null 2>&1 ;;
  *) change off </dev/null >/dev/null 2>&1 ;;
  esac ;;
esac
"""


_LAN = """\
#!/bin/sh
# Usage: lan.sh get NAME
case "$2" in
ip_addr_src) echo "$2:static" ;;
*mac_addr) echo "$2:{mac}" ;;
subnet_mask) echo "$2:255.255.255.0" ;;
*) echo "$2:{address}" ;;
esac
"""
"""What `ipmitool lan print` is told; the addresses of its gateways are of no meaning."""


@dataclass(slots=True)
class IpmiSim:
    """One simulated BMC in a directory of its own; `power` and `fault` are files in it.

    Usable as a context manager, which starts and stops it. With `prefix` it runs elsewhere,
    e.g. in a network namespace: `["ip", "netns", "exec", NAME]`, which execs and so keeps the
    process id.
    """

    directory: Path
    """Configuration, state and logs; made when missing."""
    port: int
    """UDP port at `address`."""
    address: str = "127.0.0.1"
    user: str = "haagent"
    password: str = "bench-only"  # noqa: S105  # known to everybody, as the bench is
    guid: UUID = _GUID
    """Sent in the order in which it is written."""
    on_change: str = ":"
    """Shell command run with `on` or `off` after every change of the power: where the bench kills
    or starts the machine behind this BMC."""
    chassis_control: str | None = None
    """A command to be asked instead of our own script, which knows the faults."""
    machine: str | None = None
    """A program for the BMC to start and end as its machine, in place of any such command; it
    outlives a BMC that dies. `power` and `fault` then say nothing."""
    kcs_port: int | None = None
    """TCP port on the loopback where a virtual machine finds its BMC, beside `chassis_control`."""
    kill_wait_s: int = 1
    """How long such a machine may ignore SIGTERM, whole seconds."""
    prefix: Sequence[str] = ()
    """Put before the command line."""
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.directory = self.directory.absolute()
        (self.directory / "state").mkdir(parents=True, exist_ok=True)
        self.power = "on"
        self.fault = "none"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def power(self) -> str:
        """`on` or `off`: what the machine is, whatever the BMC says."""
        return self._path("power").read_text().strip()

    @power.setter
    def power(self, value: str) -> None:
        self._replace("power", value)

    @property
    def fault(self) -> str:
        """none, ack_only, off_delay SECONDS, lie_off SECONDS, fail or hang SECONDS."""
        return self._path("fault").read_text().strip()

    @fault.setter
    def fault(self, value: str) -> None:
        self._replace("fault", value)

    @property
    def log(self) -> tuple[str, ...]:
        """What the chassis script was asked, in order, e.g. `set power 0 fault=none`."""
        path = self._path("chassis.log")
        return tuple(path.read_text().splitlines()) if path.exists() else ()

    @property
    def is_running(self) -> bool:
        """Whether it was started and not stopped since."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """The process of the running simulator."""
        assert self._process is not None, "not started"
        return self._process.pid

    def start(self) -> None:
        """Start the BMC and return when its port is open.

        Raises:
            RuntimeError: It ended at once or did not open its port in START_LIMIT_S.
        """
        assert self._process is None, "already started"
        self._write_configuration()
        command = [*self.prefix, "ipmi_sim", "-n"]
        for option, name in (("-c", "lan.conf"), ("-f", "bmc.emu"), ("-s", "state")):
            command += (option, str(self._path(name)))
        with self._path("ipmi_sim.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  # our own literals and paths
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        end = time.monotonic() + START_LIMIT_S
        while not self._port_open():
            if self._process.poll() is not None or time.monotonic() > end:
                self.kill()
                said = self._path("ipmi_sim.log").read_text(errors="replace")
                raise RuntimeError(f"ipmi_sim did not start: {said}")
            time.sleep(_POLL_S)

    def stop(self) -> None:
        """Stop the BMC; sessions are lost. Being stopped already is no error."""
        if self._process is not None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_LIMIT_S)
            self.kill()

    def kill(self) -> None:
        """SIGKILL: the BMC falls silent, its ports are closed."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self.machine is None:  # a script that it waited for has its ports too
                end_group(self._process.pid)
            self._process = None

    def signal(self, number: int) -> None:
        """Send a signal, e.g. SIGSTOP for a BMC that swallows all it is sent, SIGCONT after it."""
        os.kill(self.pid, number)

    def _path(self, name: str) -> Path:
        return self.directory / name

    def _replace(self, name: str, value: str) -> None:
        new = self._path(f"{name}.set")
        new.write_text(f"{value}\n")
        new.replace(self._path(name))

    def _write_configuration(self) -> None:
        script = self._path("chassis.sh")
        script.write_text(
            _CHASSIS.format(directory=shlex.quote(str(self.directory)), on_change=self.on_change)
        )
        script.chmod(0o755)
        lan_script = self._path("lan.sh")
        # Two BMCs of one hardware address would be one device, and count on neither.
        mac = (b"\x02\x0b" + self.port.to_bytes(3, "big") + self.guid.bytes[-1:]).hex(":")
        lan_script.write_text(_LAN.format(address=self.address, mac=mac))
        lan_script.chmod(0o755)
        self._path("bmc.emu").write_text(_EMU)
        configuration = self._path("lan.conf")
        configuration.touch(mode=0o600)
        configuration.write_text(
            _LAN_CONF.format(
                name=self.directory.name,
                address=self.address,
                port=self.port,
                guid=self.guid.hex,
                lan_script=lan_script,
                chassis=self._chassis(script),
                user=self.user,
                password=self.password,
            )
        )

    def _chassis(self, script: Path) -> str:
        if self.machine is not None:
            return _OWNED.format(
                address=self.address,
                port=self.port,
                machine=self.machine,
                kill_wait_s=self.kill_wait_s,
            )
        lines = [f'  chassis_control "{self.chassis_control or script} 0x20"']
        if self.kcs_port is not None:
            lines.append(f"  serial 15 127.0.0.1 {self.kcs_port} codec VM")
        return "\n".join(lines)

    def _port_open(self) -> bool:
        """Whether the simulator's own network namespace has the UDP port bound.

        Read from the kernel's table, because a probe could not reach into a namespace.
        """
        wanted = f":{self.port:04X}"
        for table in ("udp", "udp6"):
            try:
                text = Path(f"/proc/{self.pid}/net/{table}").read_text()
            except OSError:
                return False  # it has ended
            if any(line.split()[1].endswith(wanted) for line in text.splitlines()[1:]):
                return True
        return False
