"""No connection of the client outlives its call, however the call ends."""

from __future__ import annotations

import gc
import ssl
import warnings

import trio

from kube.client import Client
from kube.resources import NODES


async def test_a_call_cancelled_in_its_handshake_closes_its_socket() -> None:
    async def mute(stream: trio.SocketStream) -> None:
        await stream.receive_some(1)
        greeted.set()
        await trio.sleep_forever()

    greeted = trio.Event()
    context = ssl.create_default_context()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ResourceWarning)
        async with trio.open_nursery() as nursery:
            (listener, *_) = await nursery.start(trio.serve_tcp, mute, 0)
            port = listener.socket.getsockname()[1]
            async with Client(f"https://127.0.0.1:{port}", tls=context) as client, trio.open_nursery() as calls:
                calls.start_soon(client.get, NODES, "n")
                await greeted.wait()
                calls.cancel_scope.cancel()
            gc.collect()
            found = [str(one.message) for one in told if issubclass(one.category, ResourceWarning)]
            nursery.cancel_scope.cancel()
    assert found == []
