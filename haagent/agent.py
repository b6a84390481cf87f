# SPDX-License-Identifier: GPL-2.0-or-later
"""The only loop: queued input first, then the clock; effects out, results back in."""

from __future__ import annotations

import asyncio
import contextvars
import secrets
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

import structlog

from haagent import host, release
from haagent.config import Configuration
from haagent.control import ControlServer
from haagent.core.effects import Beat, Effect, Exit, Reply
from haagent.core.events import (
    DeadlinePassed,
    Event,
    LinkChanged,
    PeerHeard,
    Reconfigured,
    StopAsked,
    StopKind,
)
from haagent.core.phases import HOLDING
from haagent.core.state import State, Step
from haagent.core.step import deadline_ns, start, step
from haagent.core.wire import DecodeError
from haagent.drill.station import Station
from haagent.durable import DurableRecord
from haagent.edges import Edges
from haagent.errors import EdgeError
from haagent.feeding import FeedingRight
from haagent.heartbeats import Heartbeats
from haagent.journal import Journal
from haagent.links.linkset import LinkSet
from haagent.netlink import Interface, Netlink
from haagent.notify import EXIT_REPLACED, Notifier
from haagent.onlookers import Onlookers
from haagent.reload import Reload, Source
from haagent.report import Report
from haagent.requests import Requests
from haagent.watchdog import Watchdog

INBOX_MAX = 10_000
"""Events waiting; frames beyond it are dropped and counted, as the kernel would have done."""

CLOSE_S = 1.0
FAREWELL_S = 30.0
"""What a leaving node may take beside stopping its groups, before systemd kills it."""

log = structlog.get_logger()


class Agent:
    """One node's agent: owns the state, and hands each effect to the edge that it is for."""

    def __init__(self, configuration: Configuration, source: Source) -> None:
        identified = replace(
            configuration.pair, host_identity=host.system_uuid(), release=release.packed()
        )
        self._configuration = configuration = replace(configuration, pair=identified)
        self._incarnation = secrets.randbits(63) + 1
        self._heartbeats = Heartbeats(configuration.cluster, identified.me, self._incarnation)
        self._inbox: deque[Event] = deque()
        self._context = contextvars.copy_context()
        """Of every turn: what a task of one group brings in concerns all of them."""
        self._timer: asyncio.TimerHandle | None = None
        self._armed_ns: int | None = None
        self._turning = True
        """A turn is under way or about to come; at first, until there is a state to turn."""
        self._right = FeedingRight(self._incarnation, configuration.watchdog.right_ns)
        self._watchdog = Watchdog(configuration.watchdog, self._right.lasts)
        self._notifier = Notifier.from_environment()
        self._done: asyncio.Future[StopKind]
        self._state: State
        durable = DurableRecord(configuration.state_dir / "record.json", host.boot_id())
        self._record, self._same_boot = durable.load()
        self._onlookers = Onlookers(
            configuration, self._record, same_boot=self._same_boot, write=self._write
        )
        self._journal = Journal()
        self._netlink = Netlink()
        self._links = LinkSet(configuration.links, self._datagram, self._netlink)
        history = self._onlookers.history
        self._edges = Edges(configuration, self._netlink, durable, self._take, history.note)
        self._edges.panel.stood_by = self._right.agreed
        me, newest = self._incarnation, self._newest
        witnesses = self._edges.panel.look_now
        self._drills = Station(
            configuration, me, self._links, newest, self._told, witnesses, self._write
        )
        self._report = Report(
            configuration,
            newest,
            self._links,
            self._edges,
            self._watchdog,
            self._onlookers,
            drills=self._drills,
            refused=lambda: self._reload.refused,
        )
        self._reload = Reload(
            configuration,
            source,
            state=newest,
            edges=self._edges,
            hooks=self._onlookers.hooks,
            adopt=self._adopt,
            notifier=self._notifier,
            ended=lambda: self._notifier.status(self._report.line()),
        )
        self._onlookers.prepare(self._report.figures)
        self._requests = Requests(
            configuration,
            self._take,
            self._report.status,
            history,
            self._edges.shooting.measure_settle,
            self._onlookers.box.flush,
            reload=self._reload.answer,
            drill=self._drills.answer,
        )
        self._control = ControlServer(configuration.control_socket, self._requests.answer)

    async def run(self) -> int:
        """Run until told to end.

        Returns:
            The process's exit status.

        Raises:
            EdgeError: the machine lacks what the agent cannot do without.
        """
        loop = asyncio.get_running_loop()
        self._done = loop.create_future()
        loop.set_exception_handler(self._die)
        for number, kind in (
            (signal.SIGTERM, StopKind.LEAVE),
            (signal.SIGINT, StopKind.LEAVE),
            (signal.SIGUSR1, StopKind.PAUSE),
        ):
            loop.add_signal_handler(number, self._stop, kind)
        loop.add_signal_handler(signal.SIGHUP, self._reload.begin)
        await self._netlink.open()
        await self._edges.open()
        found = await self._edges.found()
        self._links.open(loop)
        self._netlink.watch(self._interface_changed)
        # Last: what fails before this ends the agent, and must not end the machine.
        self._watchdog.open()
        self._drills.open()
        self._begin(found)
        await self._edges.arm()
        await self._control.start()
        self._onlookers.open(self._report.status)
        self._notifier.ready()
        try:
            kind = await self._done
            # Nothing feeds it from here on.
            self._watchdog.close(disarm=not self._holding)
            if kind is StopKind.PAUSE:
                return EXIT_REPLACED
            await self._edges.services.retire()
            return 0
        finally:
            self._watchdog.close(disarm=False)
            with suppress(TimeoutError):  # A client that does not read must not keep us here.
                async with asyncio.timeout(CLOSE_S):
                    await self._control.close()
            await self._drills.close()
            self._links.close()
            self._notifier.close()
            await self._onlookers.close()
            await self._edges.close()
            self._netlink.close()
            self._onlookers.box.close()

    @property
    def _holding(self) -> frozenset[int]:
        """Groups of which resources may run here."""
        return frozenset(
            index
            for index, group in enumerate(self._state.groups)
            if isinstance(group.phase, HOLDING)
        )

    def _begin(self, found: frozenset[int]) -> None:
        for refused in host.be_punctual():
            log.warning("agent.not_punctual", refused=refused)
        now_ns, record, same_boot = time.monotonic_ns(), self._record, self._same_boot
        first = start(
            replace(self._configuration.pair, unfed_s=self._watchdog.unfed_s),
            incarnation=self._incarnation,
            now_ns=now_ns,
            record=record,
            same_boot=same_boot,
            found=found,
        )
        self._state = first.state
        self._onlookers.box.begin(
            first, now_ns=now_ns, record=record, same_boot=same_boot, found=found
        )
        log.info("agent.started", incarnation=self._incarnation, same_boot=self._same_boot)
        for index, link in enumerate(self._configuration.links):
            interface = self._netlink.interface(link.interface)
            self._inbox.append(LinkChanged(index, interface.up and interface.carrier))
        self._carry_out(first)
        self._turning = False
        self._wake()

    def _take(self, event: Event) -> None:
        """Queue an event; it is taken in before the clock is looked at again."""
        if len(self._inbox) >= INBOX_MAX and isinstance(event, PeerHeard):
            self._onlookers.counts.frames["dropped"] += 1
            return
        self._inbox.append(event)
        self._wake()

    def _wake(self) -> None:
        if not self._turning:
            self._turning = True
            asyncio.get_running_loop().call_soon(self._turn, context=self._context)

    def _turn(self) -> None:
        """All queued input, then the clock, then the next deadline (S6)."""
        self._drain()
        due_ns = deadline_ns(self._state)
        while due_ns is not None and time.monotonic_ns() >= due_ns:
            # What arrived while we were busy is older than this look at the clock.
            self._links.drain()
            self._drain()
            now_ns = time.monotonic_ns()
            due_ns = deadline_ns(self._state)
            if due_ns is not None and now_ns >= due_ns:
                self._onlookers.counts.lateness.observe(now_ns - due_ns)
                self._step(DeadlinePassed(), now_ns)
                due_ns = deadline_ns(self._state)
        self._turning = False
        self._arm(due_ns)

    def _arm(self, due_ns: int | None) -> None:
        """Wake at the deadline; most events leave it where it was."""
        if self._timer is not None:
            if self._armed_ns == due_ns:
                return
            self._timer.cancel()
        self._timer, self._armed_ns = None, due_ns
        if due_ns is not None:
            delay_s = max(0, due_ns - time.monotonic_ns()) / 1e9
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(delay_s, self._ring, context=self._context)

    def _ring(self) -> None:
        self._timer = None
        self._wake()

    def _drain(self) -> None:
        """Take in what the readers and tasks queued."""
        while self._inbox:
            self._step(self._inbox.popleft(), time.monotonic_ns())

    def _step(self, event: Event, now_ns: int) -> None:
        before = self._state
        result = step(before, event, now_ns)
        self._state = result.state
        if isinstance(event, PeerHeard):
            self._know_peer(before, result.state)
        self._journal.observe(before, event, result, now_ns)
        self._requests.observe(before, result.state)
        self._edges.observe(before, result.state)
        self._right.observe(result.state)
        if before.groups is not result.state.groups:
            self._notifier.status(self._report.line())
        self._onlookers.observe(before, event, result, now_ns)
        self._carry_out(result)

    def _write(self, work: Callable[[], None]) -> asyncio.Future[None]:
        """Files of the onlookers: behind the record, on the same thread."""
        return self._edges.write(work)

    def _carry_out(self, result: Step) -> None:
        if not result.effects:
            return
        held = self._holding
        for effect in result.effects:
            self._begin_effect(effect, held)

    def _begin_effect(self, effect: Effect, held: frozenset[int]) -> None:
        match effect:
            case Beat():
                self._send(effect)
            case Reply():
                self._requests.settle(effect)
            case Exit():
                log.info("agent.exits", kind=effect.kind.value)
                if not self._done.done():
                    self._done.set_result(effect.kind)
            case _:
                self._edges.carry_out(effect, held)

    def _send(self, beat: Beat) -> None:
        now_ns, interval_ns = time.monotonic_ns(), self._state.settings.timing.interval_ns
        self._watchdog.beat(now_ns, interval_ns)
        if (unfed_s := self._watchdog.unfed_s) != self._state.settings.unfed_s:
            self._take(Reconfigured(replace(self._state.settings, unfed_s=unfed_s)))
        self._right.sent(self._heartbeats.following, host.boottime_ns())
        self._notifier.beat(now_ns, interval_ns)
        keys, links = self._configuration.keys, len(self._configuration.links)
        for index, data in enumerate(self._heartbeats.signed(beat.body, keys, links)):
            self._links.send(index, data)
            if not index:
                self._edges.panel.copy(data)

    def _datagram(self, link: int, data: bytes, heard_ns: int) -> None:
        if self._drills.took(data):
            return
        try:
            frame = self._heartbeats.read(data, self._configuration.keys)
        except DecodeError as error:
            self._onlookers.counts.frames[f"refused_{error.refusal}"] += 1
            return
        self._onlookers.counts.frames["frames"] += 1
        self._edges.shooting.heard_ns = min(heard_ns, time.monotonic_ns())
        self._right.heard(frame)
        self._take(PeerHeard(link, self._edges.shooting.heard_ns, frame))

    def _know_peer(self, before: State, state: State) -> None:
        """Hold the peer's fence devices to the machine that its own frames say it is."""
        if state.view is not None:
            self._edges.shooting.outwaiting.peer_unfed_s = state.view.body.unfed_s
        identity = state.view.body.host_identity if state.view else b""
        known = before.view.body.host_identity if before.view else b""
        if identity != known and any(identity):
            self._edges.shooting.expect_identity(identity)

    def _interface_changed(self, before: Interface, now: Interface) -> None:
        for index, link in enumerate(self._configuration.links):
            if link.interface == now.name and (before.up and before.carrier) != (
                now.up and now.carrier
            ):
                self._take(LinkChanged(index, now.up and now.carrier))

    def _newest(self) -> State:
        return self._state

    def _told(self) -> Mapping[str, object]:
        return self._report.status()

    def _adopt(self, new: Configuration) -> None:
        now = self._configuration.pair
        pair = replace(new.pair, host_identity=now.host_identity, release=now.release)
        self._configuration = self._report.configuration = replace(new, pair=pair)
        self._onlookers.desk.reconfigure(new.alerts)
        self._drills.adopt(new)
        self._take(Reconfigured(replace(pair, unfed_s=self._watchdog.unfed_s)))

    def _stop(self, kind: StopKind) -> None:
        if kind is StopKind.LEAVE:
            budget_ns = self._configuration.pair.timing.stop_budget_ns
            self._notifier.stopping(budget_ns / 1e9 + FAREWELL_S)
        self._take(StopAsked(kind))

    def _die(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """A bug in a task or callback: end, so that systemd starts us into a known state."""
        error = context.get("exception")
        if not self._done.done():
            broken = error if isinstance(error, Exception) else RuntimeError(context["message"])
            self._done.set_exception(broken)


def run(configuration: Configuration, source: Source) -> int:
    """Run the agent of one node until it is told to end.

    Args:
        configuration: To begin with.
        source: Of it, and of those that reloads take in.

    Returns:
        The process's exit status.

    Raises:
        EdgeError: the machine lacks what the agent cannot do without.
    """
    host.leave_no_core()
    threading.stack_size(host.STACK_BYTES)
    source.keep_aside()
    for directory in (configuration.state_dir, configuration.control_socket.parent):
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EdgeError(f"{directory}: {error.strerror}") from error
    return asyncio.run(Agent(configuration, source).run())
