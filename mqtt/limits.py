"""What one broker and each of its clients may take up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

UNLIMITED: Final = 0xFFFFFFFF
"""As a session expiry: for ever (MQTT 5.0, 3.1.2.11.2)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, times in seconds."""

    packet: int = 1024 * 1024
    """The largest packet taken from a client; announced to clients of 5.0."""
    unknown_packet: int = 64 * 1024
    """The largest packet before the client is known: a CONNECT with its will."""
    unknown_bytes: int = 8 * 1024 * 1024
    """What is held of all CONNECTs together that have not come whole or were not answered."""
    connections: int = 10_000
    connect_timeout: float = 10.0
    """Until the CONNECT has come whole and was answered."""
    in_flight: int = 100
    """QoS 1 and 2 messages on their way to one client, not yet acknowledged. A client of 5.0 may ask for less."""
    receive_maximum: int = 256
    """The same for messages that come from one client (5.0)."""
    queued_messages: int = 1000
    queued_bytes: int = 16 * 1024 * 1024
    """What waits for one client beyond what is in flight. A message that does not fit is dropped and counted."""
    waiting_bytes: int = 256 * 1024 * 1024
    """What waits in all queues together; a message for many counts once."""
    output: int = 1024 * 1024
    """Bytes written for one client that the network has not taken. Beyond it QoS 0 is dropped, QoS 1 and 2 wait in the queue."""
    topic_bytes: int = 1024
    topic_levels: int = 32
    subscriptions: int = 1000
    subscription_levels: int = 8000
    """Per client: subscriptions, and the levels of all their filters, each some 350 bytes."""
    sessions: int = 100_000
    """Connected or waiting for their clients."""
    session_expiry: int = UNLIMITED
    """The longest that a session waits for its client."""
    retained_messages: int = 100_000
    retained_bytes: int = 64 * 1024 * 1024
    topic_aliases: int = 32
    """Per client, for its own publishes (5.0)."""
    publish_rate: float = 0.0
    """Messages per second from one client; what is faster waits in the network. 0: no limit."""
    keep_alive: int = 0
    """The longest that clients may choose; 0: any. A client of 5.0 that wants longer, or none, is told this."""
