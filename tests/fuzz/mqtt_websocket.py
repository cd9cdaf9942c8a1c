"""Fuzzes what stands below MQTT on a WebSocket with atheris: the request, then frames. Not part of the ordinary run; from the top
of the tree:

    pip install atheris
    PYTHONPATH=. python tests/fuzz/mqtt_websocket.py -max_total_time=600 [folder for what it finds]
"""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["mqtt.frames", "mqtt.upgrade"]):
    from mqtt.frames import Frames
    from mqtt.upgrade import REQUEST, Gate, Upgrade

ORIGINS = ({"https://panel.example"}, {"*"}, set[str]())
GOOD = (
    b"GET /mqtt HTTP/1.1\r\nHost: localhost:9001\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\nOrigin: https://panel.example\r\n\r\n"
)
FRAMES = (
    b"\x82\x85abcd\x01\x02\x03\x04\x05\x89\x81abcdx\x02\x81abcdy\x80\x81abcdz\x82\xfe\x00\x7eabcd" + bytes(126) + b"\x88\x80abcd"
)


def asked(data: bytes, pieces: list[bytes], origins: set[str], local: bool) -> tuple[bool, bytes]:
    """Whether it was accepted, and what was left for frames."""
    upgrade = Upgrade(Gate(origins), local=local)
    for number, piece in enumerate(pieces):
        answer = upgrade.feed(piece) if piece else None
        if answer is not None:
            assert answer.data.startswith(b"HTTP/1.1 ")
            assert answer.accepted == answer.data.startswith(b"HTTP/1.1 101 ")
            return answer.accepted, answer.rest + b"".join(pieces[number + 1 :])
    assert len(data) <= REQUEST + 1
    return False, b""


def framed(pieces: list[bytes]) -> tuple[bytes, int | None, bytes]:
    frames = Frames()
    found = b"".join(map(frames.feed, pieces))
    assert len(found) <= sum(map(len, pieces))
    assert frames.end is None or 1000 <= frames.end < 5000
    return found, frames.end, frames.pong


def one_input(data: bytes) -> None:
    """The first byte says what is asked and by whom, the second where the bytes are cut."""
    if len(data) < 2:
        return
    body = data[2:]
    cut = data[1] % (len(body) + 1)
    pieces = [body[:cut], body[cut:]]
    origins, local = ORIGINS[data[0] % 3], bool(data[0] & 0x40)
    if data[0] & 0x80:
        accepted, rest = asked(body, [body], origins, local)
        again, rest_again = asked(body, pieces, origins, local)
        # A refusal may come earlier in pieces, never another decision.
        assert accepted == again
        if accepted:
            assert rest == rest_again
            framed([rest])
        return
    assert framed([body]) == framed(pieces) == framed([body[place : place + 1] for place in range(len(body))])


if __name__ == "__main__":
    logging.disable()
    with tempfile.TemporaryDirectory() as start:
        (Path(start) / "request").write_bytes(b"\x80\x07" + GOOD + FRAMES)
        (Path(start) / "frames").write_bytes(b"\x00\x07" + FRAMES)
        folders = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
        options = [argument for argument in sys.argv[1:] if argument.startswith("-")]
        found = folders or [tempfile.mkdtemp(prefix="mqtt-websocket-")]
        atheris.Setup([sys.argv[0], *options, *found, start], one_input)
        atheris.Fuzz()
