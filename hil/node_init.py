# SPDX-License-Identifier: GPL-2.0-or-later
"""Process 1 of a machine on the bench: the service, and the agent beside it.

Standard input takes one word a line: `boot` (the network is plugged in: start everything),
`agent` (start the agent, if it is not running) or `signal N` (send it to the agent). Standard
output reports one JSON object a line. When this process dies, the kernel kills all others in the
machine, and only that is how a machine loses its power.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

SERVICE_PORT = 80
IP_PKTINFO = 8
"""linux/in.h; Python's socket module names it only from 3.14 on."""
_PKTINFO = struct.Struct("=i4s4s")
_LISTEN_BACKLOG = 16
_REQUEST_BYTES_MAX = 64


def report(what: str, **details: object) -> None:
    """Tell the lab."""
    line = {"what": what, "at_ns": time.monotonic_ns(), **details}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def answer_datagram(server: socket.socket, name: bytes) -> None:
    """Answer a request with who we are, from the address that was asked."""
    request, control, _, client = server.recvmsg(_REQUEST_BYTES_MAX, socket.CMSG_SPACE(12))
    for level, kind, data in control:
        if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
            _, _, asked = _PKTINFO.unpack(data)
            source = _PKTINFO.pack(0, asked, bytes(4))
            pktinfo = [(socket.IPPROTO_IP, IP_PKTINFO, source)]
            try:
                server.sendmsg([name, b" ", request], pktinfo, 0, client)
            except OSError:
                return  # the address has just been taken away


class Init:
    """The one object of this process."""

    def __init__(self, name: str, boot: str, log: Path, agent_command: list[str]) -> None:
        self.identity = f"{name} {boot}".encode()
        self.log = log
        self.agent_command = agent_command
        self.agent: subprocess.Popen[bytes] | None = None
        self.selector = selectors.DefaultSelector()

    def serve(self) -> None:
        """The service of the pair: says which machine, and which boot of it, answers."""
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        datagrams.bind(("0.0.0.0", SERVICE_PORT))  # noqa: S104  # the VIP comes and goes
        self.selector.register(datagrams, selectors.EVENT_READ, self.on_datagram)
        streams = socket.create_server(
            ("0.0.0.0", SERVICE_PORT),  # noqa: S104  # the VIP comes and goes
            backlog=_LISTEN_BACKLOG,
        )
        self.selector.register(streams, selectors.EVENT_READ, self.on_connection)

    def on_datagram(self, server: socket.socket) -> None:
        """One request of the bench's client."""
        answer_datagram(server, self.identity)

    def on_connection(self, server: socket.socket) -> None:
        """One probe of an agent: it only wants to see that somebody answers."""
        connection, _ = server.accept()
        with connection:
            connection.setblocking(False)  # noqa: FBT003  # the name of the method says it
            try:
                connection.send(self.identity)
            except OSError:
                return  # the prober did not wait

    def start_agent(self) -> None:
        """Start the agent unless it runs."""
        if self.agent is None and self.agent_command:
            with self.log.open("ab") as log:
                self.agent = subprocess.Popen(  # noqa: S603  # given by the lab
                    self.agent_command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
            report("agent_started")

    def reap(self) -> None:
        """Bury what has died; tell if it was the agent."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if self.agent is not None and pid == self.agent.pid:
                self.agent.returncode = status
                self.agent = None
                report("agent_ended", status=os.waitstatus_to_exitcode(status))

    def obey(self, line: str) -> bool:
        """Do what the lab says; False when it has gone."""
        match line.split():
            case ["boot"]:
                self.serve()
                self.start_agent()
                report("booted")
            case ["agent"]:
                self.start_agent()
            case ["signal", number]:
                if self.agent is not None:
                    os.kill(self.agent.pid, int(number))
            case _:
                return False
        return True

    def run(self) -> None:
        """Until the power goes."""
        wake_read, wake_write = socket.socketpair()
        for end in (wake_read, wake_write):
            end.setblocking(False)  # noqa: FBT003  # the name of the method says it
        signal.set_wakeup_fd(wake_write.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.selector.register(wake_read, selectors.EVENT_READ, self.on_child)
        self.selector.register(sys.stdin, selectors.EVENT_READ, None)
        while True:
            for key, _ in self.selector.select():
                if key.data is not None:
                    key.data(key.fileobj)
                elif not self.obey(sys.stdin.readline()):
                    return

    def on_child(self, wake_read: socket.socket) -> None:
        """SIGCHLD came."""
        wake_read.recv(_REQUEST_BYTES_MAX)
        self.reap()


def main() -> None:
    """Arguments: name, number of the boot, the agent's log file, the agent's command line."""
    name, boot, log, *agent_command = sys.argv[1:]
    Init(name, boot, Path(log), agent_command).run()


if __name__ == "__main__":
    main()
