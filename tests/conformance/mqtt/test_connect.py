"""CONNECT and CONNACK (3.1, 3.2)."""

from __future__ import annotations

from mqttsuite.case import Bench, case, expect
from mqttsuite.client import PING

from mqtt.codec import encode
from mqtt.packets import ConnAck, Connect, Publish, Subscribe, Subscription, Will
from mqtt.reasons import Reason


def connect_bytes(bench: Bench, **changes: object) -> bytes:
    """A good CONNECT, to be spoilt."""
    return encode(Connect(bench.version, bench.name("a"), keep_alive=60, **changes), bench.version)  # type: ignore[arg-type]


FLAGS = 9
"""Where the connect flags stand in a CONNECT that is shorter than 128 bytes."""


@case("3.1.0-1 3.1.4-1", "3.1.0-1 3.1.4-1")
def test_first_packet_must_be_connect(bench: Bench) -> None:
    """closes when the first packet is not CONNECT"""
    stranger = bench.stranger()
    stranger.raw(encode(Publish(bench.topic()), bench.version), PING)
    stranger.closed()


@case("3.1.0-1 4.8.0-1", "3.1.0-1 4.13.1-1")
def test_subscribe_before_connect(bench: Bench) -> None:
    """closes when a SUBSCRIBE comes before CONNECT"""
    stranger = bench.stranger()
    stranger.raw(encode(Subscribe(1, [Subscription("#")]), bench.version))
    expect(not stranger.closed(), "it answers")


@case("3.1.0-2 4.8.0-1", "3.1.0-2 4.13.1-1")
def test_second_connect(bench: Bench) -> None:
    """closes when a second CONNECT comes"""
    client = bench.client()
    client.refused(connect_bytes(bench))


@case("3.1.2-1", "3.1.2-1")
def test_wrong_protocol_name(bench: Bench) -> None:
    """closes when the protocol name is wrong"""
    stranger = bench.stranger()
    stranger.gone(connect_bytes(bench).replace(b"MQTT", b"MQTX", 1))


@case("3.1.2-2", "3.1.2-2")
def test_unknown_protocol_level(bench: Bench) -> None:
    """refuses a protocol level that does not exist, and closes"""
    data = bytearray(connect_bytes(bench))
    data[8] = 9
    bench.stranger().gone(bytes(data))


@case("3.1.2-3 3.1.4-1", "3.1.2-3 3.1.4-1")
def test_reserved_connect_flag(bench: Bench) -> None:
    """closes when the reserved flag of CONNECT is set"""
    data = bytearray(connect_bytes(bench))
    data[FLAGS] |= 1
    stranger = bench.stranger()
    stranger.raw(bytes(data), PING)
    stranger.closed()


@case("3.1.2-13 3.1.4-1", "3.1.2-11 3.1.4-1")
def test_will_qos_without_will(bench: Bench) -> None:
    """closes when CONNECT has a QoS of the will and no will"""
    data = bytearray(connect_bytes(bench))
    data[FLAGS] |= 0x08
    stranger = bench.stranger()
    stranger.raw(bytes(data), PING)
    stranger.closed()


@case("3.1.2-15 3.1.4-1", "3.1.2-13 3.1.4-1")
def test_will_retain_without_will(bench: Bench) -> None:
    """closes when CONNECT has a retained will and no will"""
    data = bytearray(connect_bytes(bench))
    data[FLAGS] |= 0x20
    stranger = bench.stranger()
    stranger.raw(bytes(data), PING)
    stranger.closed()


@case("3.1.2-14 3.1.4-1", "3.1.2-12 3.1.4-1")
def test_will_qos_3(bench: Bench) -> None:
    """closes when the QoS of the will is 3"""
    data = bytearray(connect_bytes(bench, will=Will(bench.topic(), b"x", 2)))
    data[FLAGS] |= 0x18
    stranger = bench.stranger()
    stranger.raw(bytes(data), PING)
    stranger.closed()


@case("3.1.2-22 3.1.4-1")
def test_password_without_user_name(bench: Bench) -> None:
    """closes when CONNECT has a password and no user name"""
    data = bytearray(connect_bytes(bench, username="", password=b""))
    data[FLAGS] &= ~0x80
    del data[-2:]
    data[1] -= 2
    stranger = bench.stranger()
    stranger.raw(bytes(data), PING)
    stranger.closed()


@case("3.1.4-4 3.2.0-1", "3.1.4-5 3.2.0-1")
def test_connack(bench: Bench) -> None:
    """answers a CONNECT with a CONNACK of success, before anything else"""
    stranger = bench.stranger()
    stranger.raw(connect_bytes(bench), encode(Subscribe(1, [Subscription(bench.topic())]), bench.version), PING)
    ack = stranger.expect(ConnAck)
    expect(ack.reason is Reason.SUCCESS, f"the CONNACK says {ack.reason.text}")
