"""A socket that speaks MQTT in WebSocket frames, with or without TLS below. To the broker it is a socket as any."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Final

from mqtt.core import Core
from mqtt.frames import MISTAKES, NORMAL, Frames, close_frame, frame
from mqtt.link import Link
from mqtt.sockets import Gone, Socket
from mqtt.upgrade import Gate, Upgrade

_READ: Final = 16 * 1024
"""Bytes at a time. Made of frames without anything in them they keep us busy for 4 ms, and others wait meanwhile; it is also the
least that TLS can be read by."""


class WebSocket(Socket):
    """What is to be said below MQTT (the upgrade, pongs, Close) waits in ``_below`` for the next ``write``, which an empty
    ``link.send`` brings about: so all that goes out goes one way, and counts as what the client has not taken yet."""

    __slots__ = ("_below", "_core", "_ending", "_frames", "_said_close", "_upgrade")

    def __init__(self, sock: socket.socket, link: Link, gate: Gate, core: Core, *, secure: bool) -> None:
        super().__init__(sock, link, secure=secure)
        self._core = core
        self._upgrade: Upgrade | None = Upgrade(gate, local=link.peer.local)
        self._frames: Frames | None = None
        self._below = b""
        self._ending = self._said_close = False

    def read(self, size: int) -> bytes:
        if self._frames is not None and self._frames.end is not None and not self.lingering:
            # We are asked again: what came before the end was dealt with.
            self._end()
            return b""
        data = super().read(min(size, _READ))
        if self.lingering:
            return self._linger(data)
        if self._upgrade is not None and data:
            data = self._open(self._upgrade, data)
        frames = self._frames
        if frames is None or not data:
            return b""
        payload = frames.feed(data)
        if frames.pong:
            self._below += frames.pong
            frames.pong = b""
            self.link.send(b"")
        if frames.end in MISTAKES or (frames.end is not None and not payload):
            self._end()
        elif frames.end is not None:
            # The core may take its time with what came before. Nothing more will come, and the poll is to tell us so, again and
            # again until we read on.
            with suppress(OSError):
                socket.socket.shutdown(self._sock, socket.SHUT_RD)
        return payload

    def _end(self) -> None:
        self._ending = True
        self.link.send(b"")

    def _open(self, upgrade: Upgrade, data: bytes) -> bytes:
        answer = upgrade.feed(data)
        if answer is None:
            self._core.hold(self.link, upgrade.held)
            return b""
        self._upgrade = None
        self._below = answer.data
        self.link.send(b"")
        if answer.accepted:
            self._frames = Frames()
        else:
            self._core.counters.closed["no WebSocket"] += 1
            self.link.refused = self.link.closing = True
        return answer.rest

    def _linger(self, data: bytes) -> bytes:
        """Who has read our Close answers with its own, and waits for us to close. Raises Gone."""
        # Under TLS what comes after our half has ended is no longer deciphered.
        if self._frames is not None and not self._secure:
            ended_by_us = self._frames.end is not None
            self._frames.feed(data)
            if self._frames.end is not None and not ended_by_us:
                raise Gone
        return b""

    def write(self, data: bytes) -> bool:
        framed = self._below + (frame(data) if data else b"")
        self._below = b""
        if self._ending and self._frames is not None and self._frames.end is not None and not self._said_close:
            self._said_close = True
            framed += close_frame(self._frames.end)
            if self._frames.end in MISTAKES:
                # Who has made one shall be able to read that.
                self._core.counters.closed["not MQTT in frames"] += 1
                self.link.refused = True
            self.link.closing = True
        if not framed:
            return not self.pending
        self.link.buffered += len(framed) - len(data)
        return super().write(framed)

    def _say_close(self) -> None:
        if self._frames is not None and not self._said_close and not self.pending and not self.broken:
            self._said_close = True
            with suppress(OSError, ValueError):
                self._sock.send(close_frame(self._frames.end or NORMAL))

    def finish(self) -> None:
        self._say_close()
        super().finish()

    def close(self) -> None:
        self._say_close()
        super().close()
