# SPDX-License-Identifier: GPL-2.0-or-later
"""A way into a booted server, as an operator has it: one ssh connection, many commands."""

from __future__ import annotations

import io
import shlex
import subprocess
import tarfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from hil.namespaces import inside
from hil.pair import CONTROL_SOCKET
from hil.processes import end, spawn
from hil.record import NotSeenError

CONNECT_LIMIT_S = 60.0
"""An emulated server that is busy takes seconds for a key exchange."""
COMMAND_LIMIT_S = 60.0
PUT_LIMIT_S = 300.0
"""The package has 36 MB; an emulated server beside busy ones takes in half a megabyte a second."""
_CONNECTED = "connected"
_WRITE = 'install -D -m {1} /dev/stdin {0} && sync {0} "$(dirname {0})"'
STRANGER = (
    *("-F", "none", "-o", "StrictHostKeyChecking=no"),
    *("-o", "UserKnownHostsFile=/dev/null"),
)
"""Options for a server that was made a moment ago: whatever this machine knows says nothing."""


class Ssh:
    """Root's shell on one server; connected anew after each boot."""

    def __init__(
        self, target: str, directory: Path, *, options: Sequence[str], operator_pid: int | None
    ) -> None:
        """Prepare.

        Args:
            target: Where ssh is to log in as root.
            directory: Of the connection's doors; short, since names of sockets are.
            options: How this server is reached, such as STRANGER.
            operator_pid: A process in the network from which the operator comes; None: this one.
        """
        self.control_socket = directory / "agent.sock"
        """Here, the door of the agent there, while connected."""
        self._errors = directory / "ssh.log"
        self._door = directory / "ssh.sock"
        self._target = target
        network = [] if operator_pid is None else inside(operator_pid)
        own = {
            "BatchMode": "yes",
            "LogLevel": "ERROR",
            "ConnectTimeout": "20",
            "ServerAliveInterval": "5",
            "ControlPath": str(self._door),
            "StreamLocalBindUnlink": "yes",
        }
        self._ssh = [*network, "ssh", *options]
        self._ssh += [word for key_value in own.items() for word in ("-o", "=".join(key_value))]
        self._line: subprocess.Popen[str] | None = None
        self._thrown: list[subprocess.Popen[str]] = []

    def connect(self) -> None:
        """Log in; an earlier connection is given up.

        Raises:
            NotSeenError: The server lets nobody in.
        """
        self.close()
        self._door.unlink(missing_ok=True)
        forward = ["-L", f"{self.control_socket}:{CONTROL_SOCKET}"]
        tell = ["-o", "PermitLocalCommand=yes", "-o", f"LocalCommand=echo {_CONNECTED}"]
        command = [*self._ssh, "-N", "-M", *forward, *tell, self._target]
        with self._errors.open("ab") as log:
            self._line = spawn(command, stderr=log)
        assert self._line.stdout is not None
        # The line below ends by itself when ssh does, and ssh is bounded by its ConnectTimeout.
        guard = threading.Timer(CONNECT_LIMIT_S, self._line.kill)
        guard.start()
        said = self._line.stdout.readline()
        guard.cancel()
        if said.strip() != _CONNECTED:
            raise NotSeenError(f"no login at {self._target}: {self._errors.read_text()[-500:]}")

    def connected(self) -> None:
        """Log in, unless that connection still stands.

        Raises:
            NotSeenError: The server lets nobody in.
        """
        if self._line is None or self._line.poll() is not None:
            self.connect()

    def run(
        self,
        *command: str,
        text: str | None = None,
        check: bool = True,
        limit_s: float = COMMAND_LIMIT_S,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on the server to its end.

        Raises:
            RuntimeError: It failed although `check`.
            subprocess.TimeoutExpired: It took longer than the limit.
        """
        self.connected()
        done = subprocess.run(  # noqa: S603  # the bench's own literals
            [*self._ssh, self._target, shlex.join(command)],
            input="" if text is None else text,
            capture_output=True,
            text=True,
            check=False,
            timeout=limit_s,
        )
        if check and done.returncode != 0:
            raise RuntimeError(f"{shlex.join(command)}: {done.stderr.strip() or done.returncode}")
        return done

    def write(self, path: str, content: str, mode: str = "644") -> None:
        """Write a file of the server, in folders that are made when missing; a crash leaves it.

        Raises:
            RuntimeError: The server refused.
        """
        self.run("sh", "-c", _WRITE.format(shlex.quote(path), mode), text=content)

    def put(self, sources: Mapping[str, Path], directory: str) -> None:
        """Copy files and folders into a directory of the server, made when missing.

        Args:
            sources: By the names that they get there.
            directory: Absolute.

        Raises:
            subprocess.CalledProcessError: The server refused.
            subprocess.TimeoutExpired: It took longer than `PUT_LIMIT_S`.
        """
        self.connected()
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for name, source in sources.items():
                archive.add(source, name)
        unpack = f"mkdir -p {directory} && tar -x --no-same-owner -C {directory}"
        subprocess.run(  # noqa: S603  # the bench's own literals
            [*self._ssh, self._target, unpack],
            input=packed.getvalue(),
            check=True,
            capture_output=True,
            timeout=PUT_LIMIT_S,
        )

    def command_line(self) -> str:
        """What a person types to get in from the operator's network, quoted for a shell."""
        return shlex.join([*self._ssh, self._target])

    def throw(self, command: str) -> None:
        """Have a shell of the server run something after which nobody may ever answer."""
        self.connected()
        self._thrown.append(spawn([*self._ssh, self._target, command]))

    def close(self) -> None:
        """Hang up."""
        for process in self._thrown:
            end(process)
        self._thrown.clear()
        if self._line is not None:
            end(self._line)
            self._line = None
