"""The message on the wire. Expected texts: protocol reference of KubeEdge 1.23 (message model, wire examples)."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beehive import message as m

KEEPALIVE = (
    b'{"header":{"msg_id":"a1","timestamp":1760000000000},'
    b'"route":{"source":"websocket","group":"resource","operation":"keepalive","resource":"node"},"content":"ping"}'
)
POD = (
    b'{"header":{"msg_id":"0d0c5f0e","timestamp":1760000000000,"resourceversion":"48213"},'
    b'"route":{"source":"edgecontroller","group":"resource","operation":"insert","resource":"default/pod/web-0"},'
    b'"content":{"kind":"Pod","big":9007199254740993}}'
)


@pytest.mark.parametrize("text", [KEEPALIVE, POD])
def test_recorded_bytes_come_out_as_they_went_in(text: bytes) -> None:
    assert m.encode(m.decode(text)) == text


def test_id_and_timestamp_are_written_even_when_empty() -> None:
    assert json.loads(m.encode(m.Message())) == {"header": {"msg_id": "", "timestamp": 0}, "route": {}, "content": None}


def test_what_real_senders_add_is_accepted() -> None:
    text = (
        b' {"header":{"msg_id":"x","timestamp":0,"sync":true,"type":"channel","new":1},'
        b'"route":{"destination":"d"},"content":[1]}\n'
    )
    message = m.decode(text)
    assert (message.id, message.header.sync, message.header.type, message.route.destination) == ("x", True, "channel", "d")
    assert message.decode(list) == [1]


def test_absent_blocks_are_empty() -> None:
    assert m.decode(b"{}") == m.Message()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"{",
        b'{"header":null}',
        b'{"route":null}',
        b'{"header":{"msg_id":1}}',
        b'{"header":{"timestamp":1.5}}',
        b'{"header":{"timestamp":"1"}}',
        b'{"route":{"resource":[]}}',
        b"\xff\xfe",
        b'{"content":' + b"[" * 100_000,
        b'{"content":nul}',
    ],
)
def test_anything_else_is_malformed(text: bytes) -> None:
    with pytest.raises(m.MalformedMessage):
        m.decode(text)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_malformed(data: bytes) -> None:
    try:
        m.decode(data)
    except m.MalformedMessage:
        pass


@given(st.text(), st.text(), st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_round_trip(resource: str, source: str, content: object) -> None:
    try:
        sent = m.build(source=source, group="g", operation="update", resource=resource, content=content)
    except (UnicodeEncodeError, OverflowError):
        return
    received = m.decode(m.encode(sent))
    assert received == sent
    assert received.decode(object) == msgspec.json.decode(msgspec.json.encode(content))


def test_an_acknowledgement_echoes_the_route_and_names_its_parent() -> None:
    ack = m.acknowledge(m.decode(POD))
    assert (ack.parent_id, ack.operation, ack.resource, ack.route.source) == (
        "0d0c5f0e",
        "response",
        "default/pod/web-0",
        "edgecontroller",
    )
    assert bytes(ack.content) == b'"OK"'
    assert ack.id not in ("", "0d0c5f0e")


def test_content_of_the_wrong_type_is_malformed_and_names_the_resource() -> None:
    with pytest.raises(m.MalformedMessage, match="default/pod/web-0"):
        m.decode(POD).decode(str)


def test_content_text_is_none_unless_it_is_a_string() -> None:
    assert m.content_text(m.decode(KEEPALIVE)) == "ping"
    assert m.content_text(m.decode(POD)) is None
