"""The event bus without I/O: topics, messages, addresses, what the configuration may say."""

from __future__ import annotations

import json

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beehive.message import MalformedMessage, Message, build, decode, encode
from beehive.settings import SettingsError, parse
from edgecore import config
from edgecore.config import EdgeCore
from edgecore.eventbus import messages, settings
from edgecore.eventbus.address import AddressError, address
from edgecore.eventbus.messages import Publication, Subscribe, Unsubscribe
from edgecore.eventbus.topics import TWINS, UPLOADS, is_broker_s, is_twin
from mqtt.topics import check_filter, matches


def wanted(operation: str, content: object = None, resource: str = "default/test") -> Message:
    return build(source="router_eventbus", group="user", operation=operation, resource=resource, content=content)


@pytest.mark.parametrize(
    ("topic", "twin"),
    [
        ("$hw/events/device/default/thermo/twin/update", True),
        ("$hw/events/device/default/thermo/twin/update/result", True),
        ("$hw/events/node/edge-1/membership/get", True),
        ("$hw/events/device", True),
        ("$hw/events/devices/x", False),
        ("$hw/events/upload/device", False),
        ("SYS/dis/upload_records", False),
        ("", False),
    ],
)
def test_whose_a_topic_is(topic: str, twin: bool) -> None:
    assert is_twin(topic) is twin


def test_the_twin_never_hears_its_own_answers() -> None:
    for each in (*TWINS, *UPLOADS):
        check_filter(each)
    answers = ("twin/update/result", "twin/update/delta", "twin/update/document", "twin/get/result", "state/update/result")
    for each in answers:
        topic = f"$hw/events/device/default/thermo/{each}"
        assert not any(matches(name, topic) for name in (*TWINS, *UPLOADS)), topic
    assert is_broker_s("$SYS/broker")
    assert not is_broker_s("SYS/dis/upload_records")


@hypothesis.settings(max_examples=50, deadline=None)
@given(st.text(), st.binary())
def test_whatever_is_uploaded_can_travel(topic: str, payload: bytes) -> None:
    try:
        sent = encode(messages.upload(topic, payload))
    except UnicodeEncodeError:
        assert not topic.isprintable()  # a lone surrogate, which no MQTT topic can hold
        return
    found = decode(sent)
    assert (found.resource, found.operation, found.route.source, found.route.group) == (topic, "upload", "bus", "user")
    assert found.decode(str) == payload.decode("utf-8", "replace")


@pytest.mark.parametrize(
    ("message", "order"),
    [
        (wanted("publish", "on"), Publication("default/test", b"on")),
        (wanted("publish"), Publication("default/test", b"")),
        (wanted("publish", {"a": [1]}), Publication("default/test", b'{"a":[1]}')),
        (wanted("publish", "ü\u0000"), Publication("default/test", "ü\u0000".encode())),
        (wanted("subscribe"), Subscribe("default/test")),
        (wanted("unsubscribe"), Unsubscribe("default/test")),
        (wanted("message", {"message": {"topic": "a/b", "n": 1}}), Publication("a/b", b'{"topic":"a/b","n":1}')),
        (wanted("get_result", "yes", "auth_info"), Publication("$hw/events/node/edge-1/authInfo/get/result", b"yes")),
        (wanted("connect"), None),
    ],
)
def test_orders(message: Message, order: object) -> None:
    assert messages.order(message, "edge-1") == order


@pytest.mark.parametrize(
    "message",
    [
        wanted("sing"),
        wanted("get_result", "x", "other"),
        wanted("message", None),
        wanted("message", {"message": 1}),
        wanted("message", "x"),
    ],
)
def test_orders_that_are_none(message: Message) -> None:
    with pytest.raises(MalformedMessage):
        messages.order(message, "edge-1")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


@hypothesis.settings(max_examples=50, deadline=None)
@given(st.sampled_from(["publish", "message", "get_result", "subscribe", "unsubscribe", "connect", ""]), json_values, st.text())
def test_any_order_is_carried_out_or_refused(operation: str, content: object, resource: str) -> None:
    text = {"header": {"msg_id": "1"}, "route": {"operation": operation, "resource": resource}, "content": content}
    try:
        messages.order(decode(json.dumps(text)), "edge-1")
    except MalformedMessage:
        return


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("tcp://127.0.0.1:1884", (("127.0.0.1", 1884), False)),
        ("mqtt://broker", (("broker", 1883), False)),
        ("ssl://broker/", (("broker", 8883), True)),
        ("mqtts://[::1]:99", (("::1", 99), True)),
        ("unix:///run/mqtt.sock", ("/run/mqtt.sock", False)),
    ],
)
def test_addresses(url: str, found: object) -> None:
    assert address(url) == found


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:1883",
        "http://a",
        "tcp://",
        "tcp://a:0",
        "tcp://a:x",
        "tcp://a:99999",
        "tcp://a/b",
        "tcp://[a",
        "unix://x/y",
        "tcp://u:p@a",
    ],
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(AddressError):
        address(url)


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("mqttMode: 3", "mqttMode"),
        ("mqttQOS: 3", "mqttQOS"),
        ("{mqttMode: 0, mqttServerInternal: 'http://x'}", "mqttServerInternal"),
        ("{mqttMode: 1, mqttServerInternal: 'ssl://x'}", "mqttBrokerConfig"),
        ("{mqttMode: 0, broker: hbmqtt}", "edgecore or amqtt"),
        ("{mqttMode: 0, broker: amqtt, mqttServerInternal: 'tcp://0.0.0.0:1883'}", "this machine alone"),
        ("{mqttMode: 0, broker: amqtt, mqttServerInternal: 'unix:///run/mqtt.sock'}", "this machine alone"),
        ("{mqttMode: 0, broker: amqtt, mqttBrokerConfig: /etc/mosquitto.conf}", "not for amqtt"),
        ("mqttServerExternal: nowhere", "mqttServerExternal"),
        ("eventBusTLS: {enable: true}", "ssl://"),
    ],
)
def test_checks(block: str, said: str) -> None:
    text = f"modules: {{edged: {{hostnameOverride: a}}, eventBus: {block if block.startswith('{') else '{' + block + '}'}}}"
    with pytest.raises(SettingsError, match=said):
        config.check(parse(text, EdgeCore, origin="x"), "x")


def test_what_a_mode_does_not_use_may_be_anything() -> None:
    text = "modules: {edged: {hostnameOverride: a}, eventBus: {mqttMode: 0, mqttServerExternal: ''}}"
    found = parse(text, EdgeCore, origin="x")
    config.check(found, "x")
    made = settings.of(found)
    assert made.external is None
    assert made.internal is not None
    assert made.limits.queued_messages == 1000
