"""Calls of the docker SDK: each in a thread, bounded in time, its errors in our words."""

from __future__ import annotations

import functools
import math
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import trio

from edgecore.edged.runtime.dockerobjects import explain
from edgecore.edged.runtime.engine import EngineError, EngineUnavailable

if TYPE_CHECKING:
    from docker import APIClient

T = TypeVar("T")

QUICK = 20.0
"""Seconds for what docker answers from memory: ping, list, inspect."""
SLOW = 120.0
"""Seconds for what works on disk and network: create, start, remove (kubelet: runtimeRequestTimeout, 2 min)."""


class NotFound(EngineError):
    """docker does not know this container or image."""


class Conflict(EngineError):
    """docker: 409, the name is taken or something is in progress."""


class DockerClient:
    """One docker engine at ``endpoint`` (``unix:///var/run/docker.sock``). Connects at the first call."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.short = trio.CapacityLimiter(8)
        self.slow = trio.CapacityLimiter(4)
        self.long = trio.CapacityLimiter(100)
        """How many calls of each kind run at once: what docker answers from memory; what makes its disk work; what waits by
        its nature (a stop with grace, a pull, the event stream). The others wait, and their time has not begun."""
        self.threads = trio.CapacityLimiter(128)
        """All threads, including those of a hanging docker that nobody waits for any more."""
        self._api: APIClient | None = None

    def api(self) -> APIClient:
        """The SDK's client; blocks (the first call asks docker for its version), so only inside a thread."""
        if self._api is None:
            from docker import APIClient

            _knock(self.endpoint)
            self._api = APIClient(base_url=self.endpoint, version="auto", timeout=int(SLOW), max_pool_size=32)
        return self._api

    async def call(
        self, what: str, function: Callable[[APIClient], T], *, within: float = QUICK, gate: trio.CapacityLimiter | None = None
    ) -> T:
        """Runs ``function`` with the SDK's client in a thread; ``what`` begins the text of an error.

        within: seconds from when its turn has come. A thread that does not come back in time is left to the socket's own
        timeout. Raises NotFound, Conflict, EngineUnavailable, EngineError.
        """
        try:
            async with gate or (self.slow if within >= SLOW else self.short):
                with trio.fail_after(within):
                    work = functools.partial(self._work, function)
                    return await trio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=self.threads)
        except trio.TooSlowError:
            raise EngineUnavailable(f"{what}: docker at {self.endpoint} did not answer within {math.ceil(within)} s") from None
        except Exception as error:
            raise translate(what, error, self.endpoint) from error

    def _work(self, function: Callable[[APIClient], T]) -> T:
        return function(self.api())

    def close(self) -> None:
        """Closes the connections; a later call opens them again."""
        if self._api is not None:
            self._api.close()
            self._api = None


def _knock(endpoint: str) -> None:
    """Raises the plain OSError when nobody listens: the SDK would wrap it four times and leave its socket open."""
    if not endpoint.startswith("unix://"):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(QUICK)
        probe.connect(endpoint.removeprefix("unix://"))


def translate(what: str, error: Exception, endpoint: str) -> EngineError:
    """What the SDK raised, as our error, root cause first."""
    import docker.errors
    import requests

    if isinstance(error, EngineError):
        return error
    if isinstance(error, docker.errors.APIError):
        text = explain(str(error.explanation or error))
        kind = {404: NotFound, 409: Conflict}.get(error.status_code or 0, EngineError)
        return kind(f"{what}: {text}")
    if isinstance(error, (docker.errors.DockerException, requests.RequestException, OSError)):
        return EngineUnavailable(f"{what}: {unreachable(error, endpoint)}")
    return EngineError(f"{what}: unexpected answer of docker at {endpoint}: {type(error).__name__}: {error}")


def unreachable(error: BaseException, endpoint: str) -> str:
    """Why docker cannot be reached, found at the end of the SDK's chain of exceptions, and what to do."""
    text = repr(error)
    cause: BaseException | None = error
    while cause is not None:
        text += repr(cause)
        cause = cause.__cause__ or cause.__context__
    if "PermissionError" in text or "Permission denied" in text:
        return f"no permission to use docker at {endpoint}; run as root or add the user to the group docker"
    if "FileNotFoundError" in text or "No such file" in text:
        return f"there is no docker at {endpoint}; install or start it (systemctl start docker)"
    if "ConnectionRefusedError" in text or "Connection refused" in text:
        return f"docker at {endpoint} does not run; start it (systemctl start docker)"
    if "Timeout" in text or "timed out" in text:
        return f"docker at {endpoint} does not answer in time"
    return f"docker at {endpoint} broke off: {error}"
