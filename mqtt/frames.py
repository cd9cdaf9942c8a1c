"""WebSocket frames (RFC 6455) as a server of MQTT sees them: bytes of the connection in, bytes of MQTT out.

Only what MQTT needs: binary frames, whose borders mean nothing (MQTT-6.0.0-2), and no extensions. Payload is given on as it
comes, so no frame is too large to be taken, and nothing but a frame's head is kept.
"""

from __future__ import annotations

from typing import Final

_CONTINUATION: Final = 0x0
_BINARY: Final = 0x2
_CLOSE: Final = 0x8
_PING: Final = 0x9
_PONG: Final = 0xA

NORMAL: Final = 1000
PROTOCOL_ERROR: Final = 1002
UNSUPPORTED_DATA: Final = 1003
MISTAKES: Final = frozenset({PROTOCOL_ERROR, UNSUPPORTED_DATA})
_NOT_TO_BE_SENT: Final = frozenset({1004, 1005, 1006, 1015})


def frame(data: bytes) -> bytes:
    """*data* as one binary frame of a server."""
    size = len(data)
    if size < 126:
        return bytes((0x82, size)) + data
    if size < 0x10000:
        return b"\x82\x7e" + size.to_bytes(2, "big") + data
    return b"\x82\x7f" + size.to_bytes(8, "big") + data


def close_frame(code: int) -> bytes:
    return b"\x88\x02" + code.to_bytes(2, "big")


class Frames:
    """pong: what answers the newest ping, to be taken by who sends it. end: once not None, the code for our Close frame, and
    nothing more is taken: the client has closed (its code, mostly), or has broken a rule."""

    __slots__ = ("_key", "_left", "_open", "_rest", "end", "pong")

    def __init__(self) -> None:
        self._rest = b""
        self._left = 0
        self._key = b""
        self._open = False
        self.pong = b""
        self.end: int | None = None

    def feed(self, data: bytes) -> bytes:
        """What *data* brings of MQTT. Never raises: what comes before a mistake counts."""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        found: list[bytes] = []
        place = 0 if self._left or self._open or self.end is not None else _whole_frames(data, found)
        while self.end is None:
            if self._left:
                place = self._payload(data, place, found)
                if self._left:
                    break
            after = self._head(data, place)
            if after == place:
                self._rest = data[place:]
                break
            place = after
        return found[0] if len(found) == 1 else b"".join(found)

    def _payload(self, data: bytes, place: int, found: list[bytes]) -> int:
        piece = data[place : place + self._left]
        if piece:
            found.append(_unmask(piece, self._key))
            self._left -= len(piece)
            turn = len(piece) % 4
            self._key = self._key[turn:] + self._key[:turn]
        return place + len(piece)

    def _head(self, data: bytes, place: int) -> int:
        """Takes the head of a frame, and all of a control frame; returns where it ends, *place* when it is not whole."""
        if len(data) < place + 2:
            return place
        first, size = data[place], data[place + 1] & 0x7F
        width = {126: 2, 127: 8}.get(size, 0)
        start = place + 2 + width + 4
        self.end = self._objection(first, data[place + 1])
        if self.end is not None or len(data) < start:
            return place
        if width:
            size = int.from_bytes(data[place + 2 : place + 2 + width], "big")
            if size < (126 if width == 2 else 0x10000) or size >> 63:
                self.end = PROTOCOL_ERROR
        return self._take(first, size, data, start) or place

    def _take(self, first: int, size: int, data: bytes, start: int) -> int:
        """Returns where the next frame may begin; 0 when a control frame is not whole."""
        key = data[start - 4 : start]
        opcode = first & 0x0F
        if opcode < _CLOSE:
            self._open = not first & 0x80
            self._left, self._key = size, key
            return start
        if len(data) < start + size:
            return 0
        self._control(opcode, _unmask(data[start : start + size], key))
        return start + size

    def _objection(self, first: int, second: int) -> int | None:
        """Against the first two bytes of a frame (RFC 6455, 5.1, 5.2, 5.4, 5.5)."""
        opcode = first & 0x0F
        if first & 0x70 or not second & 0x80:
            return PROTOCOL_ERROR
        if opcode in (_CLOSE, _PING, _PONG):
            return PROTOCOL_ERROR if not first & 0x80 or second & 0x7F > 125 else None
        if opcode == 0x1:
            # MQTT-6.0.0-1
            return UNSUPPORTED_DATA
        return None if opcode == (_CONTINUATION if self._open else _BINARY) else PROTOCOL_ERROR

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == _PING:
            self.pong = bytes((0x8A, len(payload))) + payload
        elif opcode == _CLOSE:
            self.end = _answer_to(payload)


def _whole_frames(data: bytes, found: list[bytes]) -> int:
    """What clients mostly send, taken the short way: binary frames of less than 64 KiB that are there in one piece. Returns where
    the first stands that is none."""
    place = 0
    size = len(data)
    while size - place > 5 and data[place] == 0x82:
        length = data[place + 1] - 0x80
        start = place + 6
        if length == 126 and size - place > 7:
            length = data[place + 2] << 8 | data[place + 3]
            start = place + 8
            if length < 126:
                break
        elif not 0 <= length < 126:
            break
        end = start + length
        if end > size:
            break
        found.append(_unmask(data[start:end], data[start - 4 : start]))
        place = end
    return place


def _answer_to(payload: bytes) -> int:
    if not payload:
        return NORMAL
    code = int.from_bytes(payload[:2], "big")
    good = len(payload) > 1 and 1000 <= code < 5000 and code not in _NOT_TO_BE_SENT
    return code if good else PROTOCOL_ERROR


def _unmask(data: bytes, key: bytes) -> bytes:
    size = len(data)
    keys = (key * (size // 4 + 1))[:size]
    # Of all ways that need no extension module the quickest, by far.
    return (int.from_bytes(data, "little") ^ int.from_bytes(keys, "little")).to_bytes(size, "little")
