"""The client on trio.

async with connect(("127.0.0.1", 1883), Connect(client_id="pump")) as client:
    await client.subscribe("plant/+/speed", qos=1)
    await client.publish("plant/1/state", b"on", qos=1)
    async for message in client.messages:
        ...
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace

import trio

from mqtt.clientconnection import Client, ClientLimits
from mqtt.clientcore import Session
from mqtt.clienterrors import ClientError, ConnectFailed, ConnectionLost, Refused
from mqtt.dial import Address, TlsContext, dial, root_cause
from mqtt.packets import Connect, Version
from mqtt.properties import Properties
from mqtt.reasons import Reason

__all__ = [
    "Client",
    "ClientError",
    "ClientLimits",
    "ConnectFailed",
    "ConnectionLost",
    "Refused",
    "Session",
    "connect",
    "connect_stream",
]


@asynccontextmanager
async def connect(
    address: Address,
    packet: Connect,
    *,
    tls: TlsContext | None = None,
    server_hostname: str | None = None,
    session: Session | None = None,
    limits: ClientLimits | None = None,
    manual_acknowledgement: bool = False,
) -> AsyncGenerator[Client, None]:
    """Connects to a server over TCP, TLS (with a context for ``tls``) or a unix socket, and disconnects at the end.

    packet: what is asked for, down to version, will and keep-alive. session: what goes on where an earlier connection has
    ended; it makes sense with ``clean_start=False`` and a client identifier. server_hostname: whom the certificate must
    name, by default the host of the address. When the block ends by an exception, the server publishes the will; at its
    end, and when it is cancelled, it does not. A lost connection does not end the block: the next call says so.

    Raises ConnectFailed.
    """
    bounds = limits or ClientLimits()
    shown = address if isinstance(address, str) else f"{address[0]}:{address[1]}"
    try:
        with trio.fail_after(bounds.connect):
            stream = await dial(address, tls, server_hostname)
    except trio.TooSlowError:
        raise ConnectFailed(f"{shown} does not answer within {bounds.connect:g} s") from None
    except OSError as error:
        raise ConnectFailed(f"cannot connect to {shown}: {root_cause(error)}") from error
    except trio.BrokenResourceError as error:
        raise ConnectFailed(f"no TLS with {shown}: {error.__cause__ or error}") from error
    async with connect_stream(
        stream, packet, session=session, limits=bounds, manual_acknowledgement=manual_acknowledgement, name=shown
    ) as client:
        yield client


@asynccontextmanager
async def connect_stream(
    stream: trio.abc.Stream,
    packet: Connect,
    *,
    session: Session | None = None,
    limits: ClientLimits | None = None,
    manual_acknowledgement: bool = False,
    name: str = "the server",
) -> AsyncGenerator[Client, None]:
    """As ``connect``, over a stream that is open already and is closed at the end. name: of the server, for errors."""
    bounds = limits or ClientLimits()
    client = Client(stream, _with_limits(packet, bounds), session or Session(), bounds, manual_acknowledgement)
    try:
        with trio.fail_after(bounds.connect):
            await client.open()
    except trio.TooSlowError:
        await trio.aclose_forcefully(stream)
        raise ConnectFailed(f"{name} has not answered the CONNECT within {bounds.connect:g} s") from None
    except ConnectFailed as error:
        await trio.aclose_forcefully(stream)
        raise ConnectFailed(f"{name}: {error}", error.reason) from error.__cause__
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    failure: BaseException | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.run)
        try:
            yield client
        except BaseException as error:
            failure = error  # raised below, so that it does not come out of the nursery as a group
        aborted = isinstance(failure, Exception)
        reason = Reason.DISCONNECT_WITH_WILL if aborted else Reason.NORMAL_DISCONNECTION
        # Before 5.0 a DISCONNECT always takes the will back; there, the connection just ends.
        await client.close(None if aborted and packet.version != Version.V5 else reason)
    if failure is not None:
        raise failure


def _with_limits(packet: Connect, limits: ClientLimits) -> Connect:
    """The CONNECT with what this client can take, where the caller does not say it otherwise."""
    if packet.version != Version.V5:
        return packet
    own = Properties(receive_maximum=limits.inbox, maximum_packet_size=limits.packet)
    if limits.aliases:
        own["topic_alias_maximum"] = limits.aliases
    return replace(packet, properties={**own, **(packet.properties or {})})
