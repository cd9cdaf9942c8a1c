"""HTTP below the client: one pool, deadlines and bounds on everything, failures as ApiError."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
import trio

from kube.kubeconfig import KubeconfigError
from kube.status import ApiError, ApiUnreachable, BadAnswer, describe, make
from kube.throttle import Throttle, is_heartbeat

if TYPE_CHECKING:
    import ssl

    import httpx2


@dataclass(frozen=True)
class Limits:
    """What one server may cost us. body: bytes of one answer. line: bytes of one watch event. connections: at once.
    connect: seconds for TCP and TLS."""

    body: int = 256 * 1024 * 1024
    line: int = 16 * 1024 * 1024
    connections: int = 64
    connect: float = 10.0


_ERROR_BODY: Final = 1024 * 1024
_KEEPALIVE: Final = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 20),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 35_000),
]
"""A quiet watch whose peer has vanished is noticed after 35 s, without anything being sent by either program."""


Observer = Callable[[str, int, float], None]
"""observer(method, code, seconds): one request is over. code: of HTTP, 0 when there was no answer."""


@dataclass(frozen=True)
class Call:
    """One request. content: the body, already encoded."""

    method: str
    path: str
    query: Mapping[str, str]
    content: bytes | None = None
    content_type: str = ""


@dataclass
class _Ending:
    """How a request ends; code: 0 until there is an answer."""

    code: int = 0


class Transport:
    """Requests to one server. ``open`` first; ``close`` ends all connections."""

    def __init__(
        self,
        server: str,
        *,
        tls: ssl.SSLContext | None,
        token: str | Callable[[], str],
        user_agent: str,
        timeout: float,
        server_name: str,
        limits: Limits,
        throttle: Throttle | None = None,
        observe: Observer | None = None,
    ) -> None:
        if not server.startswith(("https://", "http://")):
            raise ValueError(f"server {server!r}: a URL like https://host:6443 is expected")
        if server.startswith("https://") and tls is None:
            raise ValueError(f"server {server!r}: a TLS context is needed")
        self.server = server.rstrip("/")
        self._tls = tls
        self._token = token
        self._user_agent = user_agent
        self._timeout = timeout
        self._extensions = {"sni_hostname": server_name} if server_name else {}
        self._limits = limits
        self._throttle = throttle
        self._observe = observe
        self._http: httpx2.AsyncClient | None = None

    async def open(self) -> None:
        import httpx2

        kept = max(8, self._limits.connections // 16)  # each of them costs a look with every request
        pool = httpx2.Limits(max_connections=self._limits.connections, max_keepalive_connections=kept, keepalive_expiry=20)
        # Without a TLS context only http:// is spoken (checked above, and redirects are not followed): nothing to verify.
        transport = httpx2.AsyncHTTPTransport(verify=self._tls or False, limits=pool, socket_options=_KEEPALIVE)
        self._http = httpx2.AsyncClient(
            transport=transport,
            trust_env=False,
            timeout=httpx2.Timeout(None, connect=self._limits.connect),
            headers={"user-agent": self._user_agent, "accept": "application/json", "accept-encoding": "identity"},
        )

    async def close(self) -> None:
        http, self._http = self._http, None
        if http is not None:
            with trio.move_on_after(2, shield=True):
                await http.aclose()

    async def request(self, call: Call) -> bytes:
        """The body of a good answer. A GET whose kept-open connection turns out to be closed is tried once more."""
        import httpx2

        await self._turn(call)
        with self._observed(call) as ending, self._failures(self._name(call)), trio.fail_after(self._timeout):
            try:
                return await self._exchange(call, ending)
            except (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError):
                if call.method != "GET":
                    raise
            return await self._exchange(call, ending)

    async def _turn(self, call: Call) -> None:
        """Waiting for it is not the server's fault: it comes before the timeout. Callers with a deadline bring it along."""
        if self._throttle is not None:
            await self._throttle.take(urgent=is_heartbeat(call.path))

    async def _exchange(self, call: Call, ending: _Ending) -> bytes:
        async with self._answer(call) as response, _read(response) as chunks:
            ending.code = response.status_code
            body = await _collect(chunks, self._limits.body if response.is_success else _ERROR_BODY, self._name(call))
            if not response.is_success:
                raise _refusal(response, body, self._name(call))
            return body

    @asynccontextmanager
    async def stream(self, call: Call) -> AsyncIterator[AsyncIterator[bytes]]:
        """The chunks of a long answer. Only its head is under the timeout; the reader sets deadlines for the rest.
        Reading raises ApiUnreachable when the stream is cut."""
        what = self._name(call)
        await self._turn(call)
        async with AsyncExitStack() as stack:
            with self._observed(call) as ending, self._failures(what), trio.fail_after(self._timeout):
                response = await stack.enter_async_context(self._answer(call))
                ending.code = response.status_code
                chunks = await stack.enter_async_context(_read(response))
                if not response.is_success:
                    raise _refusal(response, await _collect(chunks, _ERROR_BODY, what), what)
            yield _Chunks(chunks, lambda: self._failures(what))

    @asynccontextmanager
    async def _answer(self, call: Call) -> AsyncIterator[httpx2.Response]:
        if self._http is None:
            raise RuntimeError("the client is not open: use it as 'async with Client(...)'")
        response = await self._http.send(self._build(self._http, call), stream=True)
        try:
            yield response
        finally:
            with trio.move_on_after(2, shield=True):
                await response.aclose()

    def _build(self, http: httpx2.AsyncClient, call: Call) -> httpx2.Request:
        headers = {"content-type": call.content_type} if call.content is not None else {}
        try:
            token = self._token if isinstance(self._token, str) else self._token()
        except KubeconfigError as error:
            raise ApiUnreachable(str(error)) from None
        if token:
            headers["authorization"] = f"Bearer {token}"
        return http.build_request(
            call.method,
            f"{self.server}{call.path}",
            params=dict(call.query),
            content=call.content,
            headers=headers,
            extensions={**self._extensions, "trace": _Opening()},
        )

    def _name(self, call: Call) -> str:
        return f"{call.method} {self.server}{call.path}"

    @contextmanager
    def _observed(self, call: Call) -> Iterator[_Ending]:
        """Tells the observer how it ended; a request that its caller gave up is not told of."""
        began, ending = trio.current_time(), _Ending()
        try:
            yield ending
        except trio.Cancelled:
            raise
        except BaseException:
            self._tell(call, ending.code, began)
            raise
        self._tell(call, ending.code, began)

    def _tell(self, call: Call, code: int, began: float) -> None:
        if self._observe is not None:
            self._observe(call.method, code, trio.current_time() - began)

    @contextmanager
    def _failures(self, what: str) -> Iterator[None]:
        import httpx2

        try:
            yield
        except trio.TooSlowError:
            raise ApiUnreachable(f"{what}: no complete answer within {self._timeout:g} s") from None
        except httpx2.ConnectTimeout:
            raise ApiUnreachable(f"{what}: cannot connect within {self._limits.connect:g} s") from None
        except httpx2.ConnectError as error:
            raise ApiUnreachable(f"{what}: cannot connect: {root_cause(error)}") from error
        except httpx2.HTTPError as error:
            raise ApiUnreachable(f"{what}: the connection broke: {root_cause(error)}") from error


class _Opening:
    """Closes the socket of a connection whose TLS handshake was cancelled half way. httpcore2 2.x closes it for errors only
    (``_backends/trio.py``, start_tls), so that it would stay open until it is garbage."""

    def __init__(self) -> None:
        self._tcp: Any = None

    async def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        """httpcore2's trace extension."""
        if event == "connection.connect_tcp.complete":
            self._tcp = info["return_value"]
        elif event == "connection.start_tls.complete":
            self._tcp = None
        elif event == "connection.start_tls.failed" and self._tcp is not None:
            await self._tcp.aclose()


class _Chunks:
    """An iterator whose failures are those of the API."""

    def __init__(self, chunks: AsyncIterator[bytes], failures: Callable[[], Any]) -> None:
        self._chunks = chunks
        self._failures = failures

    def __aiter__(self) -> _Chunks:
        return self

    async def __anext__(self) -> bytes:
        with self._failures():
            return await anext(self._chunks)


@asynccontextmanager
async def _read(response: httpx2.Response) -> AsyncIterator[AsyncIterator[bytes]]:
    """The body in pieces. Generators within generators end only where they are resumed: one that is left in the middle is
    resumed once more, cancelled, and closes its connection."""
    import httpx2

    chunks = response.aiter_raw()
    try:
        yield chunks
    finally:
        with trio.CancelScope() as scope, suppress(httpx2.HTTPError):
            scope.cancel()
            async for _ in chunks:
                pass


async def _collect(chunks: AsyncIterator[bytes], limit: int, what: str) -> bytes:
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > limit:
            raise BadAnswer(f"{what}: the answer is larger than {limit} bytes")
    return bytes(body)


def _refusal(response: httpx2.Response, body: bytes, what: str) -> ApiError:
    """What the server says in a Status; or, when something else answered, its code and the beginning of its text."""
    code = response.status_code
    try:
        status = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status":
        error = ApiError.from_status(status, code=code)
    else:
        text = " ".join(body[:200].decode(errors="replace").split())
        error = make(code, "", f"{what}: {describe(code)}{f' ({text})' if text else ''}")
    after = response.headers.get("retry-after", "")
    if after.isdigit() and len(after) < 6:
        error.details.setdefault("retryAfterSeconds", int(after))
    return error


def root_cause(error: BaseException) -> str:
    """The words of the innermost cause: of an OSError its text, of a failed verification what did not fit."""
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        else:
            error = error.__cause__ or (error if isinstance(error, OSError) else error.__context__) or error
    verification = getattr(error, "verify_message", None)
    if isinstance(verification, str) and verification:
        return f"its certificate was refused: {verification}"
    tls = type(error).__module__ == "ssl"  # an OSError, but its numbers are those of TLS
    if isinstance(error, OSError) and error.strerror and not tls:
        return os.strerror(error.errno) if error.errno and error.errno in errno.errorcode else error.strerror
    return str(error) or type(error).__name__
