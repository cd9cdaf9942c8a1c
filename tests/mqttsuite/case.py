"""The cases of the suite: functions that name the clauses which they hold a server to.

A case runs once for each server and each version that has such a clause. What a server is known to do otherwise stands in
``known.json``: there the case must fail, so that the table in docs/mqtt.md can be made of cases and known failures alone.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mqttsuite.client import Client, Deviation, dial
from mqttsuite.servers import PASSWORD, SERVERS, USER, Server
from mqttsuite.web import WebSocket

from mqtt.errors import PeerError, Unencodable
from mqtt.packets import Version
from mqtt.properties import Properties
from mqtt.reasons import Reason

KNOWN = Path(__file__).with_name("known.json")
RECORD = os.environ.get("CONFORMANCE_RECORD", "")
"""A file that gets what each case found, instead of comparing that with what is known."""
SOMETIMES = "sometimes: "
"""In known.json: what a server does in some runs only. Both outcomes are right then."""
ATTEMPTS = 3
"""How often another server is asked before it counts as one that has changed: not all are the same each time. Ours is asked
once."""
PATIENCE, PATIENCE_WITH_KNOWN = 3.0 if RECORD else 10.0, 0.1
"""Seconds to wait for what a server must do, and for what it is known not to do."""


@dataclass(frozen=True)
class Run:
    """One case against one server in one version."""

    case: str
    server: str
    version: Version

    def __str__(self) -> str:
        return f"{self.server}-{self.version.text}"


@dataclass(frozen=True)
class Case:
    """clauses: by version, without ``MQTT-`` in front. about: what the server must do. timed: it has to wait for time to
    pass, and runs beside the others."""

    name: str
    about: str
    clauses: dict[Version, tuple[str, ...]]
    run: Callable[[Bench], None]
    timed: bool

    def runs(self) -> Iterator[Run]:
        for server in SERVERS:
            for version in self.clauses:
                if version in server.versions:
                    yield Run(self.name, server.name, version)


CASES: dict[str, Case] = {}


def case(v311: str = "", v5: str = "", *, timed: bool = False) -> Callable[[Callable[[Bench], None]], Callable[..., None]]:
    """Makes a test of a function. v311, v5: the clauses of the versions, with spaces between; the first one is the one that
    the case is about. The docstring says it for the table."""

    def make(run: Callable[[Bench], None]) -> Callable[..., None]:
        name = run.__name__.removeprefix("test_")
        clauses = {Version.V311: tuple(v311.split()), Version.V5: tuple(v5.split())}
        about = (run.__doc__ or "").strip().rstrip(".")
        made = Case(name, about, {version: each for version, each in clauses.items() if each}, run, timed)
        assert about and made.clauses and name not in CASES, name
        CASES[name] = made

        def test(run: Run, servers: Servers) -> None:
            __tracebackhide__ = True
            servers.hold(made, run)

        test.__name__ = f"test_{name}"
        test.__doc__ = run.__doc__
        return pytest.mark.parametrize("run", list(made.runs()), ids=str)(test)

    return make


def known_failures() -> dict[str, dict[str, str]]:
    """By server: case and version to what the server does instead."""
    found: dict[str, dict[str, str]] = json.loads(KNOWN.read_text())
    return found


class Servers:
    """All of them, for one session of tests. selected: what will be run."""

    def __init__(self, folder: Path, selected: list[Run]) -> None:
        self._servers = {kind.name: kind(folder / kind.name) for kind in SERVERS}
        self._selected = selected
        self._known = known_failures()
        self._threads = ThreadPoolExecutor(40, "case")
        self._waiting: dict[Run, Future[str]] = {}
        self._started: set[str] = set()
        self._names = itertools.count(1)

    def hold(self, made: Case, run: Run) -> None:
        """Fails when the case and what is known of the server do not agree. Raises servers.Missing."""
        __tracebackhide__ = True
        server = self._servers[run.server]
        server.ensure()
        if run.server not in self._started:
            self._started.add(run.server)
            for each in self._selected:
                if each.server == run.server and CASES[each.case].timed:
                    self._waiting[each] = self._threads.submit(self._find, server, CASES[each.case], each)
        found = self._waiting[run].result() if made.timed else self._find(server, made, run)
        if RECORD:
            with Path(RECORD).open("a") as file:
                file.write(json.dumps([run.server, f"{run.case} {run.version.text}", found]) + "\n")
            return
        known = self._known_of(run)
        for _ in range(ATTEMPTS - 1):
            if run.server == "ours" or bool(found) == bool(known):
                break
            found = self._find(server, made, run)
        if known and not found and not known.startswith(SOMETIMES):
            pytest.fail(f"{run.server} passes what known.json says it fails ({known}): take it out, and make the table again")
        if found and not known:
            pytest.fail(f"{run.server}, MQTT {run.version.text}, {' '.join(made.clauses[run.version])}: {found}")

    def _known_of(self, run: Run) -> str:
        return self._known.get(run.server, {}).get(f"{run.case} {run.version.text}", "")

    def _find(self, server: Server, made: Case, run: Run) -> str:
        """What the server does wrong; empty if nothing."""
        patience = PATIENCE_WITH_KNOWN if self._known_of(run) and not RECORD else PATIENCE
        bench = Bench(server, run.version, f"{next(self._names)}", patience)
        try:
            with bench.open():
                made.run(bench)
        except PeerError as error:
            return f"sends what is not MQTT: {error}"
        except Unencodable as error:
            return f"sends what cannot be answered: {error}"
        except (Deviation, OSError) as error:
            return str(error) or type(error).__name__
        except AssertionError as error:
            return str(error).splitlines()[0] if str(error) else "something else than expected"
        return ""

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)
        for server in self._servers.values():
            server.stop()


class Bench:
    """What one case works with: clients and names that no other case uses."""

    def __init__(self, server: Server, version: Version, mark: str, patience: float) -> None:
        self.port = server.port
        self._web_port = server.web_port
        self.version = version
        self.patience = patience
        self._mark = mark
        self._clients: list[Client] = []

    @property
    def five(self) -> bool:
        return self.version == Version.V5

    @contextmanager
    def open(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._clear()
            for client in self._clients:
                # Goodbye first, so that no will of this case comes into another one.
                with suppress(OSError):
                    client.sock.settimeout(0.2)
                    client.raw(b"\xe0\x00")
                client.close()

    def _clear(self) -> None:
        """Leaves no retained message behind, whatever the case came to."""
        topics = {topic for client in self._clients for topic in client.retained}
        if topics:
            with suppress(Deviation, PeerError, OSError):
                cleaner = self.client("cleaner")
                for topic in topics:
                    cleaner.publish(topic, b"", 1, retain=True)

    def topic(self, name: str = "t") -> str:
        return f"x{self._mark}/{name}"

    def name(self, name: str) -> str:
        return f"case{self._mark}{name}"

    def stranger(self, version: Version | None = None) -> Client:
        """A connection without a CONNECT."""
        return self._client(dial(self.port), version)

    def web(self, *subprotocols: str) -> tuple[WebSocket, Client]:
        """A connection over WebSocket, without a CONNECT."""
        sock = WebSocket(self._web_port, *subprotocols)
        return sock, self._client(sock)

    def _client(self, sock: object, version: Version | None = None) -> Client:
        client = Client(sock, version or self.version, self.patience)
        self._clients.append(client)
        return client

    def client(self, name: str = "a", *, stays: bool = False, expiry: int = 100, **connect: Any) -> Client:
        """A client that the server has let in. stays: its session is there before and after the connection; at 5.0 ``expiry``
        seconds after. Its user name is that which everybody has."""
        client = self.stranger()
        ack = client.connect(self.name(name), **self.words(stays=stays, expiry=expiry, **connect))
        if ack.reason is not Reason.SUCCESS:
            raise Deviation(f"the CONNACK says {ack.reason.text}")
        return client

    def pair(self, qos: int = 0, topic: str = "t", **connect: Any) -> tuple[Client, Client]:
        """A client that has subscribed to a topic of this case, and another one that may publish there."""
        subscriber = self.client("s", **connect)
        subscriber.subscribe(self.topic(topic), qos=qos)
        return subscriber, self.client("p")

    def none(self) -> bytes:
        """What stands where 5.0 has properties, and there are none."""
        return b"\0" if self.five else b""

    def words(self, *, stays: bool = False, expiry: int = 100, **connect: Any) -> dict[str, Any]:
        """The arguments of a CONNECT."""
        connect = {"username": USER, "password": PASSWORD.encode(), "clean_start": not stays} | connect
        if stays and self.five:
            connect["properties"] = Properties(session_expiry=expiry, **connect.get("properties", {}))
        return connect


def expect(truth: object, otherwise: str) -> None:
    """Raises Deviation, saying what the server did."""
    if not truth:
        raise Deviation(otherwise)
