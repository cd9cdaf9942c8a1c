"""WebSocket frames against another implementation (wsproto), in any pieces; and what is against the rules."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong

from mqtt.frames import Frames, close_frame, frame

SIZES = st.one_of(st.integers(0, 200), st.sampled_from([125, 126, 127, 65535, 65536, 70000]))


def cut(data: bytes, places: list[int]) -> list[bytes]:
    borders = [0, *sorted(each % (len(data) + 1) for each in places), len(data)]
    return [data[first:last] for first, last in itertools.pairwise(borders)]


@given(st.lists(st.tuples(SIZES, st.booleans(), st.booleans()), max_size=6), st.lists(st.integers(0, 400_000), max_size=12))
def test_what_a_client_frames_is_found_again_in_any_pieces(messages: list[tuple[int, bool, bool]], places: list[int]) -> None:
    client = Connection(ConnectionType.CLIENT)
    wire, sent = b"", b""
    for number, (size, finished, pinged) in enumerate(messages):
        payload = bytes((number + place) % 251 for place in range(size))
        wire += client.send(BytesMessage(data=payload, message_finished=finished or number == len(messages) - 1))
        if pinged:
            wire += client.send(Ping(payload=b"%d" % number))
        sent += payload
    frames = Frames()
    assert b"".join(map(frames.feed, cut(wire, places))) == sent
    assert frames.end is None
    pings = [b"%d" % number for number, (*_, pinged) in enumerate(messages) if pinged]
    assert frames.pong[2:] == (pings[-1] if pings else b"")


@given(SIZES)
def test_what_we_frame_is_understood(size: int) -> None:
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(frame(bytes(size)) + frame(b"end"))
    found = b"".join(bytes(event.data) for event in client.events() if isinstance(event, BytesMessage))
    assert found == bytes(size) + b"end"


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_whatever_comes_raises_nothing_and_keeps_little(pieces: list[bytes]) -> None:
    frames = Frames()
    for piece in pieces:
        assert len(frames.feed(piece)) <= sum(map(len, pieces))
        assert len(frames._rest) < 14 + 125


HEADS = st.sampled_from(
    [
        b"\x82\x80",
        b"\x82\x85",
        b"\x82\xfd",
        b"\x82\xfe\0\x7e",
        b"\x82\xfe\0\x7d",
        b"\x82\xff",
        b"\x02\x83",
        b"\x80\x81",
        b"\x89\x82",
    ]
)


@given(st.lists(st.one_of(HEADS, st.binary(max_size=140)), max_size=12))
def test_pieces_of_any_size_mean_the_same(parts: list[bytes]) -> None:
    wire = b"".join(parts)
    whole, slowly = Frames(), Frames()
    found = whole.feed(wire)
    assert b"".join(slowly.feed(wire[place : place + 1]) for place in range(len(wire))) == found
    assert (slowly.end, slowly.pong) == (whole.end, whole.pong)


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (b"\x82\x01a", 1002),  # not masked (5.1)
        (b"\xc2\x80mask", 1002),  # a reserved bit (5.2)
        (b"\x83\x80mask", 1002),  # a reserved opcode
        (b"\x81\x80mask", 1003),  # text (MQTT-6.0.0-1)
        (b"\x80\x80mask", 1002),  # nothing to continue (5.4)
        (b"\x02\x80mask\x82\x80mask", 1002),  # a new message within one
        (b"\x09\x80mask", 1002),  # a fragmented ping (5.5)
        (b"\x89\xfe\x00\x7emask", 1002),  # a ping of 126 bytes
        (b"\x82\xfe\x00\x05mask", 1002),  # a length that is longer than needed
        (b"\x82\xff\x80" + bytes(7) + b"mask", 1002),  # and one with its highest bit set
        (b"\x88\x81mask\x00", 1002),  # half a code
    ],
)
def test_what_is_against_the_rules_ends_it(wire: bytes, code: int) -> None:
    before = Connection(ConnectionType.CLIENT).send(BytesMessage(data=b"before"))
    frames = Frames()
    assert frames.feed(before + wire + before) == b"before"
    assert frames.end == code
    assert frames.feed(before) == b""


@pytest.mark.parametrize(("code", "answer"), [(1000, 1000), (1001, 1001), (4711, 4711), (1006, 1002), (5000, 1002), (None, 1000)])
def test_close_is_answered(code: int | None, answer: int) -> None:
    wire = b"\x88\x80mask"
    if code is not None:
        wire = b"\x88\x82\x00\x00\x00\x00" + code.to_bytes(2, "big")
    frames = Frames()
    frames.feed(wire)
    assert frames.end == answer
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(close_frame(answer))
    assert [event.code for event in client.events() if isinstance(event, CloseConnection)] == [answer]


def test_a_pong_is_what_the_ping_was() -> None:
    client = Connection(ConnectionType.CLIENT)
    frames = Frames()
    frames.feed(client.send(Ping(payload=b"x" * 125)) + client.send(Pong(payload=b"unasked")))
    client.receive_data(frames.pong)
    assert [bytes(event.payload) for event in client.events()] == [b"x" * 125]  # type: ignore[union-attr]
