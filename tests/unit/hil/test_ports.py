# SPDX-License-Identifier: GPL-2.0-or-later
"""A free number is free for both kinds of port, and stays free while its server is dead."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from hil.processes import ROOT

_TWO_NUMBERS = """
set -e
ip link set lo up
echo 10002 65535 > /proc/sys/net/ipv4/ip_local_port_range
exec "$@"
"""
_ASK = """
import socket
from hil.ports import free_port
with socket.socket(type=getattr(socket, "{kind}")) as taken:
    taken.bind(("127.0.0.1", 10000))
    assert free_port() == 10001
    try:
        raise SystemExit(f"{{free_port()}} is taken, given already or lent")
    except RuntimeError as none:
        assert "no free port" in str(none)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace needs root")
@pytest.mark.parametrize("kind", ["SOCK_STREAM", "SOCK_DGRAM"])
def test_number_of_either_kind_is_not_given(kind: str) -> None:
    """Of the two that are not lent to outgoing connections one is taken: by TCP, or by UDP."""
    ask = [sys.executable, "-c", _ASK.format(kind=kind)]
    command = ["unshare", "--net", "sh", "-c", _TWO_NUMBERS, "sh", *ask]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
