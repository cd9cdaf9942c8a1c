"""``commonConfig.monitorServer``: /livez, /readyz, /healthz and /metrics on plain HTTP.

KubeEdge 1.23 (cloud/pkg/common/monitor) serves /metrics with the number of connected nodes, and no probes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Final, Protocol

import trio

from beehive import metrics
from beehive.metrics import Counter, Family, Histogram
from beehive.process_metrics import process_families
from beehive.supervise import Fatal
from cloudcore.config import MonitorServer, host_and_port
from viaduct.http_server import HttpLimits, Receive, Scope, Send, serve_http
from viaduct.listen import open_listeners

log = logging.getLogger(__name__)

PATIENCE: Final = 30.0
"""Seconds without any answer of the Kubernetes API after which this cloudcore does not count as ready."""
LIMITS: Final = HttpLimits(headers=8 * 1024, keep_alive=30, write=10, connections=64)


class ApiCalls:
    """The requests to the Kubernetes API, as client-go counts them. Pass it as ``observe`` to kube.client.Client."""

    def __init__(self) -> None:
        self._requests = Counter("rest_client_requests_total", "Requests to the Kubernetes API.", ("code", "method"))
        self._seconds = Histogram(
            "rest_client_request_duration_seconds", "How long the Kubernetes API took; of a watch, to its first word.", "verb"
        )
        self._failing_since: float | None = None

    def __call__(self, method: str, code: int, seconds: float) -> None:
        """One request is over. code: 0 when there was no answer."""
        self._requests.add(str(code) if code else "<error>", method)
        self._seconds.observe(method, seconds)
        if code:
            self._failing_since = None
        elif self._failing_since is None:
            self._failing_since = trio.current_time()

    def silent_for(self) -> float:
        """Seconds since the first of the requests that got no answer, when none got one after it; else 0."""
        return 0.0 if self._failing_since is None else trio.current_time() - self._failing_since

    def families(self) -> tuple[Family, ...]:
        return self._requests.family(), self._seconds.family()


class Edges(Protocol):
    """What is told about the edges' side."""

    def families(self) -> Iterable[Family]: ...


class Monitor:
    """An ASGI application, and the place where the composition root says how far it is.

    serving: all has been listed and the doors are open. leader: whether this replica leads, where there can be more than one.
    """

    def __init__(self) -> None:
        self.api = ApiCalls()
        self.edges: Edges | None = None
        self.serving = False
        self.leader: Callable[[], bool] | None = None

    def faults(self) -> list[str]:
        """Why this cloudcore is not ready; nothing when it is."""
        faults = [] if self.serving else ["starting: nothing is served yet"]
        if (silent := self.api.silent_for()) > PATIENCE:
            faults.append(f"the Kubernetes API has not answered for {silent:.0f} s")
        return faults

    def families(self) -> Iterable[Family]:
        yield metrics.gauge("cloudcore_build_info", "The version that runs.", 1, {"version": _version()})
        yield metrics.gauge("cloudcore_ready", "1 while /readyz says ok.", not self.faults())
        if self.leader is not None:
            yield metrics.gauge("cloudcore_leader", "1 while this replica leads.", self.leader())
        if self.edges is not None:
            yield from self.edges.families()
        yield from self.api.families()
        yield from process_families()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        status, content_type, text = self._answer(scope["method"], scope["path"])
        body = text.encode()
        headers = [
            (b"content-type", content_type.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _answer(self, method: str, path: str) -> tuple[int, str, str]:
        plain = "text/plain; charset=utf-8"
        if path not in ("/livez", "/healthz", "/readyz", "/metrics"):
            return 404, plain, "served are /livez, /readyz, /healthz and /metrics\n"
        if method not in ("GET", "HEAD"):
            return 405, plain, "only GET is served here\n"
        if path == "/metrics":
            return 200, metrics.CONTENT_TYPE, metrics.text(self.families())
        faults = self.faults() if path == "/readyz" else []
        return (503, plain, "".join(f"not ready: {fault}\n" for fault in faults)) if faults else (200, plain, "ok\n")


def _version() -> str:
    try:
        return version("edgecore")
    except PackageNotFoundError:
        return "unknown"


async def start(doors: AsyncExitStack, nursery: trio.Nursery, settings: MonitorServer, monitor: Monitor) -> int:
    """Serves in ``nursery`` until that is cancelled; returns the port, 0 when nothing is served. Raises Fatal.

    An address that somebody has set must be had. The default may be in use: other programs like port 9091, too.
    """
    if not settings.bind_address:
        return 0
    host, port = host_and_port(settings.bind_address)
    try:
        listeners = await open_listeners(host, port, purpose="monitoring (commonConfig.monitorServer)")
    except Fatal as error:
        if settings.bind_address != MonitorServer().bind_address:
            raise
        log.warning("no probes and no metrics: %s", error)
        return 0
    for listener in listeners:
        doors.push_async_callback(listener.aclose)
    await nursery.start(partial(serve_http, monitor, listeners, tls=None, limits=LIMITS))
    return int(listeners[0].socket.getsockname()[1])
