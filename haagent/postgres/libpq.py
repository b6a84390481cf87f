# SPDX-License-Identifier: GPL-2.0-or-later
"""libpq, without a call that blocks: every wait is a poll with an end.

Imported by whoever has a server to ask, and by nobody else: the library is large.
"""

from __future__ import annotations

import select
import time

from psycopg import OperationalError, pq

from haagent.postgres.errors import Row, SqlError, SqlTimeoutError


def connect(conninfo: str, deadline_s: float) -> pq.abc.PGconn:
    """A connection that was made in time.

    Raises:
        SqlTimeoutError: It was not.
        SqlError: The server refused it, or is not there.
    """
    connection = pq.PGconn.connect_start(conninfo.encode())
    try:
        awaited: int = pq.PollingStatus.WRITING
        while awaited != pq.PollingStatus.OK:
            _check(connection, awaited)
            wanted = select.POLLIN if awaited == pq.PollingStatus.READING else select.POLLOUT
            _wait(connection, wanted, deadline_s)
            awaited = connection.connect_poll()
        connection.nonblocking = 1
    except BaseException:
        connection.finish()
        raise
    return connection


def verifier(password: str, user: str) -> str:
    """What a server keeps of a password (SCRAM-SHA-256), so that it never sees the password."""
    # libpq wants a connection for its errors only, and is given one that leads nowhere.
    nowhere = pq.PGconn.connect_start(b"host=/nonexistent")
    try:
        algorithm = b"scram-sha-256"
        return nowhere.encrypt_password(password.encode(), user.encode(), algorithm).decode()
    finally:
        nowhere.finish()


def is_lost(connection: pq.abc.PGconn) -> bool:
    """Whether nothing more can be asked over it."""
    return connection.status != pq.ConnStatus.OK


def ask(
    connection: pq.abc.PGconn, statement: str, values: tuple[str | None, ...], deadline_s: float
) -> list[Row]:
    """The rows that a statement brings.

    Raises:
        SqlTimeoutError: Not in time: the connection is of no use any more.
        SqlError: The server said no, or hung up.
    """
    encoded = [None if value is None else value.encode() for value in values]
    try:
        connection.send_query_params(statement.encode(), encoded)
        while connection.flush():
            _wait(connection, select.POLLIN | select.POLLOUT, deadline_s)
        return _answer(connection, deadline_s)
    except OperationalError as error:
        raise SqlError(" ".join(str(error).split()) or "the server hung up") from error


def _answer(connection: pq.abc.PGconn, deadline_s: float) -> list[Row]:
    """Read an answer to its end, an error as well, so that the next question can be asked."""
    rows: list[Row] = []
    refused: SqlError | None = None
    while True:
        while connection.is_busy():
            _wait(connection, select.POLLIN, deadline_s)
            connection.consume_input()
        result = connection.get_result()
        if result is None:
            break
        if result.status == pq.ExecStatus.TUPLES_OK:
            rows = _rows(result)
        elif result.status != pq.ExecStatus.COMMAND_OK:
            refused = SqlError(_said(result.error_message or connection.error_message))
    if refused is not None:
        raise refused
    return rows


def _check(connection: pq.abc.PGconn, polled: int) -> None:
    if polled == pq.PollingStatus.FAILED or connection.status == pq.ConnStatus.BAD:
        raise SqlError(_said(connection.error_message))


def _rows(result: pq.abc.PGresult) -> list[Row]:
    return [
        tuple(_text(result.get_value(row, column)) for column in range(result.nfields))
        for row in range(result.ntuples)
    ]


def _wait(connection: pq.abc.PGconn, wanted: int, deadline_s: float) -> None:
    poll = select.poll()
    poll.register(connection.socket, wanted)
    rest_s = deadline_s - time.monotonic()
    if rest_s <= 0 or not poll.poll(rest_s * 1000):
        raise SqlTimeoutError("no answer in time")


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")


def _said(message: bytes) -> str:
    """What the server said, on one line."""
    text = " ".join(message.decode(errors="replace").split())
    return text.removeprefix("ERROR: ") or "the server hung up"
