# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk that both machines reach, with SCSI-3 persistent reservations, for the real fence agents.

The kernel of the bench has no such disk, so what the agents run is a shell script in the place of
`sg_persist` and `mpathpersist`, as far as fence_scsi and fence_mpath of fence-agents 4.12.1 use
them. It also writes to the disk, which is what a reservation is about. Who asks is told by a file
on the disk of each machine, as an iSCSI initiator has its name.

Source: SPC-4, 5.12; sg_persist(8) and mpathpersist(8), whose output the agents read.
"""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path

INITIATOR = Path("/run/disk/initiator")
"""In a machine: its name."""
NO_BLOCK_DEVICE = os.makedev(7, 250)
"""A loop device that nobody has: the agents only look whether it is a block device."""

# Exit status 24 is a reservation conflict, 15 a device file of no use: sg3_utils(8).
_DISK = """\
#!/bin/sh
# As sg_persist or mpathpersist; or `write TEXT`.
[ "$*" = -V ] && exit 0
cd {directory} || exit 15
exec 9> lock
flock 9
read -r me < {initiator}
mine= other= does= fault=
for word; do
  case $last in
  -K) mine=$word ;;
  -S) other=$word ;;
  esac
  case $word in
  --param-rk=*) mine=${{word#*=}} ;;
  --param-sark=*) other=${{word#*=}} ;;
  write | -k | -r) does=$word ;;
  -I | --register) does=register ;;
  -R | --reserve) does=reserve ;;
  -A | --preempt-abort) does=preempt ;;
  esac
  last=$word
done
[ -e "fault.$me" ] && read -r fault < "fault.$me"
[ "$fault" = gone ] && {{ echo "transport: no connection" >&2; exit 15; }}
key= holder=
[ -e "key.$me" ] && read -r key < "key.$me"
[ -e holder ] && read -r holder < holder
case $does in
write)  # Exclusive, registrants only.
  there=0
  [ -n "$holder" ] && [ -z "$key" ] && there=24
  echo "$me $2 $there" >> writes
  exit $there ;;
-k)
  echo "  PR generation=0x1, registered reservation keys follow:"
  for file in key.*; do [ -e "$file" ] && read -r one < "$file" && echo "    0x$one"; done
  exit 0 ;;
-r)
  [ -z "$holder" ] && {{ echo "  PR generation=0x1, there is NO reservation held"; exit 0; }}
  read -r one < "key.$holder"
  printf '  PR generation=0x1, Reservation follows:\\n    Key=0x%s \\n    type: 5\\n' "$one"
  exit 0 ;;
esac
[ "$fault" = deaf ] && exit 0
[ $does = register ] && {{ echo "$other" > "key.$me"; exit 0; }}
[ -z "$key" ] || [ "$key" != "$mine" ] && exit 24
if [ $does = reserve ]; then
  [ -n "$holder" ] && [ "$holder" != "$me" ] && exit 24
  echo "$me" > holder
  exit 0
fi
status=24
for file in key.*; do
  read -r one < "$file"
  if [ "$one" = "$other" ] && [ "$file" != "key.$me" ]; then
    rm "$file"
    status=0
    [ "$file" = "key.$holder" ] && echo "$me" > holder
  fi
done
exit $status
"""
_VOLUME = """\
#!/bin/sh
# A resource that needs the disk: `volume start|stop|monitor`, by the contract of "command".
case $1 in
start) {disk} write start && : > /run/volume ;;
stop) rm -f /run/volume ;;
monitor) [ -e /run/volume ] || exit 7; {disk} write monitor ;;
esac
"""


class SharedDisk:
    """As the bench sees it: who has a key, who wrote, and what is wrong with it.

    Args:
        directory: Of its own.
        initiator: Where a machine has its name.
    """

    def __init__(self, directory: Path, initiator: Path = INITIATOR) -> None:
        directory.mkdir(parents=True)
        self._directory = directory
        self.path = directory / "disk"
        """The block device."""
        os.mknod(self.path, 0o600 | stat.S_IFBLK, NO_BLOCK_DEVICE)
        self.program = self.seen_by(initiator)
        """What an agent is given as sg_persist_path or mpathpersist_path."""
        self.turs = self._script("sg_turs", "#!/bin/sh\n")
        volume = _VOLUME.format(disk=shlex.quote(str(self.program)))
        self.volume = self._script("volume", volume)
        """A program that writes: the resource of a group that stands on the disk."""

    def seen_by(self, initiator: Path) -> Path:
        """The program of whoever has its name in that file."""
        places = (shlex.quote(str(path)) for path in (self._directory, initiator))
        text = _DISK.format(**dict(zip(("directory", "initiator"), places, strict=True)))
        return self._script(f"sg_persist.{initiator.name}", text)

    @property
    def keys(self) -> dict[str, str]:
        """Key by machine."""
        files = self._directory.glob("key.*")
        return {file.name.removeprefix("key."): file.read_text().strip() for file in files}

    def writes(self, machine: str) -> list[tuple[str, bool]]:
        """What a machine tried to write, oldest first, and whether it got there."""
        file = self._directory / "writes"
        lines = file.read_text().splitlines() if file.exists() else []
        found = (line.split() for line in lines)
        return [(text, there == "0") for name, text, there in found if name == machine]

    def fault(self, machine: str, what: str) -> None:
        """Have something be wrong with it for one machine.

        Args:
            machine: Which one.
            what: "gone" (it cannot be reached), "deaf" (takes orders, does nothing), "" (all well).
        """
        (self._directory / f"fault.{machine}").write_text(f"{what}\n")

    def remove(self, machine: str) -> None:
        """Take one machine's key away, as the other does that cuts it off."""
        (self._directory / f"key.{machine}").unlink()
        others = iter(self.keys)
        (self._directory / "holder").write_text(f"{next(others)}\n")

    def forget(self) -> None:
        """Lose every key and the reservation, as an array does that keeps them in memory."""
        for file in (*self._directory.glob("key.*"), self._directory / "holder"):
            file.unlink(missing_ok=True)

    def _script(self, name: str, text: str) -> Path:
        path = self._directory / name
        path.write_text(text)
        path.chmod(0o755)
        return path
