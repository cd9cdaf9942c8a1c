"""GET from a program on this machine, over its unix socket."""

from __future__ import annotations

import http.client
import socket
from pathlib import Path
from typing import Final

_PATIENCE: Final = 15.0


class Unreachable(Exception):
    """Nobody answers there, or something that is not HTTP. The text says why."""


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def get(path: Path, target: str, limit: int = 256 * 1024 * 1024) -> tuple[int, bytes]:
    """Status and body. Raises Unreachable, OSError where the socket cannot be opened."""
    connection = _Connection(path)
    try:
        connection.connect()
        connection.request("GET", target)
        response = connection.getresponse()
        body = response.read(limit + 1)
    except http.client.HTTPException as error:
        raise Unreachable(f"no HTTP answer ({type(error).__name__})") from error
    except TimeoutError as error:
        raise Unreachable(f"no answer within {_PATIENCE:g} s") from error
    finally:
        connection.close()
    if len(body) > limit:
        raise Unreachable(f"an answer of more than {limit} bytes")
    return response.status, body
