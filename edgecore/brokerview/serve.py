"""Where the view is to be had."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Final

import trio

from edgecore.brokerview.app import View
from mqtt.broker import Broker
from mqtt.listeners import Door, listen_unix
from viaduct.http_server import HttpLimits, serve_http
from viaduct.listen import open_listeners, port_of

SOCKET: Final = Path("/var/lib/kubeedge/broker.sock")
"""Where ``keadm ctl broker`` looks first."""
_LIMITS: Final = HttpLimits(headers=8 * 1024, keep_alive=30, write=10, connections=32)


async def serve_view(
    broker: Broker, path: Path, *, version: str = "mqtt", task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serves metrics, clients and subscriptions on a unix socket (0600) until it is cancelled. Raises OSError at the start."""
    try:
        sock = listen_unix(path, 0o600)
    except OSError as error:
        raise OSError(error.errno, f"cannot listen on {path}: {error.strerror or error}") from error
    identity = _identity(path)
    view = View(broker.core, version, listeners=_addresses(broker), private=True)
    try:
        async with trio.SocketListener(trio.socket.from_stdlib_socket(sock)) as listener:
            await serve_http(view, [listener], tls=None, limits=_LIMITS, task_status=task_status)
    finally:
        _remove(path, identity)


def _remove(path: Path, identity: tuple[int, int] | None) -> None:
    """Unless it is the socket of somebody who came after us."""
    if _identity(path) == identity:
        path.unlink(missing_ok=True)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


async def serve_metrics(
    broker: Broker, host: str, port: int, *, version: str = "mqtt", task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serves ``/metrics`` alone, plain HTTP, until it is cancelled; ``task_status`` has the port. Raises Fatal."""
    async with AsyncExitStack() as doors:
        listeners = await open_listeners(host, port, purpose="metrics of the MQTT broker")
        for listener in listeners:
            doors.push_async_callback(listener.aclose)
        view = View(broker.core, version, listeners=[], private=False)
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(serve_http, view, listeners, tls=None, limits=_LIMITS))
            task_status.started(port_of(listeners))


def _addresses(broker: Broker) -> list[str]:
    return [_address(door) for door in broker.doors.values()]


def _address(door: Door) -> str:
    listener = door.listener
    if listener.path is not None:
        return f"unix:{listener.path}"
    kind = (
        ("wss" if listener.tls is not None else "ws") if listener.websocket else ("mqtts" if listener.tls is not None else "mqtt")
    )
    host = f"[{listener.host}]" if ":" in listener.host else listener.host
    return f"{kind}://{host}:{door.port}"
