"""The broker on trio.

All sockets stand in one epoll of its own, whose descriptor is the only thing that trio waits for; a round serves all that are
ready: one read each, one write for each connection that has something to say. A task per connection, as is usual on trio, costs
about twice the CPU when messages come one at a time, and more memory per connection than everything else here together.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from time import perf_counter
from typing import Final

import trio

from mqtt.access import Anybody, Anything, Authenticator, Authorizer, Identity, Peer
from mqtt.asking import Asking
from mqtt.commits import Commits
from mqtt.connections import LAST_WORDS, Connections
from mqtt.core import Core
from mqtt.faults import Faults
from mqtt.journal import Journal, Memory, Saved
from mqtt.limits import Limits
from mqtt.listeners import Door, Listener, open_doors
from mqtt.moment import moment
from mqtt.reasons import Reason
from mqtt.reception import Reception
from mqtt.router import CLOSED, Subscriber
from mqtt.session import Session
from mqtt.sockets import Gone, Socket, TlsContext
from mqtt.statistics import ROOT
from mqtt.sysreport import report

_READ: Final = 64 * 1024
_ROUND: Final = 256
_TURN: Final = 0.005
"""Seconds after which other tasks of the program have their turn, however many sockets are ready."""
_OFTEN: Final = 0.001
"""Seconds between messages that follow each other so closely that the next one is waited for outside of trio's loop."""
_ALONE: Final = 8
"""Turns after which the rest of the program is taken to be at rest, so that there is nobody whom that waiting would hold up."""
_LATE: Final = 0.5
"""Seconds from which on this program, or its machine, is taken to have stood still."""
_BEHIND: Final = 20_000
"""Records that the journal may be behind before nothing more is read from those who wait for it."""

_IN: Final = select.EPOLLIN
_OUT: Final = select.EPOLLOUT
_GONE: Final = select.EPOLLHUP | select.EPOLLERR

Admitted = Callable[[Identity, Peer], bool]


@dataclass
class Config:
    """What a broker is made of; without access rules everybody may do everything."""

    listeners: Sequence[Listener] = field(default_factory=lambda: [Listener()])
    limits: Limits = field(default_factory=Limits)
    authenticator: Authenticator = field(default_factory=Anybody)
    authorizer: Authorizer = field(default_factory=Anything)
    journal: Journal = field(default_factory=Memory)
    closed_roots: frozenset[str] = CLOSED
    sys_interval: float = 10.0
    """Seconds between two reports in ``$SYS``; 0: none. There are none either where ``$SYS`` is not closed to clients."""
    version: str = "mqtt"
    """What ``$SYS/broker/version`` says."""
    hold: bool = False
    """Clients are let in only when ``Broker.let_in`` is set: after parts of the program have subscribed."""


class Broker:
    """Made by :func:`serve`. core: to look at, and to publish and subscribe within the program; call :meth:`flush` after."""

    def __init__(self, config: Config, doors: list[Door], nursery: trio.Nursery) -> None:
        self.core = Core(config.limits, config.journal, config.authorizer, config.closed_roots)
        self.doors = {door.fd: door for door in doors}
        self.core.hurry = self._hurry
        self.core.router.failed = self._not_delivered
        self._slice = 0.0
        self._going_on = False
        self._most = 2 * config.limits.output
        self._journal = config.journal
        self._nursery = nursery
        self._epoll = select.epoll()
        self._moment = moment(self._epoll.fileno())
        self.faults = Faults(config.journal, self.core.counters)
        self._connections = here = Connections(self.core, self._epoll, Asking(config.authenticator), self.faults)
        self._sealed = here.sealed
        self._reception = Reception(self.core, here, nursery, self.flush)
        self._commits = Commits(config.journal, nursery, self._sealed, self._unseal)
        self.ended = False
        self.let_in = trio.Event()
        for fd in self.doors:
            self._epoll.register(fd, _IN)

    @property
    def ports(self) -> list[int]:
        """Of the TCP listeners, in their order."""
        return [door.port for door in self.doors.values() if door.port]

    def restore(self, saved: Saved, now: float) -> None:
        """Before anything else. A will that cannot be published must not keep the broker from starting, time and again."""
        self.core.restore(saved.sessions, saved.retained, now)
        for will in saved.wills:
            try:
                self.core.restore((), (), now, [will])
            except Exception as error:
                self.faults.met(error, f"with the will of {will.client_id!r}")

    # The loop.

    async def run(self) -> None:
        poll = self._epoll.poll
        fd = self._epoll.fileno()
        here = self._moment
        now = -inf
        alone = 0
        while True:
            await trio.lowlevel.wait_readable(fd)
            before, now = now, trio.current_time()
            until = now + _TURN
            wait = here is not None and now - before < _OFTEN and alone > _ALONE and here.free(until)
            alone += 1
            # What becomes ready meanwhile is served in the same turn: it saves the way through trio's own loop.
            while now < until and (ready := poll(0, _ROUND)):
                self._serve(ready, now)
                if wait and here is not None and not here.wait():
                    alone = 0
                    now = trio.current_time()
                    break
                now = trio.current_time()

    def _serve(self, ready: list[tuple[int, int]], now: float) -> None:
        sockets = self._connections.sockets
        self._slice = perf_counter() + _TURN
        for fd, events in ready:
            sock = sockets.get(fd)
            if sock is None:
                if fd in self.doors:
                    self._reception.accept(self.doors[fd], now)
                continue
            try:
                if events & _OUT:
                    self._write_on(sock, now)
                if events & ~_OUT:
                    if sock.reading:
                        self._read(sock, now)
                    elif events & _GONE:
                        # It is reported whether asked for or not, so it must be answered, or it would come for ever.
                        self._connections.drop(sock, now)
            except Exception as error:
                self._connections.fail(sock.link, error, now)
        self.flush(now)

    def _hurry(self) -> bool:
        """Whether who is being served has been served long enough."""
        return perf_counter() > self._slice

    def _not_delivered(self, client: Subscriber, error: Exception) -> None:
        """A mistake in what was for one client is not for who has sent it, nor for those who get it, too."""
        self.faults.met(error, f"delivering to {client.identity.client_id!r}")
        if isinstance(client, Session) and client.link is not None:
            client.link.close()

    async def _go_on(self) -> None:
        """Serves those whose packets take long, in turn with all others."""
        core = self.core
        try:
            while core.unfinished:
                await trio.lowlevel.checkpoint()
                now = trio.current_time()
                self._slice = perf_counter() + _TURN
                for link in core.rest():
                    try:
                        core.feed(link, b"", now)
                        sock = link.shell
                        if isinstance(sock, Socket) and not link.more and not link.closing:
                            sock.reading = True
                            self._connections.watch(sock)
                    except Exception as error:
                        self._connections.fail(link, error, now)
                self.flush(now)
        finally:
            self._going_on = False

    def _read(self, sock: Socket, now: float) -> None:
        link = sock.link
        busy = link.asking is not None or link.more or link.closing or sock.lingering
        if busy or link.buffered > self._most or link.pace > now:
            self._read_not(sock, now)
            return
        if link.hold > self._journal.written and self._commits.behind > _BEHIND:
            # A disk that is too slow, or takes nothing any more, holds up only those who give it more.
            self._sealed.add(sock)
            sock.reading = False
            self._connections.watch(sock)
            return
        try:
            data = sock.read(_READ)
        except Gone:
            self._connections.drop(sock, now)
            return
        if data:
            self.core.feed(link, data, now)

    def _read_not(self, sock: Socket, now: float) -> None:
        """Nothing is read from who has to wait for an answer, does not take those that it has caused, or publishes too fast."""
        link = sock.link
        if sock.lingering:
            self._discard(sock, now)
            return
        if link.pace > now and not link.closing:
            self._nursery.start_soon(self._read_later, sock, link.pace)
        sock.reading = False
        self._connections.watch(sock)

    def _discard(self, sock: Socket, now: float) -> None:
        try:
            sock.read(_READ)
        except Gone:
            self._connections.drop(sock, now)

    async def _read_later(self, sock: Socket, when: float) -> None:
        """Goes on with a client that has published too fast."""
        await trio.sleep_until(when)
        link = sock.link
        if link.shell is sock and not link.closing:
            # The silence was ours.
            link.heard = trio.current_time()
            sock.reading = True
            self._connections.watch(sock)

    def flush(self, now: float | None = None) -> None:  # noqa: PLR0912 - once a round for every connection, calls would cost
        """Writes what the core has to say, once for each connection."""
        core = self.core
        now = trio.current_time() if now is None else now
        if core.asking:
            asking, core.asking = core.asking, []
            for link in asking:
                self._nursery.start_soon(self._reception.ask, link)
        written = self._journal.written
        dirty = core.dirty
        total = 0
        # It grows meanwhile: a link whose network takes what is sent may have more to say.
        for link in dirty:
            link.marked = False
            sock = link.shell
            out = link.out
            if sock is None:
                out.clear()
                continue
            try:
                if out:
                    data = out[0] if len(out) == 1 else b"".join(out)
                    out.clear()
                    total += len(data)
                    if link.hold > written or sock.sealed:
                        sock.sealed.append((link.hold, data))
                        self._sealed.add(sock)
                    elif sock.write(data):
                        session = link.session
                        if session is not None and (session.queue or session.resend or link.more):
                            core.drained(link, now)
                    elif not sock.writing:
                        sock.writing = True
                        self._connections.watch(sock)
                if link.closing:
                    self._connections.leave(sock, now)
            except Exception as error:
                self._connections.fail(link, error, now)
        dirty.clear()
        core.counters.bytes_sent += total
        if self._journal.newest > written:
            self._commits.recorded()
        if core.unfinished and not self._going_on:
            self._going_on = True
            self._nursery.start_soon(self._go_on)

    def _send(self, sock: Socket, data: bytes, now: float) -> None:
        if sock.write(data):
            session = sock.link.session
            if session is not None and (session.behind or sock.link.more):
                self.core.drained(sock.link, now)
        elif not sock.writing:
            sock.writing = True
            self._connections.watch(sock)

    def _write_on(self, sock: Socket, now: float) -> None:
        """The network takes bytes again."""
        if not sock.write_pending():
            return
        sock.writing = False
        if not sock.link.closing:
            self.core.drained(sock.link, now)
            sock.reading = True
        self._connections.watch(sock)
        if sock.link.closing:
            self._connections.leave(sock, now)

    def change_access(self, authorizer: Authorizer, contexts: Mapping[str, TlsContext], admitted: Admitted) -> None:
        """Other rights from now on, other certificates of the listeners (by name) for who connects from now on; whoever is
        not ``admitted`` any more loses his connection. The authenticator changes its mind itself."""
        self.core.router.authorize(authorizer)
        for door in self.doors.values():
            if door.listener.name in contexts:
                door.listener = replace(door.listener, tls=contexts[door.listener.name])
        for link in list(self.core.links):
            if link.identity is not None and not link.identity.inside and not admitted(link.identity, link.peer):
                self.core.disconnect(link, Reason.NOT_AUTHORIZED)
        self.flush()

    async def keep_time(self) -> None:
        """Whatever happens because time passes."""
        while True:
            due = trio.current_time()
            due += min(max(self.core.deadline() - due, 0.01), 1.0)
            await trio.sleep_until(due)
            now = trio.current_time()
            if now - due > _LATE:
                self.core.stood_still(now - due)
            try:
                self.core.tick(now)
            except Exception as error:
                # What it was about is off the list; the rest is dealt with the next time.
                self.faults.met(error, "because of a date")
            self._journal.tick()
            self.flush(now)
            self._connections.give_up(now)

    def close(self) -> None:
        """Says goodbye to all clients and closes everything."""
        now = trio.current_time()
        self.faults.ending = True
        for door in self.doors.values():
            door.close()
        for sock in list(self._connections.sockets.values()):
            self.core.disconnect(sock.link, Reason.SERVER_SHUTTING_DOWN)
        self.flush(now)
        for sock in list(self._connections.sockets.values()):
            self._connections.drop(sock, now)
        for link in [*self.core.links]:
            link.close()
        self.ended = True
        self._commits.end()
        if self._moment is not None:
            self._moment.close()
        self._epoll.close()

    # The journal.

    async def recorded(self, batch: int) -> bool:
        """Waits until this batch of the journal is on disk. False: the broker has ended before."""
        return await self._commits.wait_for(batch)

    def _unseal(self, now: float) -> None:
        """Sends what was waiting for the disk."""
        written = self._journal.written
        for sock in list(self._sealed):
            sealed = sock.sealed
            try:
                while sealed and sealed[0][0] <= written:
                    self._send(sock, sealed.popleft()[1], now)
                if not sealed:
                    self._sealed.discard(sock)
                    if not sock.reading and not sock.pending and not sock.link.closing and sock.link.asking is None:
                        sock.reading = True
                        self._connections.watch(sock)
                    if sock.link.closing:
                        self._connections.leave(sock, now)
            except Exception as error:
                self._connections.fail(sock.link, error, now)
        self.flush(now)


async def serve(config: Config, *, task_status: trio.TaskStatus[Broker] = trio.TASK_STATUS_IGNORED) -> None:
    """Runs a broker until it is cancelled. ``task_status`` has it when all listeners are open, and what the journal has kept is
    back. Raises OSError, JournalError."""
    journal = config.journal
    doors = open_doors(config.listeners)
    now = trio.current_time()
    try:
        saved = await journal.open(now)
    except BaseException:
        for door in doors:
            door.close()
        raise
    broker: Broker | None = None
    try:
        async with trio.open_nursery() as nursery:
            broker = Broker(config, doors, nursery)
            try:
                broker.core.started = now
                broker.restore(saved, now)
                del saved
                nursery.start_soon(broker.keep_time)
                if config.sys_interval > 0 and ROOT in config.closed_roots:
                    nursery.start_soon(report, broker, config.sys_interval, config.version)
                task_status.started(broker)
                if config.hold:
                    await broker.let_in.wait()
                await broker.run()
            finally:
                broker.close()
    finally:
        try:
            if journal.newest > journal.written and not (broker is None or broker.faults.broken):
                with trio.move_on_after(LAST_WORDS, shield=True):
                    await journal.commit()
        finally:
            # Whatever has happened to it: who is started again in this process must find it free.
            await journal.close()
