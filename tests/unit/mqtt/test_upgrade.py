"""The request that opens a WebSocket."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt.upgrade import REQUEST, Gate, Upgrade

HEADERS = {
    "Host": "broker.example:9001",
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": "mqtt",
}


def request(start: str = "GET /mqtt HTTP/1.1", **changes: str | None) -> bytes:
    headers = HEADERS | {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [f"{name}: {value}\r\n" for name, value in headers.items() if value is not None]
    return f"{start}\r\n{''.join(lines)}\r\n".encode()


def status(data: bytes, origins: frozenset[str] = frozenset(), *, local: bool = False) -> int:
    answer = Upgrade(Gate(origins), local=local).feed(data)
    assert answer is not None
    found = int(answer.data.split()[1])
    assert answer.accepted == (found == 101)
    return found


def test_the_example_of_the_standard_in_pieces() -> None:
    upgrade = Upgrade(Gate(()), local=False)
    data = request()
    assert [upgrade.feed(data[place : place + 1]) for place in range(len(data) - 1)] == [None] * (len(data) - 1)
    answer = upgrade.feed(data[-1:] + b"\x82\x80mask")
    assert answer is not None
    assert answer.accepted
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer.data, "RFC 6455, 1.3"
    assert b"Sec-WebSocket-Protocol: mqtt\r\n" in answer.data, "MQTT-6.0.0-4"
    assert answer.rest == b"\x82\x80mask"


def test_extensions_are_not_taken() -> None:
    answer = Upgrade(Gate(()), local=False).feed(request(Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits"))
    assert answer is not None
    assert answer.accepted
    assert b"extensions" not in answer.data.lower()


@pytest.mark.parametrize(("asked", "chosen"), [("mqttv3.1", b"mqttv3.1"), ("chat, mqtt", b"mqtt"), ("mqttv3.1, mqtt", b"mqtt")])
def test_subprotocols(asked: str, chosen: bytes) -> None:
    answer = Upgrade(Gate(()), local=False).feed(request(Sec_WebSocket_Protocol=asked))
    assert answer is not None
    assert b"Sec-WebSocket-Protocol: " + chosen + b"\r\n" in answer.data


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (request(Sec_WebSocket_Protocol=None), 400),
        (request(Sec_WebSocket_Protocol="chat"), 400),
        (request("POST /mqtt HTTP/1.1"), 400),
        (request("GET /mqtt HTTP/1.0"), 400),
        (request(Upgrade=None), 426),
        (request(Upgrade="h2c"), 426),
        (request(Connection="close"), 400),
        (request(Sec_WebSocket_Version="8"), 426),
        (request(Sec_WebSocket_Key=None), 400),
        (request(Sec_WebSocket_Key="c2hvcnQ="), 400),
        (request(Sec_WebSocket_Key="ä"), 400),
        (request(Content_Length="5"), 400),
        (request(Transfer_Encoding="chunked"), 400),
        (request(Host=None), 400),
        (b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * REQUEST, 431),
    ],
)
def test_what_is_no_request_for_mqtt_is_refused(data: bytes, code: int) -> None:
    assert status(data) == code


PANEL = frozenset({"https://panel.example"})


@pytest.mark.parametrize(
    ("origin", "host", "origins", "local", "code"),
    [
        (None, "broker.example:9001", frozenset(), True, 101),
        ("https://evil.example", "broker.example:9001", frozenset(), False, 403),
        ("https://evil.example", "127.0.0.1:9001", frozenset(), True, 403),
        ("null", "broker.example", frozenset(), False, 403),
        ("", "broker.example", frozenset(), False, 403),
        ("http://[", "broker.example", frozenset(), False, 403),
        ("http://broker.example", "broker.example:9001", frozenset(), False, 101),  # a page of the same host
        ("http://Broker.example:80", "broker.EXAMPLE:9001", frozenset(), False, 101),
        ("http://evil.example", "evil.example:9001", frozenset(), True, 403),  # a name that its owner has led here
        ("http://localhost:3000", "localhost:9001", frozenset(), True, 101),
        ("http://127.0.0.1:3000", "127.0.0.1:9001", frozenset(), True, 101),
        ("http://[::1]:3000", "[::1]:9001", frozenset(), True, 101),
        ("https://panel.example", "broker.example", PANEL, False, 101),
        ("https://Panel.example", "broker.example", PANEL, True, 101),
        ("https://panel.example:8443", "broker.example", PANEL, False, 403),
        ("http://panel.example", "broker.example", PANEL, False, 403),
        ("https://evil.example", "broker.example", frozenset({"*"}), True, 101),
    ],
)
def test_pages_of_other_hosts_have_to_be_listed(
    origin: str | None, host: str, origins: frozenset[str], local: bool, code: int
) -> None:
    assert status(request(Host=host, Origin=origin), origins, local=local) == code


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=20))
def test_whatever_comes_raises_nothing(pieces: list[bytes]) -> None:
    upgrade = Upgrade(Gate(()), local=True)
    for piece in pieces:
        if upgrade.feed(piece) is not None:
            break
