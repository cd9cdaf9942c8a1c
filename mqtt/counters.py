"""What a broker counts. What is dropped is counted by reason: nothing goes silently."""

from __future__ import annotations

from collections import Counter


class Counters:
    """Since the start of the broker.

    dropped: messages that did not reach a client, by reason: ``queue full`` (count or bytes), ``slow client`` (QoS 0 that its
    network did not take), ``expired``, ``too large`` (for the client's maximum packet size), ``not authorized`` (publishes and
    deliveries), ``retained full``. closed: connections that the broker ended, by reason.
    """

    __slots__ = ("closed", "connections", "dropped", "received", "sent")

    def __init__(self) -> None:
        self.received = 0
        self.sent = 0
        self.connections = 0
        self.dropped: Counter[str] = Counter()
        self.closed: Counter[str] = Counter()
