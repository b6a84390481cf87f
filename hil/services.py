# SPDX-License-Identifier: GPL-2.0-or-later
"""The services that the machines run: real nginx, what can be wrong with it, and what it was told.

The record of that is kept outside of all agents. The configuration names one program for all of
them, `SERVICE NAME ACTION`. It tells through a pipe when an action begins and how it ends, so the
record has them in their true order on both machines.
"""

from __future__ import annotations

import os
import shlex
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from hil.processes import run, with_words
from hil.record import Entry, Record

if TYPE_CHECKING:
    from hil.machine import Machine

HTTP_PORT = 8080
SERVED_BY = "served by"
"""Stands in every page before the name of the node."""
FAIL, HANG, HANG_HARD = "fail", "hang", "hang-hard"
"""An action says no; has no end; has no end, and neither it nor its child hears a SIGTERM."""
HANGS_S = 4321
"""The child of an action that hangs is a `sleep` of so many seconds: found by that."""
IMAGE_BYTES, IMAGE_INODES = 8 << 20, 64
"""A small file system on the disk, `data.img`."""
SLOW_BYTES_S = 1024
"""A page of 1.5 times as much takes nginx about one second."""

_SCRIPT = f"""\
#!/bin/sh
name=$1 action=$2 pid_file=/run/$1.pid fault=none
read -r node < /run/disk/name
lives() {{ read -r pid < $pid_file && kill -0 "$pid"; }} 2> /dev/null
tell() {{ echo "$node $name $action $1" > CALLS; }}
finish() {{ tell "$1"; exit "$1"; }}
if [ "$action" = position ]; then exec cat /run/disk/$name.position; fi
tell begins
if [ -e "/run/disk/faults/$name.$action" ]; then
  read -r fault < "/run/disk/faults/$name.$action"
fi
case $fault in
  {FAIL}) echo "told to fail"; finish 1 ;;
  {HANG}) sleep {HANGS_S} & tell hangs; wait ;;
  {HANG_HARD}) trap '' TERM; sleep {HANGS_S} & tell hangs; wait ;;
esac
case $action in
  start) nginx -e /run/disk/$name.log -c /run/disk/$name.conf; finish $? ;;
  stop)
    lives && kill -TERM "$pid"
    while lives; do sleep 0.02; done
    finish 0 ;;
  monitor) lives && finish 0; finish 7 ;;
esac
finish 0
"""

_NGINX = """\
user root;
worker_processes 1;
pid /run/{name}.pid;
events {{}}
http {{
  access_log off;
  default_type text/plain;
  client_body_temp_path /run/nginx-body;
  proxy_temp_path /run/nginx-proxy;
  fastcgi_temp_path /run/nginx-fastcgi;
  uwsgi_temp_path /run/nginx-uwsgi;
  scgi_temp_path /run/nginx-scgi;
  server {{
    listen {port};
    root /run/disk/pages;
    index page;
    location = /slow {{ limit_rate {rate}; }}
  }}
}}
"""


class Services:
    """The services of a lab's machines.

    Entries of the record: `node`, `name` and `action` as the program was told them (for a hook:
    "hook" and the event), and `what`: "begins", "hangs", or the exit status as text.
    """

    def __init__(self, directory: Path) -> None:
        self.record = Record(directory / "services.jsonl")
        self.script = directory / "service"
        calls = directory / "service-calls"
        os.mkfifo(calls)
        self.script.write_text(_SCRIPT.replace("CALLS", shlex.quote(str(calls))))
        self.script.chmod(0o755)
        # Open for both, so that no service ever waits for the lab and the lab never sees an end.
        self._calls = os.fdopen(os.open(calls, os.O_RDWR), "r+b", buffering=0)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def furnish(self, machine: Machine) -> None:
        """Put on a machine's disk what its services need; none of them is started."""
        disk = machine.disk
        (disk / "faults").mkdir()
        (disk / "pages").mkdir()
        (disk / "name").write_text(f"{machine.name}\n")
        for name, port in (("nginx", HTTP_PORT), ("other", HTTP_PORT + 1)):
            text = _NGINX.format(name=name, port=port, rate=SLOW_BYTES_S)
            (disk / f"{name}.conf").write_text(text)
            self.set_position(machine, 0, name)
        with (disk / "data.img").open("wb") as image:
            image.truncate(IMAGE_BYTES)
        run(["mkfs.ext4", "-q", "-N", str(IMAGE_INODES), str(disk / "data.img")])
        self.serve_page(machine)

    def serve_page(self, machine: Machine, text: str = SERVED_BY) -> None:
        """What its pages say before its name."""
        page = f"{text} {machine.name}\n"
        (machine.disk / "pages/page").write_text(page)
        (machine.disk / "pages/slow").write_text(page.ljust(SLOW_BYTES_S * 3 // 2, "."))

    def set_position(self, machine: Machine, position: int, name: str = "nginx") -> None:
        """How fresh the data of a service says that it is."""
        (machine.disk / f"{name}.position").write_text(f"{position}\n")

    def spoil(self, machine: Machine, action: str, how: str, name: str = "nginx") -> None:
        """Let an action go wrong from now on: FAIL, HANG or HANG_HARD."""
        (machine.disk / f"faults/{name}.{action}").write_text(f"{how}\n")

    def mend(self, *machines: Machine) -> None:
        """Let everything go well again."""
        for machine in machines:
            for fault in (machine.disk / "faults").iterdir():
                fault.unlink()
            self.serve_page(machine)

    @staticmethod
    def kill(machine: Machine, name: str = "nginx") -> None:
        """Let all processes of a service die at once."""
        for pid in _running(machine, f"/run/disk/{name}.conf"):
            os.killpg(pid, signal.SIGKILL)  # a daemon leads its group

    @staticmethod
    def runs(machine: Machine, name: str = "nginx") -> bool:
        """Whether a service runs on a machine, by its processes."""
        return bool(_running(machine, f"/run/disk/{name}.conf"))

    def hanging(self, machine: Machine, action: str) -> set[int]:
        """The processes that are left of an action of nginx that hangs."""
        own = _running(machine, f"{self.script}\0nginx\0{action}")
        return {*own, *_running(machine, f"sleep\0{HANGS_S}")}

    def told(
        self, after_ns: int, action: str, machine: Machine | None = None, name: str = "nginx"
    ) -> list[Entry]:
        """Every time an action of a service was begun after a time, on one machine if named."""
        return [
            entry
            for entry in self.record.since(after_ns)
            if (entry["name"], entry["action"], entry["what"]) == (name, action, "begins")
            and (machine is None or entry["node"] == machine.name)
        ]

    def wait(  # noqa: PLR0913, PLR0917  # what is waited for
        self,
        machine: Machine,
        action: str,
        after_ns: int,
        limit_s: float,
        what: str = "begins",
        name: str = "nginx",
    ) -> Entry:
        """Return when an action was begun, or had ended with a status, after a time.

        Raises:
            NotSeenError: It was not.
        """
        wanted = {"node": machine.name, "name": name, "action": action, "what": what}
        return self.record.wait(
            lambda e: wanted.items() <= e.items(), limit_s, after_ns=after_ns, what=str(wanted)
        )

    def close(self) -> None:
        """Listen no more."""
        self._calls.write(b"\n")
        self._thread.join()
        self._calls.close()
        self.record.close()

    def _listen(self) -> None:
        buffer = b""
        while True:
            buffer += self._calls.read(4096)
            *lines, buffer = buffer.split(b"\n")
            for line in lines:
                if not line:
                    return
                node, name, action, what = line.decode().split()
                entry: Entry = {"node": node, "name": name, "action": action, "what": what}
                self.record.add(entry)


def _running(machine: Machine, words: str) -> list[int]:
    """Processes of a machine with these words in their command line, as numbered outside."""
    return with_words(machine.processes(), words)
