"""What a broker counts. What is dropped is counted by reason: nothing goes silently."""

from __future__ import annotations

from collections import Counter

from mqtt.waiting import Waiting


class Counters:
    """Since the start of the broker.

    dropped: messages that did not reach a client, by reason: ``queue full`` (count or bytes), ``all queues full``,
    ``slow client`` (QoS 0 that its network did not take), ``expired``, ``too large`` (for the client's maximum packet size),
    ``not authorized`` (publishes and deliveries), ``retained full``, ``internal error`` (a mistake of the broker).
    closed: connections that the broker ended, by reason.
    received, sent: messages (PUBLISH). waiting: in all queues.
    bytes_received, bytes_sent: of MQTT. connections: accepted. admitted: CONNECTs. expired: sessions whose time was over.
    """

    __slots__ = (
        "admitted",
        "bytes_received",
        "bytes_sent",
        "closed",
        "connections",
        "dropped",
        "expired",
        "received",
        "sent",
        "waiting",
    )

    def __init__(self) -> None:
        self.received = 0
        self.sent = 0
        self.bytes_received = 0
        self.bytes_sent = 0
        self.connections = 0
        self.admitted = 0
        self.expired = 0
        self.waiting = Waiting()
        self.dropped: Counter[str] = Counter()
        self.closed: Counter[str] = Counter()
