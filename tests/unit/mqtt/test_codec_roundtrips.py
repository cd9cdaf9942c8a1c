"""What is encoded is decoded to the same, in whatever pieces it comes; what is not a packet raises one of the three errors."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mqttwire.strategies import answers, conversations, from_client, publishes, versions

from mqtt import decoder as decoding
from mqtt import encoder as encoding
from mqtt.codec import Decoder, MalformedPacket, PacketTooLarge, PeerError, ProtocolViolation, encode, split_publish
from mqtt.packets import Connect, Packet, PingReq, PingResp, Publish, Version

LIMIT = 1 << 20
unhurried = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
THREE = (MalformedPacket, ProtocolViolation, PacketTooLarge)


def drained(decoder: Decoder) -> list[Packet]:
    found = []
    while (packet := decoder.next()) is not None:
        found.append(packet)
    return found


def wire(conversation: tuple[Version, list[Packet]]) -> bytes:
    version, packets = conversation
    return b"".join(encode(packet, version) for packet in packets)


@unhurried
@given(conversations())
def test_what_clients_say(conversation: tuple[Version, list[Packet]]) -> None:
    decoder = Decoder(LIMIT)
    decoder.feed(wire(conversation))
    assert decoder.batch() == conversation[1]
    assert decoder.version == conversation[0]
    assert decoder.buffered == 0


@unhurried
@given(answers())
def test_what_servers_say(conversation: tuple[Version, list[Packet]]) -> None:
    decoder = Decoder(LIMIT, conversation[0])
    decoder.feed(wire(conversation))
    assert drained(decoder) == conversation[1]


@unhurried
@given(conversations())
def test_each_way_to_cut_a_conversation_in_two(conversation: tuple[Version, list[Packet]]) -> None:
    data = wire(conversation)
    for cut in range(len(data) + 1):
        decoder = Decoder(LIMIT)
        decoder.feed(data[:cut])
        found = decoder.batch()
        decoder.feed(data[cut:])
        assert found + drained(decoder) == conversation[1]


@unhurried
@given(conversations(), st.data())
def test_pieces_of_any_size_taken_out_at_any_time(conversation: tuple[Version, list[Packet]], data: st.DataObject) -> None:
    rest = wire(conversation)
    decoder = Decoder(LIMIT)
    found = []
    while rest:
        size = data.draw(st.integers(1, min(len(rest), 4)) | st.integers(1, len(rest)))
        piece, rest = rest[:size], rest[size:]
        if data.draw(st.booleans()):
            found += decoder.take(piece, data.draw(st.integers(1, 3)))
        else:
            decoder.feed(piece)
            found += decoder.batch(data.draw(st.integers(0, 3)))
    assert found + drained(decoder) == conversation[1]


def test_byte_by_byte_a_large_packet_is_collected_in_linear_time() -> None:
    message = Publish("a/b", bytes(100_000), 1, packet_id=9)
    data = encode(message, Version.V5)
    decoder = Decoder(LIMIT, Version.V5)
    for at in range(len(data) - 1):
        decoder.feed(data[at : at + 1])
        assert decoder.next() is None
    assert decoder.buffered == len(data) - 1
    decoder.feed(data[-1:])
    assert decoder.next() == message


@unhurried
@given(st.binary(max_size=60), st.sampled_from([None, *Version]), st.booleans())
@example(b"\x10\x80\x80\x80\x80\x01", None, False)
@example(b"\x10\x00", Version.V5, True)
def test_garbage_raises_one_of_the_three_errors_and_nothing_else(data: bytes, version: Version | None, server: bool) -> None:
    decoder = Decoder(64, version)
    if server and version is not None:
        decoder = Decoder(64)
        decoder.feed(encode(Connect(version), version))
        decoder.next()
    decoder.feed(data)
    try:
        drained(decoder)
    except PeerError as error:
        assert isinstance(error, THREE)
        assert error.reason.failed
        decoder.feed(data)
        assert decoder.buffered == 0
        with pytest.raises(type(error)):
            decoder.next()


@unhurried
@given(conversations(), st.data())
def test_a_changed_byte_raises_nothing_else_either(conversation: tuple[Version, list[Packet]], data: st.DataObject) -> None:
    raw = bytearray(wire(conversation))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    decoder = Decoder(LIMIT)
    decoder.feed(bytes(raw))
    try:
        drained(decoder)
    except PeerError as error:
        assert isinstance(error, THREE)


@unhurried
@given(versions.flatmap(lambda version: st.tuples(st.just(version), from_client(version))), st.data())
def test_what_is_understood_is_written_in_as_few_bytes(given_: tuple[Version, Packet], data: st.DataObject) -> None:
    """A changed packet that is still one is encoded again to no more bytes, and means the same."""
    version, packet = given_
    raw = bytearray(encode(packet, version))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    decoder = Decoder(LIMIT, version)
    decoder.feed(bytes(raw))
    try:
        changed = decoder.next()
    except PeerError:
        return
    if changed is not None and not decoder.buffered:
        again = encode(changed, version)
        assert len(again) <= len(raw)
        other = Decoder(LIMIT, version)
        other.feed(again)
        assert other.next() == changed


@unhurried
@given(versions.flatmap(lambda version: st.tuples(st.just(version), publishes(version, client=False))))
def test_a_split_publish_is_the_whole_one_with_a_gap_for_its_identifier(given_: tuple[Version, Publish]) -> None:
    version, message = given_
    head, tail = split_publish(message, version)
    number = message.packet_id.to_bytes(2, "big") if message.qos else b""
    assert head + number + tail == encode(message, version)


@unhurried
@given(versions.flatmap(lambda version: st.tuples(st.just(version), publishes(version, client=True))))
@example((Version.V5, Publish("t", bytes(1200), 1, packet_id=1)))
@example((Version.V311, Publish("t", bytes(1200))))
@example((Version.V311, Publish("t", bytes(800), 2, packet_id=1)))
def test_what_is_passed_on_as_it_came_is_what_would_be_written(given_: tuple[Version, Publish]) -> None:
    version, packet = given_
    decoder = Decoder(1 << 28)
    decoder.feed(encode(Connect(version, "c"), version) + encode(packet, version))
    _, found = decoder.batch()
    assert isinstance(found, Publish)
    assert (found.wire is not None) == (
        bool(found.topic) and not (found.retain or found.dup or found.properties or _long(found, version))
    )
    if found.wire is not None:
        key, parts = found.wire
        assert key == version << 4 | found.qos << 1
        head, tail = split_publish(found, version)
        assert parts == ((head, tail) if found.qos else (head + tail, b""))


def _long(packet: Publish, version: Version) -> bool:
    return len(encode(packet, version)) > 1024


@pytest.mark.parametrize("length", [0, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152])
def test_remaining_lengths_of_one_to_four_bytes(length: int) -> None:
    message = Publish("t", bytes(max(length - 3, 0)))
    data = encode(message, Version.V311)
    decoder = Decoder(len(data), Version.V311)
    decoder.feed(data + data)
    assert decoder.batch() == [message, message]


def test_the_limit_counts_the_whole_packet_and_is_checked_before_the_body_comes() -> None:
    data = encode(Publish("t", bytes(97)), Version.V311)
    decoder = Decoder(len(data), Version.V311)
    decoder.feed(data)
    assert decoder.next() is not None
    for sent in (data[:2], data):
        decoder = Decoder(len(data) - 1, Version.V311)
        decoder.feed(sent)
        with pytest.raises(PacketTooLarge, match="a PUBLISH of 102 bytes is longer than 101 bytes"):
            decoder.next()
        decoder.feed(data)
        assert decoder.buffered == 0


@pytest.mark.parametrize("rest", [b"", b"\xc0"])
def test_more_tells_whether_to_ask_again(rest: bytes) -> None:
    decoder = Decoder(100)
    decoder.feed(encode(Connect(Version.V5, "c"), Version.V5) + b"\xc0\0" * 3 + rest)
    assert [len(decoder.batch(2)), decoder.more, len(decoder.batch(2)), decoder.more] == [2, True, 2, True]
    assert (decoder.batch(2), decoder.more) == ([], False)
    decoder.feed(b"\xc0\0\0" if not rest else b"\0\0\0")
    assert len(decoder.batch()) == 1
    assert decoder.more
    with pytest.raises(PeerError):
        decoder.batch()


def test_what_came_before_an_error_is_given_out_first() -> None:
    ping = encode(PingResp(), Version.V5)
    decoder = Decoder(LIMIT, Version.V5)
    decoder.feed(ping + ping + b"\x00\x00" + ping)
    assert decoder.batch() == [PingResp(), PingResp()]
    for _ in range(2):
        with pytest.raises(MalformedPacket, match="reserved type 0"):
            decoder.batch()


def test_topics_seen_by_thousands_are_still_right() -> None:
    decoder = Decoder(LIMIT, Version.V311)
    for round_ in range(2):
        for number in range(5000):
            message = Publish(f"site/{number}/{'x' * (number % 300)}", bytes([round_]))
            decoder.feed(encode(message, Version.V311))
            assert decoder.next() == message
    assert len(decoding._TOPICS) <= 4096
    assert len(encoding._TOPICS) <= 4096


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(Connect(username="me", password=b"secret"))
    assert PingReq() == PingReq()


@pytest.mark.parametrize("first", [0x40, 0x50, 0x62, 0x70])
@pytest.mark.parametrize("version", Version)
def test_an_acknowledgement_that_comes_alone(version: Version, first: int) -> None:
    decoder = Decoder(100)
    decoder.feed(encode(Connect(version, "c"), version))
    assert decoder.batch(1)
    (found,) = decoder.take(bytes((first, 2, 1, 2)))
    assert encode(found, version) == bytes((first, 2, 1, 2))
    assert (decoder.more, decoder.buffered) == (False, 0)
    assert decoder.take(bytes((first, 2, 1))) == []
    assert decoder.take(b"\3" + bytes((first, 2, 1))) == [type(found)(0x103)]  # type: ignore[call-arg]
    with pytest.raises(PeerError):
        decoder.take(b"\3" + bytes((first, 2, 0, 0))[:4]) and decoder.batch()
    with pytest.raises(PeerError):
        decoder.take(bytes((first, 2, 1, 2)))
