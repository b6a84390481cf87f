# SPDX-License-Identifier: GPL-2.0-or-later
"""A real etcd cluster of three members for the bench, each of which can die, hang or come back."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from hil.clock import Clock, under
from hil.namespaces import inside
from hil.ports import free_port
from hil.processes import DIE_WITH_US, LOG_SHOWN, run, slowed

START_LIMIT_S = 30.0
"""Three members elect a leader within two seconds; the rest is for a loaded machine."""
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files of a member that speaks TLS and wants to see its clients' certificates."""

    ca: Path
    certificate: Path
    key: Path


@dataclass(slots=True)
class Member:
    """One server."""

    name: str
    address: str
    client_port: int
    peer_port: int
    pid: int | None
    """A process in whose network namespace it runs; None: in our own."""
    clock: Clock | None = None
    """Its wall clock; None: everybody's."""
    process: subprocess.Popen[bytes] | None = None


class Etcd:
    """The cluster, as a context manager: entering starts every member and waits for a leader.

    Args:
        directory: For their data and logs.
        places: Address of each member, and a process in its network namespace; by default three on
            the loopback, at ports of their own.
        certificates: None: plain HTTP.
        clocks: Each member has a wall clock of its own.
    """

    def __init__(
        self,
        directory: Path,
        places: Sequence[tuple[str, int | None]] = (("127.0.0.1", None),) * 3,
        certificates: Certificates | None = None,
        *,
        clocks: bool = False,
    ) -> None:
        self._directory = directory
        self._certificates = certificates
        self.members = []
        for number, (address, pid) in enumerate(places):
            ports = (2379, 2380) if pid is not None else (free_port(), free_port())
            clock = Clock(directory / f"m{number}.clock") if clocks else None
            self.members.append(Member(f"m{number}", address, *ports, pid, clock))

    @property
    def endpoints(self) -> list[str]:
        """As in the configuration."""
        scheme = "https" if self._certificates else "http"
        return [f"{scheme}://{m.address}:{m.client_port}" for m in self.members]

    def __enter__(self) -> Self:
        try:
            for member in self.members:
                self.start(member)
            self.wait_healthy()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every member, however it is, and forget its data."""
        for member in self.members:
            self.kill(member)
            shutil.rmtree(self._directory / member.name, ignore_errors=True)

    def start(self, member: Member) -> None:
        """Start a member that does not run, with the data it had."""
        assert member.process is None, "it runs"
        client = self.endpoints[self.members.index(member)]
        peers = {m.name: f"http://{m.address}:{m.peer_port}" for m in self.members}
        command = [
            *DIE_WITH_US, *(inside(member.pid) if member.pid else ()),
            *(under(str(member.clock.file)) if member.clock else ()), "etcd",
            "--name", member.name,
            "--data-dir", str(self._directory / member.name),
            "--listen-client-urls", client,
            "--advertise-client-urls", client,
            "--listen-peer-urls", peers[member.name],
            "--initial-advertise-peer-urls", peers[member.name],
            "--initial-cluster", ",".join(f"{name}={url}" for name, url in peers.items()),
            "--initial-cluster-token", self._directory.name,
            # The bench's disk is shared by everybody, and a slow fsync is no dead leader.
            "--heartbeat-interval", "100", "--election-timeout", "1000",
            "--logger", "zap", "--log-outputs", "stderr",
        ]  # fmt: skip
        if self._certificates is not None:
            command += [
                "--cert-file", str(self._certificates.certificate),
                "--key-file", str(self._certificates.key),
                "--trusted-ca-file", str(self._certificates.ca), "--client-cert-auth",
            ]  # fmt: skip
        with (self._directory / f"{member.name}.log").open("ab") as log:
            member.process = subprocess.Popen(  # noqa: S603  # the lab's own literals and paths
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def kill(self, member: Member) -> None:
        """SIGKILL; that it is dead already is no error."""
        if member.process is not None:
            member.process.kill()
            member.process.wait()
            member.process = None

    @staticmethod
    def stop(member: Member) -> None:
        """SIGSTOP: it accepts connections and says nothing."""
        assert member.process is not None
        member.process.send_signal(signal.SIGSTOP)

    @staticmethod
    def cont(member: Member) -> None:
        """SIGCONT."""
        assert member.process is not None
        member.process.send_signal(signal.SIGCONT)

    def slow(self) -> AbstractContextManager[None]:
        """Every member stands still most of the time, so each answer takes its while."""
        return slowed([m.process.pid for m in self.members if m.process is not None])

    def control(self, *words: str) -> str:
        """What etcdctl says to that, in JSON where it can.

        Raises:
            RuntimeError: it failed.
        """
        command = ["etcdctl", "--endpoints", ",".join(self.endpoints), "-w", "json"]
        if self._certificates is not None:
            files = self._certificates
            command += ["--cacert", str(files.ca)]
            command += ["--cert", str(files.certificate), "--key", str(files.key)]
        pid = next((m.pid for m in self.members if m.process is not None), None)
        prefix = inside(pid) if pid else []
        return run(["env", "ETCDCTL_API=3", *prefix, *command, *words]).stdout

    def leader(self) -> Member:
        """The member that leads now."""
        statuses = json.loads(self.control("endpoint", "status"))
        leading = statuses[0]["Status"]["leader"]
        for status in statuses:
            if status["Status"]["header"]["member_id"] == leading:
                return self.members[self.endpoints.index(status["Endpoint"])]
        raise RuntimeError(f"no leader among {statuses}")

    def wait_healthy(self) -> None:
        """Return when every member answers for what they agree on.

        Raises:
            RuntimeError: it did not in time, or a member ended by itself.
        """
        end_s = time.monotonic() + START_LIMIT_S
        while True:
            for member in self.members:
                if member.process is not None and member.process.poll() is not None:
                    log = (self._directory / f"{member.name}.log").read_text(encoding="utf-8")
                    raise RuntimeError(f"{member.name} ended: {log[-LOG_SHOWN:]}")
            try:
                self.control("endpoint", "health")
            except RuntimeError:
                if time.monotonic() > end_s:
                    raise
                threading.Event().wait(POLL_S)
            else:
                return
