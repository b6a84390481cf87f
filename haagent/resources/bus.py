# SPDX-License-Identifier: GPL-2.0-or-later
"""The one connection to systemd on D-Bus: kept open, and made anew when it breaks.

A keeper task connects, has systemd send its signals, and waits for the end of the connection; then
it begins anew, for ever. systemd itself leaves the bus and comes back when it is re-executed:
that is an absence too. Whoever asks meanwhile gets `AwayError` at once.

On the system bus anybody may send a signal. Ours are taken from the owner of systemd's name only.

Source: D-Bus specification, "Match Rules", "NameOwnerChanged"; org.freedesktop.systemd1(5).
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any, Protocol

import structlog
from dbus_fast import Message, MessageFlag, MessageType
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusFastError

from haagent.errors import EdgeError
from haagent.resources.units import AwayError, RefusedError

SYSTEM_BUS = "unix:path=/run/dbus/system_bus_socket"
"""Source: sd_bus_default_system(3)."""
CONNECT_S = 5.0
"""To a socket on this host; what is above milliseconds is for a machine under load."""
DISCONNECT_S = 1.0
CALL_S = 1.0
"""systemd answers within 1 ms. A daemon-reload may take longer: then `systemctl`, which is asked
next, waits for its end. A daemon that hangs must not hold up a takeover."""
RECONNECT_S = 0.25
RECONNECT_S_MAX = 5.0
"""The pause doubles up to this: a host without D-Bus costs next to nothing."""
PATIENCE_S = 1.0
"""How long after it went away systemd is waited for; a re-execution takes 0.1 s."""

NAME = "org.freedesktop.systemd1"
MANAGER = f"{NAME}.Manager"
PATH = "/org/freedesktop/systemd1"
DBUS = "org.freedesktop.DBus"
DBUS_PATH = "/org/freedesktop/DBus"
ALREADY_SUBSCRIBED = f"{NAME}.AlreadySubscribed"
NOT_THERE = frozenset(
    f"{DBUS}.Error.{name}"
    for name in ("ServiceUnknown", "NameHasNoOwner", "NoReply", "Disconnected", "TimedOut")
)
"""What the bus answers in the place of systemd when that is not there, or left in mid call."""
OWNER_MATCH = f"type='signal',sender='{DBUS}',member='NameOwnerChanged',arg0='{NAME}'"

log = structlog.get_logger()


class SilentError(AwayError):
    """No answer in time."""


class Listener(Protocol):
    """Who is told what comes over the connection."""

    matches: tuple[str, ...]
    """Match rules of the signals it wants."""

    def heard(self, signal: Message) -> None:
        """A signal of systemd itself."""

    async def came(self) -> None:
        """Systemd can be asked, and sends its signals; whatever it said before was not heard.

        Raises:
            AwayError: It is gone again.
        """

    def left(self) -> None:
        """Nobody can be asked, and signals may be lost from now on."""


class _Connection(MessageBus):
    """The library's, without the exceptions that it leaves in futures of which nobody knows.

    When a write fails, dbus-fast 5.2 closes the socket, gives the exception to the futures of the
    message and of its reply, and then fails once more, because it waits for the closed socket to
    become writable: nobody ever looks at either future. The loop reports such ones as bugs when
    they are forgotten, and the agent would die because the D-Bus daemon did.
    """

    def send(self, msg: Message) -> asyncio.Future[Any]:  # type: ignore[override]  # as the library's
        """Also what `call` sends by: of a write that fails, it hears through its reply."""
        if not self.connected:
            raise BrokenPipeError("no connection")
        if not msg.serial:
            msg.serial = self.next_serial()
        sent: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        sent.add_done_callback(lambda done: done.cancelled() or done.exception())
        with suppress(OSError, ValueError):
            # The pin in pyproject.toml is for this private name.
            assert self._writer is not None
            self._writer.schedule_write(msg, sent)
        return sent


class SystemdBus:
    """Calls to systemd, and its signals."""

    def __init__(self, listener: Listener, address: str = SYSTEM_BUS) -> None:
        """Nothing is opened yet; `address` is in D-Bus's own notation."""
        self._listener = listener
        self._address = address
        self._bus: MessageBus | None = None
        self._owner = ""
        """Unique name of systemd on the bus; "" while it is not there."""
        self._keeper: asyncio.Task[None] | None = None
        self._greetings: set[asyncio.Task[None]] = set()
        self._away_ns = time.monotonic_ns()
        """Since when systemd is away."""
        self._said_away = False
        self._ready = asyncio.Event()

    def open(self) -> None:
        """Begin to keep a connection; harmless when repeated."""
        if self._keeper is None:
            self._away_ns = time.monotonic_ns()
            self._keeper = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """Let go of the bus. Never raises."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait((keeper,))

    async def available(self) -> bool:
        """Whether systemd can be asked; gives one that has just gone away time to return."""
        if not self._ready.is_set() and self._keeper is not None:
            rest_s = PATIENCE_S - (time.monotonic_ns() - self._away_ns) / 1e9
            with suppress(TimeoutError):
                async with asyncio.timeout(max(rest_s, 0)):
                    await self._ready.wait()
        return self._ready.is_set()

    async def call(
        self, member: str, *body: Any, signature: str = "", path: str = PATH, of: str = MANAGER
    ) -> list[Any]:
        """Ask systemd.

        Args:
            member: The method.
            body: Its arguments.
            signature: Their types.
            path: The object.
            of: The interface.

        Returns:
            The values of its answer.

        Raises:
            AwayError: It is not known whether systemd heard it.
            RefusedError: It answered with an error.
        """
        if self._bus is None or not self._owner:
            raise AwayError("systemd is not on the bus" if self._bus else "no connection to D-Bus")
        message = Message(
            destination=self._owner,
            path=path,
            interface=of,
            member=member,
            flags=MessageFlag.NO_AUTOSTART,
            signature=signature,
            body=list(body),
        )
        try:
            return await _call(self._bus, message)
        except SilentError:
            # It was waited for: `available` does not give it a second more.
            self._ready.clear()
            self._away_ns = time.monotonic_ns() - round(PATIENCE_S * 1e9)
            raise

    async def add_match(self, rule: str) -> None:
        """Have the bus pass such signals on, for as long as this connection lasts.

        Raises:
            AwayError, RefusedError: as `call`.
        """
        if self._bus is None:
            raise AwayError("no connection to D-Bus")
        await _ask_bus(self._bus, "AddMatch", rule)

    async def _keep(self) -> None:
        pause_s = RECONNECT_S
        while True:
            began_away_ns = self._away_ns
            try:
                await self._connection()
            except (OSError, EOFError, TimeoutError, EdgeError, DBusFastError) as error:
                self._say_away(str(error) or type(error).__name__)
            was_there = self._away_ns != began_away_ns
            pause_s = RECONNECT_S if was_there else min(2 * pause_s, RECONNECT_S_MAX)
            await asyncio.sleep(pause_s)

    async def _connection(self) -> None:
        """One connection, from its first byte to its last.

        Raises:
            Exception: Its end, or why there was none; of the kinds that `_keep` expects.
        """
        bus = _Connection(self._address)
        async with asyncio.timeout(CONNECT_S):
            await bus.connect()
        end = asyncio.create_task(_end_of(bus))
        try:
            bus.add_message_handler(self._hear)
            for rule in (OWNER_MATCH, *self._listener.matches):
                await _ask_bus(bus, "AddMatch", rule)
            self._bus = bus
            with suppress(RefusedError, AwayError):  # Not there yet: the bus tells when it is.
                (owner,) = await _ask_bus(bus, "GetNameOwner", NAME)
                self._systemd_came(owner)
            await asyncio.wait((end,))
            raise AwayError("the connection to D-Bus was closed") from end.exception()
        finally:
            self._bus = None
            self._systemd_left()
            for greeting in self._greetings:
                greeting.cancel()
            bus.disconnect()
            await asyncio.wait((end, *self._greetings), timeout=DISCONNECT_S)
            end.cancel()
            if end.done() and not end.cancelled():
                end.exception()  # Seen: nobody else will ask for it.

    def _hear(self, message: Message) -> None:
        """Take a signal; returning nothing lets the library see to all other messages."""
        if message.message_type is not MessageType.SIGNAL:
            return
        if message.sender == DBUS:
            if message.member == "NameOwnerChanged" and message.body[0] == NAME:
                self._systemd_left()
                if message.body[2]:
                    self._systemd_came(message.body[2])
        elif self._owner and message.sender == self._owner:
            self._listener.heard(message)

    def _systemd_came(self, owner: str) -> None:
        self._owner = owner
        task = asyncio.create_task(self._greet(owner))
        self._greetings.add(task)
        task.add_done_callback(self._greetings.discard)

    def _systemd_left(self) -> None:
        self._owner = ""
        if self._ready.is_set():
            self._ready.clear()
            self._away_ns = time.monotonic_ns()
        self._listener.left()

    async def _greet(self, owner: str) -> None:
        """Have systemd send its signals; only then it counts as there."""
        try:
            try:
                await self.call("Subscribe")
            except RefusedError as error:
                if error.name != ALREADY_SUBSCRIBED:
                    raise
            await self._listener.came()
        except (AwayError, RefusedError) as error:
            self._say_away(str(error))
            if self._bus is not None and self._owner == owner:
                self._bus.disconnect()  # The keeper begins anew.
            return
        if self._owner == owner:
            self._ready.set()
            if self._said_away:
                self._said_away = False
                log.info("systemd.back")

    def _say_away(self, reason: str) -> None:
        """Once an outage, not four times a second."""
        if not self._said_away:
            self._said_away = True
            log.warning("systemd.away", reason=reason, hint="systemctl is used meanwhile")


async def _end_of(bus: MessageBus) -> None:
    """Wait until the connection has ended; raises the reason, if it was not we who ended it."""
    await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]  # not annotated in 5.2


async def _ask_bus(bus: MessageBus, member: str, argument: str) -> list[Any]:
    message = Message(
        destination=DBUS,
        path=DBUS_PATH,
        interface=DBUS,
        member=member,
        signature="s",
        body=[argument],
    )
    return await _call(bus, message)


async def _call(bus: MessageBus, message: Message) -> list[Any]:
    """One call, with all that the library may raise turned into our own errors."""
    member = message.member
    try:
        async with asyncio.timeout(CALL_S):
            reply = await bus.call(message)
    except TimeoutError:
        # The library would keep what it waits for; a new connection forgets it. And an order that
        # is still on its way comes to nothing: systemd refuses whoever has left the bus.
        bus.disconnect()
        raise SilentError(f"{member}: no answer in {CALL_S:g} s") from None
    except (OSError, EOFError, DBusFastError) as error:
        raise AwayError(f"{member}: the connection to D-Bus broke: {error}") from error
    if reply is None:  # The connection was closed while we waited.
        raise AwayError(f"{member}: the connection to D-Bus was closed")
    body: list[Any] = reply.body
    if reply.message_type is MessageType.ERROR:
        name, text = reply.error_name or "", str(body[0]) if body else ""
        if name in NOT_THERE:
            raise AwayError(f"{member}: {text or name}")
        raise RefusedError(name, text)
    return body
