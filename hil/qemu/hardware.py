# SPDX-License-Identifier: GPL-2.0-or-later
"""What a virtual server is made of, as QEMU's command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from hil.network import Port
from hil.qemu.image import Image

MEMORY_MB = 512
"""Debian with the agent and its fence workers uses about 250."""
_KERNEL_LINE = "root=/dev/vda rw console=ttyS0 net.ifnames=0 mitigations=off quiet"


@dataclass(frozen=True, slots=True)
class Server:
    """One of the two, whether it has power or not."""

    name: str
    ports: tuple[Port, ...]
    identity: UUID
    """The system UUID that it tells of itself."""
    image: Image
    processor: tuple[str, ...]
    """See hil.qemu.accelerator."""
    bmc_port: int
    """Where its BMC listens for it, TCP on the loopback of the switches."""
    directory: Path
    """Of its disk, doors and console."""
    serial_line: Path
    """A terminal that is its third serial line, /dev/ttyS2: that of its peer's PDU."""

    @property
    def disk(self) -> Path:
        """What it wrote on top of the image; outlives its power."""
        return self.directory / "disk.qcow2"

    @property
    def console(self) -> Path:
        """Everything its kernel and its log said, of all boots."""
        return self.directory / "console.log"

    @property
    def qmp(self) -> Path:
        """Where QEMU takes orders."""
        return self.directory / "qmp.sock"

    @property
    def bell(self) -> Path:
        """Where its second serial line ends, /dev/ttyS1: see hil.qemu.guest."""
        return self.directory / "bell.sock"

    def command(self, *, wait: bool = False) -> list[str]:
        """QEMU's command line.

        Args:
            wait: Not to boot, but to wait for a saved state to go on with.
        """
        line = f"{_KERNEL_LINE} systemd.hostname={self.name}"
        command = ["qemu-system-x86_64", "-name", self.name, "-nodefaults", "-no-user-config"]
        command += ["-display", "none", "-machine", "q35", *self.processor]
        command += ["-smp", "1", "-m", str(MEMORY_MB), "-uuid", str(self.identity)]
        command += ["-kernel", str(self.image.kernel), "-initrd", str(self.image.initrd)]
        command += ["-append", line]
        command += ["-drive", f"file={self.disk},if=virtio,format=qcow2,discard=unmap"]
        command += ["-chardev", f"socket,id=qmp,path={self.qmp}", "-mon", "qmp,mode=control"]
        command += self._serial_lines()
        for port in self.ports:
            tap = f"tap,id={port.wire},ifname={tap_name(self.name, port)},script=no,downscript=no"
            # No boot from the network, and so no ROM that would try it.
            card = f"virtio-net-pci,netdev={port.wire},mac={port.mac},romfile="
            command += ["-netdev", tap, "-device", card]
        bmc = f"socket,id=bmc,host=127.0.0.1,port={self.bmc_port},reconnect=1"
        command += ["-chardev", bmc, "-device", "ipmi-bmc-extern,id=bmc0,chardev=bmc"]
        command += ["-device", "isa-ipmi-kcs,bmc=bmc0,irq=5"]
        command += ["-device", "i6300esb", "-action", "watchdog=reset"]
        # A server that goes on from a saved state must not draw the same random numbers again.
        command += ["-device", "vmgenid,guid=auto"]
        if wait:
            command += ["-incoming", "defer"]
        return command

    def _serial_lines(self) -> list[str]:
        door = self.directory / "console.sock"
        console = f"socket,id=console,path={door},server=on,wait=off"
        command = ["-chardev", f"{console},logfile={self.console},logappend=on"]
        command += ["-serial", "chardev:console"]
        command += ["-chardev", f"socket,id=bell,path={self.bell}", "-serial", "chardev:bell"]
        line = f"serial,id=line,path={self.serial_line}"
        return [*command, "-chardev", line, "-serial", "chardev:line"]


def tap_name(server: str, port: Port) -> str:
    """The switch's end of a cable."""
    return f"{server}-{port.wire}"
