"""A docker that accepts and never answers, or goes away: every call ends, with words."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

import pytest
import trio

from edgecore.edged.runtime import dockerclient
from edgecore.edged.runtime.docker import DockerEngine
from edgecore.edged.runtime.engine import EngineUnavailable


async def listen(path: Path) -> trio.socket.SocketType:
    server = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
    await server.bind(str(path))
    server.listen(10)
    return server


async def test_silence_is_an_answer_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dockerclient, "SLOW", 1.0)  # the socket's own timeout, which also ends the thread
    path = tmp_path / "d.sock"
    with await listen(path):
        engine = DockerEngine(f"unix://{path}")
        with pytest.raises(EngineUnavailable, match="does not answer in time"):
            await engine.info()
        await engine.aclose()


async def test_garbage_is_an_answer_too(tmp_path: Path) -> None:
    path = tmp_path / "d.sock"
    server = await listen(path)

    async def babble() -> None:
        while True:
            connection, _ = await server.accept()
            with connection:
                if await connection.recv(1000):
                    await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(babble)
        engine = DockerEngine(f"unix://{path}")
        with trio.fail_after(30):
            with pytest.raises(EngineUnavailable):
                await engine.info()
            with pytest.raises(Exception, match="docker"):
                async with aclosing(engine.events()) as events:  # type: ignore[type-var]
                    async for _ in events:
                        raise AssertionError("an event out of nothing")
        await engine.aclose()
        nursery.cancel_scope.cancel()
    server.close()
