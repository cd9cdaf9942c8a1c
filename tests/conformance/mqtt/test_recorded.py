"""Conversations of other people's clients with mosquitto 2.0.11, as they went over the wire: mosquitto_pub and mosquitto_sub
2.0.11, paho-mqtt 2.2.0, gmqtt 0.8.0."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mqtt.codec import Decoder, encode
from mqtt.packets import Connect, Packet, PubAck, Publish, Subscribe, Subscription, UnsubAck, Version, Will
from mqtt.reasons import Reason

RECORDED = json.loads(Path(__file__).with_name("recorded.json").read_text())
VERSIONS = {"mqttv31": Version.V31, "31": Version.V31, "mqttv311": Version.V311, "311": Version.V311}


def decoded(name: str) -> tuple[Version, list[Packet], list[Packet]]:
    client = Decoder(65536)
    client.feed(bytes.fromhex(RECORDED[name]["client"]))
    said = client.batch()
    assert client.version is not None
    server = Decoder(65536, client.version)
    server.feed(bytes.fromhex(RECORDED[name]["server"]))
    answered = server.batch()
    assert (client.buffered, server.buffered) == (0, 0)
    return client.version, said, answered


@pytest.mark.parametrize("name", RECORDED)
def test_is_understood_whole_and_written_the_same(name: str) -> None:
    version, said, answered = decoded(name)
    assert version == VERSIONS.get(name.split()[1], Version.V5)
    sent = b"".join(encode(packet, version) for packet in said).hex()
    # gmqtt writes reason code and empty properties also where they may be left out.
    assert sent == RECORDED[name]["client"] or name.startswith("gmqtt")
    assert b"".join(encode(packet, version) for packet in answered).hex() == RECORDED[name]["server"]


def test_will_user_and_retained_message_of_3_1_1() -> None:
    _, said, _ = decoded("mosquitto_pub mqttv311 will")
    will = Will("gone", b"bye", 2, retain=True)
    assert said[0] == Connect(Version.V311, "pub", True, 30, "me", b"secret", will)
    assert said[1] == Publish("a/é", b"x", 1, retain=True, packet_id=1)


def test_properties_of_a_publisher() -> None:
    _, said, _ = decoded("mosquitto_pub mqttv5 properties")
    will = Will("gone", b"bye", properties={"will_delay": 3})
    properties = said[0].properties if isinstance(said[0], Connect) else None
    assert properties == {"session_expiry": 60, "receive_maximum": 5, "user_properties": [("k", "v")]}
    assert said[0] == Connect(Version.V5, "pub", True, 60, "me", b"secret", will, properties)
    assert said[1] == Publish(
        "a/b",
        b"{}",
        2,
        retain=True,
        packet_id=1,
        properties={
            "content_type": "json",
            "message_expiry": 90,
            "response_topic": "answers",
            "correlation_data": b"42",
            "user_properties": [("a", "b"), ("a", "c")],
            "payload_format": 1,
            "topic_alias": 3,
        },
    )


def test_properties_of_a_subscriber_and_reasons() -> None:
    _, said, answered = decoded("mosquitto_sub mqttv5 properties")
    assert said[1] == Subscribe(
        1, [Subscription("p/#", 1, retain_as_published=True)], {"subscription_identifiers": [7], "user_properties": [("s", "t")]}
    )
    assert isinstance(answered[2], Publish)
    assert answered[2].properties == {"subscription_identifiers": [7], "user_properties": [("u", "w")], "message_expiry": 50}
    assert UnsubAck(2, [Reason.NO_SUBSCRIPTION_EXISTED]) in decoded("mosquitto_sub mqttv5")[2]
    assert PubAck(1, Reason.NO_MATCHING_SUBSCRIBERS) in decoded("mosquitto_pub mqttv5 qos 1")[2]
