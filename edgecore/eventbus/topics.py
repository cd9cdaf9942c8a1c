"""Which topics mean the cloud, and which the device twin. Source: KubeEdge 1.23: edge/pkg/eventbus/mqtt."""

from __future__ import annotations

from typing import Final

UPLOADS: Final = ("$hw/events/upload/#", "SYS/dis/upload_records", "+/user/#")
"""What goes to the cloud always; rules of the cloud's router add filters of their own."""
TWINS: Final = (
    "$hw/events/device/+/+/state/update",
    "$hw/events/device/+/+/twin/+",
    "$hw/events/node/+/membership/get",
)
"""What is for the device twin. Its answers lie one level deeper, so that it never hears itself."""

_TWIN_ROOTS: Final = (["$hw", "events", "device"], ["$hw", "events", "node"])


def is_twin(topic: str) -> bool:
    """Whether a message with this topic is for the twin, whatever subscription it came by."""
    return topic.split("/", 3)[:3] in _TWIN_ROOTS


def is_broker_s(topic: str) -> bool:
    """Whether only the broker itself publishes there."""
    return topic.partition("/")[0] == "$SYS"
