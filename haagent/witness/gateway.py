# SPDX-License-Identifier: GPL-2.0-or-later
"""Questions to an etcd v3 cluster, through the JSON gateway that every member has beside gRPC.

The clients of etcd for Python are unkept, or bring gRPC and its threads; a question is one POST,
which h11 and our own stream carry. Of several members the one that answered last is asked first,
the next ones beside it as soon as it hesitates: every question here may be asked twice.

Source: etcd 3.4, Documentation/dev-guide/api_grpc_gateway.md; api/etcdserverpb/rpc.proto.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import h11

from haagent.errors import EdgeError
from haagent.probes.stream import Stream
from haagent.probes.tcp import connect, open_socket, reason, spelled

HESITATES_S = 0.1
"""A member of a healthy cluster on a LAN answers within some milliseconds."""
ANSWER_BYTES_MAX = 1 << 20
"""Terms and locks of a pair are a few kilobytes."""


class GatewayError(EdgeError):
    """No member answered as it should; the text is for the operator."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One member."""

    address: IPv4Address | IPv6Address
    port: int
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    server_name: str = ""
    """Name in its certificate; "" if the certificate has the address itself."""

    def __str__(self) -> str:
        """As in the configuration, for the operator."""
        scheme = "http" if self.tls is None else "https"
        return f"{scheme}://{spelled(self.address, self.port)}"


class Gateway:
    """Asks whichever member answers.

    Args:
        endpoints: At least one.
        timeout_s: For a question, whoever answers it, seconds.
    """

    def __init__(self, endpoints: Sequence[Endpoint], timeout_s: float) -> None:
        self._endpoints = list(endpoints)
        self._timeout_s = timeout_s

    async def post(self, path: str, question: dict[str, Any]) -> dict[str, Any]:
        """The first answer to the question; it may have reached several members.

        Raises:
            GatewayError: nobody answered in time; says what each member did.
        """
        failures: list[str] = []
        waiting: set[asyncio.Task[dict[str, Any]]] = set()
        names: dict[asyncio.Task[dict[str, Any]], Endpoint] = {}
        untried = list(self._endpoints)
        try:
            async with asyncio.timeout(self._timeout_s):
                while untried or waiting:
                    if untried:
                        endpoint = untried.pop(0)
                        task = asyncio.create_task(_ask(endpoint, path, question))
                        names[task] = endpoint
                        waiting.add(task)
                    done, waiting = await asyncio.wait(
                        waiting,
                        timeout=HESITATES_S if untried else None,
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                    for task in done:
                        try:
                            answer = task.result()
                        except (OSError, h11.RemoteProtocolError, GatewayError) as error:
                            failures.append(f"{names[task]}: {self._why(error)}")
                        else:
                            self._prefer(names[task])
                            return answer
        except TimeoutError:
            late = f"no answer within {self._timeout_s:g} s"
            failures += [f"{names[task]}: {late}" for task in waiting]
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        raise GatewayError("; ".join(failures))

    def _prefer(self, endpoint: Endpoint) -> None:
        self._endpoints.remove(endpoint)
        self._endpoints.insert(0, endpoint)

    def _why(self, error: Exception) -> str:
        match error:
            case ssl.SSLCertVerificationError():
                return f"certificate not believed: {error.verify_message}"
            case ssl.SSLError():
                return f"TLS: {error.reason or error}"
            case OSError():
                return reason(error, self._timeout_s)
            case _:
                return str(error)


async def _ask(endpoint: Endpoint, path: str, question: dict[str, Any]) -> dict[str, Any]:
    with open_socket(endpoint.address) as client:
        await connect(client, endpoint.address, endpoint.port)
        stream = Stream(client)
        if endpoint.tls is not None:
            await stream.secure(endpoint.tls, endpoint.server_name or str(endpoint.address))
        http = h11.Connection(h11.CLIENT)
        body = json.dumps(question).encode()
        head = h11.Request(
            method="POST",
            target=path,
            headers=[
                ("Host", spelled(endpoint.address, endpoint.port)),
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(body))),
                ("Connection", "close"),
            ],
        )
        parts = (http.send(head), http.send(h11.Data(body)), http.send(h11.EndOfMessage()))
        await stream.send(b"".join(part for part in parts if part))
        status, data = await _answer(http, stream)
    try:
        answer = json.loads(data)
    except ValueError as error:
        raise GatewayError(f"status {status}, and no JSON") from error
    if status != 200 or not isinstance(answer, dict):
        said = answer.get("message") if isinstance(answer, dict) else None
        raise GatewayError(f"status {status}: {said or 'no reason given'}")
    return answer


async def _answer(http: h11.Connection, stream: Stream) -> tuple[int, bytes]:
    status, body = 0, bytearray()
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await stream.receive())
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > ANSWER_BYTES_MAX:
                raise GatewayError(f"an answer of more than {ANSWER_BYTES_MAX} bytes")
        elif isinstance(event, h11.EndOfMessage):
            return status, bytes(body)
        elif not isinstance(event, h11.InformationalResponse):
            raise GatewayError("hung up in the middle of its answer")
