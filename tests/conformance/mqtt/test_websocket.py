"""MQTT over WebSocket (6)."""

from __future__ import annotations

from mqttsuite.case import Bench, case, expect
from mqttsuite.client import PING
from wsproto.events import BytesMessage, TextMessage

from mqtt.codec import encode
from mqtt.packets import ConnAck, Connect, PingResp, Publish
from mqtt.reasons import Reason


@case("6.0.0-1", "6.0.0-1")
def test_text_frame(bench: Bench) -> None:
    """closes when a text frame comes"""
    sock, client = bench.web()
    client.connect(bench.name("a"), **bench.words())
    sock.send(TextMessage(data=encode(Publish(bench.topic(), b"text"), bench.version).decode()))
    client.refused()


@case("6.0.0-1", "6.0.0-1")
def test_binary_frames(bench: Bench) -> None:
    """sends messages in binary frames"""
    _, client = bench.web()
    client.connect(bench.name("a"), **bench.words())
    client.subscribe(bench.topic())
    bench.client("p").publish(bench.topic(), bytes(range(256)) * 300)
    expect(client.message().payload == bytes(range(256)) * 300, "the payload is another")


@case("6.0.0-2", "6.0.0-2")
def test_packets_across_frames(bench: Bench) -> None:
    """takes a packet from several frames"""
    sock, client = bench.web()
    sock.chunk = 3
    client.connect(bench.name("a"), **bench.words())
    client.subscribe(bench.topic())
    client.publish(bench.topic(), b"in pieces", 1)
    expect(client.message().payload == b"in pieces", "the payload is another")


@case("6.0.0-2", "6.0.0-2")
def test_packets_in_one_frame(bench: Bench) -> None:
    """takes several packets from one frame"""
    _, client = bench.web()
    connect = Connect(bench.version, bench.name("a"), keep_alive=60)
    client.raw(encode(connect, bench.version), PING * 3)
    expect(client.expect(ConnAck).reason is Reason.SUCCESS, "the CONNACK refuses")
    for _ in range(3):
        client.expect(PingResp)


@case("6.0.0-2", "6.0.0-2")
def test_packet_in_fragments(bench: Bench) -> None:
    """takes a packet from the fragments of one message"""
    sock, client = bench.web()
    client.connect(bench.name("a"), **bench.words())
    client.subscribe(bench.topic())
    data = encode(Publish(bench.topic(), b"fragments"), bench.version)
    sock.send(BytesMessage(data=data[:5], message_finished=False))
    sock.send(BytesMessage(data=data[5:], message_finished=True))
    expect(client.message().payload == b"fragments", "the payload is another")


@case("6.0.0-4", "6.0.0-4")
def test_subprotocol(bench: Bench) -> None:
    """answers with the subprotocol mqtt"""
    sock, client = bench.web("chat", "mqtt")
    expect(sock.subprotocol == "mqtt", f"the subprotocol is {sock.subprotocol}")
    expect(client.connect(bench.name("a"), **bench.words()).reason is Reason.SUCCESS, "the CONNACK refuses")
