"""TLS handshakes with a deadline, and with the courtesy of telling the other side why it is refused."""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import Final

import trio

from viaduct.wire import linger

_TELL_SECONDS: Final = 2.0


class HandshakeFailed(Exception):
    """No TLS came about. The text says why."""


async def accept_tls(stream: trio.SSLStream[trio.SocketStream], seconds: float) -> None:
    """Does the handshake.

    Raises HandshakeFailed; the caller closes the socket.
    """
    try:
        with trio.fail_after(seconds):
            await stream.do_handshake()
    except trio.TooSlowError:
        raise HandshakeFailed(f"no TLS handshake within {seconds:g} s") from None
    except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
        await send_alert(stream)
        raise HandshakeFailed(_text(error)) from error


async def send_alert(stream: trio.SSLStream[trio.SocketStream]) -> None:
    """Sends the alert that OpenSSL has prepared (trio leaves it unsent), and waits a moment until it is taken.

    Without it a node whose certificate has expired sees nothing but a cut connection.
    """
    prepared = getattr(stream, "_outgoing", None)
    alert = prepared.read() if isinstance(prepared, ssl.MemoryBIO) else b""
    if alert:
        with suppress(OSError, trio.BrokenResourceError, trio.ClosedResourceError), trio.move_on_after(_TELL_SECONDS):
            await stream.transport_stream.send_all(alert)
            await linger(stream.transport_stream)


def _text(error: BaseException) -> str:
    inner = error.__cause__ or error
    if isinstance(inner, ssl.SSLCertVerificationError):
        return f"the client's certificate is refused: {inner.verify_message}"
    if isinstance(inner, ssl.SSLError) and inner.reason:
        return inner.reason.replace("_", " ").lower()
    return str(inner) or type(inner).__name__
