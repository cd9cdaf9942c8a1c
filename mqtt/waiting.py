"""What waits in the queues of all clients together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mqtt.message import Message

_DELIVERY: Final = 150
"""Bytes that a place in a queue takes beside the message."""


class Waiting:
    """bytes: in memory. A message that waits for many clients is there once."""

    __slots__ = ("_times", "bytes")

    def __init__(self) -> None:
        self.bytes = 0
        self._times: dict[Message, int] = {}

    def would_be(self, message: Message) -> int:
        """How many bytes it were with this message in one queue more."""
        return self.bytes + _DELIVERY + (0 if message in self._times else message.size)

    def add(self, message: Message) -> None:
        self.bytes = self.would_be(message)
        self._times[message] = self._times.get(message, 0) + 1

    def remove(self, message: Message) -> None:
        self.bytes -= _DELIVERY
        times = self._times.pop(message) - 1
        if times:
            self._times[message] = times
        else:
            self.bytes -= message.size
