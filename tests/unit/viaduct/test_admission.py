"""Who is let in, and that a flood at the door does not become a flood in the log."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from viaduct.admission import TELL_EVERY, Admission


async def test_refusals_are_told_once_in_a_while_and_counted(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    clients = [await trio.testing.open_stream_to_socket_listener(listener) for _ in range(7)]
    streams = [await listener.accept() for _ in clients]
    admission = Admission("connection", 1)
    with admission.enter(streams[0]) as first:
        for stream in streams[1:5]:
            with admission.enter(stream) as admitted:
                assert not admitted
            assert stream.socket.fileno() == -1
        assert len(caplog.records) == 1
        await trio.sleep(TELL_EVERY)
        with admission.enter(streams[5]) as admitted:
            assert not admitted
    assert first
    assert len(caplog.records) == 2
    assert "and 3 others before it: 1 are open" in caplog.text
    with admission.enter(streams[6]) as again:
        assert again
    for one in (*clients, *streams, listener):
        await one.aclose()
