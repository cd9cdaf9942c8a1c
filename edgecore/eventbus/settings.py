"""What the event bus is told: ``modules.eventBus`` with its addresses taken apart."""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from edgecore import config
from edgecore.eventbus.address import address
from mqtt.dial import Address, TlsContext
from mqtt.limits import Limits
from mqtt.listeners import Listener

LEAST_QUEUE: Final = 1000
"""KubeEdge's default of ``mqttSessionQueueSize`` is 100, for a broker that holds up the publisher of what has no room. This one
drops it."""

_DESCRIPTORS_BESIDE: Final = 256


@dataclass(frozen=True)
class External:
    """tls: called for each connection, so that files that have changed are read anew; raises TlsError."""

    address: Address
    tls: Callable[[], TlsContext] | None = None
    username: str | None = None
    password: bytes | None = field(default=None, repr=False)
    sub_id: str = ""
    pub_id: str = ""


@dataclass(frozen=True)
class BusSettings:
    """journal: the file in which everything that waits is kept. view: a unix socket for ``keadm ctl broker``.
    internal: None without a broker for clients. broker_file: what it
    is made of instead. qos, retain: of what
    edgecore publishes there."""

    node: str
    journal: Path
    view: Path | None = None
    internal: Listener | None = None
    broker_file: Path | None = None
    external: External | None = None
    qos: int = 0
    retain: bool = False
    limits: Limits = field(default_factory=Limits)


def listener(url: str) -> Listener:
    """Of the internal broker. The address was checked."""
    where, _ = address(url)
    return Listener(path=Path(where)) if isinstance(where, str) else Listener(*where)


def of(configuration: config.EdgeCore) -> BusSettings:
    """From a configuration that was checked."""
    bus = configuration.modules.eventBus
    return BusSettings(
        node=configuration.node,
        journal=Path(configuration.database.dataSource).with_name("mqtt.db"),
        view=Path(configuration.database.dataSource).with_name("broker.sock"),
        internal=listener(bus.mqttServerInternal) if bus.mqttMode < 2 else None,
        broker_file=Path(bus.mqttBrokerConfig) if bus.mqttBrokerConfig and bus.mqttMode < 2 else None,
        external=_external(bus) if bus.mqttMode > 0 else None,
        qos=bus.mqttQOS,
        retain=bus.mqttRetain,
        limits=Limits(queued_messages=max(LEAST_QUEUE, bus.mqttSessionQueueSize), connections=_connections()),
    )


def _connections() -> int:
    """As many as the descriptors of this process allow, with enough left for all its other work."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(min(Limits().connections, soft - _DESCRIPTORS_BESIDE), 1)


def _external(bus: config.EventBus) -> External:
    where, secure = address(bus.mqttServerExternal)
    files = bus.eventBusTLS

    def context() -> TlsContext:
        from viaduct import tls

        if not files.enable:
            return tls.client_context(ca=None)
        return tls.client_context(
            ca=Path(files.tlsMqttCAFile), certificate=Path(files.tlsMqttCertFile), key=Path(files.tlsMqttPrivateKeyFile)
        )

    return External(
        where,
        context if secure else None,
        bus.mqttUsername or None,
        bus.mqttPassword.encode() if bus.mqttUsername and bus.mqttPassword else None,
        bus.mqttSubClientID,
        bus.mqttPubClientID,
    )
