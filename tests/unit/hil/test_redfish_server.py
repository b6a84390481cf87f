# SPDX-License-Identifier: GPL-2.0-or-later
"""The emulated Redfish BMC, and clients that end in every way."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

from hil.redfish.bmc import RedfishBmc
from hil.redfish.certificates import Authority


def test_client_gone_between_head_and_body(tmp_path: Path) -> None:
    """A fence that is ended there has ordered nothing, and is no mistake of the emulator's."""
    authority = Authority(tmp_path)
    trust = ssl.create_default_context(cafile=str(authority.file))
    with RedfishBmc(authority.issue()) as bmc:
        with (
            socket.create_connection((bmc.address, bmc.port)) as plain,
            trust.wrap_socket(plain, server_hostname=bmc.address) as client,
        ):
            client.sendall(
                b"POST /redfish/v1/SessionService/Sessions HTTP/1.1\r\n"
                b"Host: bmc\r\nContent-Length: 50\r\n\r\n"
            )
            socket.socket.shutdown(client, socket.SHUT_WR)  # the SSL socket's own drops its state
            assert client.recv(1) == b"", "it was answered"
        assert not bmc.seen
