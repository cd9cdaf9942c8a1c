"""A broker's figures as Prometheus takes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from beehive.metrics import Family, Sample, counter, gauge
from beehive.process_metrics import process_families
from mqtt.statistics import Figures

_REASONS: Final = ("queue full", "all queues full", "slow client", "expired", "too large", "not authorized", "retained full")
"""Always there, so that a first drop is seen as a growing count."""


def families(found: Figures, version: str) -> Iterator[Family]:
    """Of the broker, and of the process that it runs in."""
    yield gauge("mqtt_broker_info", "The version that runs.", 1, {"version": version})
    yield gauge("mqtt_broker_uptime_seconds", "Since its start.", found.uptime)
    yield gauge("mqtt_connections", "Open connections, with those that are not clients yet.", found.connections)
    yield gauge("mqtt_clients_connected", "Clients that are connected.", found.connected)
    yield gauge("mqtt_sessions", "Sessions, also of clients that are away.", found.sessions)
    yield gauge("mqtt_subscriptions", "Subscriptions of all sessions.", found.subscriptions)
    yield gauge("mqtt_shared_subscriptions", "Shared ones among the subscriptions.", found.shared)
    yield gauge("mqtt_retained_messages", "Retained messages.", found.retained)
    yield gauge("mqtt_retained_bytes", "What retained messages take in memory, about.", found.retained_bytes)
    yield gauge("mqtt_inflight_messages", "Sent at QoS 1 or 2, not acknowledged.", found.in_flight)
    yield gauge("mqtt_queued_messages", "Waiting behind those in flight.", found.queued)
    yield gauge("mqtt_queued_bytes", "What waiting messages take in memory, about.", found.queued_bytes)
    yield gauge("mqtt_unsent_bytes", "Bytes that networks have not taken.", found.unsent)
    yield gauge("mqtt_journal_unrecorded_batches", "Batches of the journal that are not on disk.", found.unrecorded)
    yield gauge("mqtt_journal_failing", "1 while the disk does not take what has to be kept.", bool(found.failing))
    yield counter("mqtt_journal_commits_total", "Transactions of the journal.", found.commits)
    yield counter("mqtt_messages_received_total", "Messages (PUBLISH) from clients.", found.received)
    yield counter("mqtt_messages_sent_total", "Messages (PUBLISH) to clients, each once.", found.sent)
    yield counter("mqtt_bytes_received_total", "Bytes of MQTT from clients.", found.bytes_received)
    yield counter("mqtt_bytes_sent_total", "Bytes of MQTT for clients.", found.bytes_sent)
    yield counter("mqtt_connections_accepted_total", "Connections.", found.accepted)
    yield counter("mqtt_connects_total", "Clients that were let in.", found.admitted)
    yield counter("mqtt_sessions_expired_total", "Sessions whose time was over.", found.expired)
    dropped = dict.fromkeys(_REASONS, 0) | dict(found.dropped)
    yield _by_reason("mqtt_messages_dropped_total", "Messages that did not reach a client.", dropped)
    yield _by_reason("mqtt_connections_closed_total", "Connections that the broker has ended.", found.closed)
    yield from process_families()


def _by_reason(name: str, help_: str, counts: Mapping[str, int]) -> Family:
    return Family(name, "counter", help_, tuple(Sample(count, (("reason", reason),)) for reason, count in sorted(counts.items())))
