"""The broker within edgecore: by ``mqttServerInternal`` alone, or by a file such as ``edgecore broker -c`` reads."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from edgecore.eventbus.address import is_loopback
from edgecore.eventbus.settings import BusSettings
from edgecore.version import program_version
from mqtt.accessfile import AccessFileError
from mqtt.broker import Broker, Config
from mqtt.durable import Durable
from mqtt.listeners import Listener

if TYPE_CHECKING:
    from edgecore.brokersetup import Setup

log = logging.getLogger(__name__)


class Embedded:
    """One start of the broker. config: what it is made of; sessions and messages are kept in the edge's own journal.

    Raises AccessFileError.
    """

    def __init__(self, settings: BusSettings) -> None:
        self._file = settings.broker_file
        self._setup: Setup | None = None
        if self._file is not None:
            from edgecore import brokerfile
            from edgecore.brokersetup import Setup

            self._setup = Setup(brokerfile.load(self._file))
            self.config = self._setup.config
            most = min(self.config.limits.connections, settings.limits.connections)
            self.config.limits = replace(self.config.limits, connections=most)
        elif settings.internal is not None:
            self.config = _plain(settings.internal, settings)
        else:
            # Nobody can ask it for anything.
            self.config = Config([], settings.limits, sys_interval=0)
        self.config.journal = Durable(settings.journal)
        self.config.hold = True
        self.config.version = f"edgecore {program_version()}"

    async def reload(self, broker: Broker) -> None:
        """The file, with its passwords, rights and certificates, is read again."""
        if self._setup is None or self._file is None:
            return
        try:
            await self._setup.reload(self._file, broker)
        except AccessFileError as error:
            log.error("SIGHUP: nothing has changed for MQTT clients, because of this: %s", error)
        else:
            log.info("SIGHUP: %s is in force as it is now", self._file)


def _plain(listener: Listener, settings: BusSettings) -> Config:
    """Everybody on this machine may do everything, nobody else anything."""
    config = Config([listener], settings.limits)
    if listener.path is None and not is_loopback(listener.host):
        from mqtt.admission import Admission, Terms

        config.authenticator = Admission({listener.name: Terms(anonymous=True)})
        log.warning(
            "modules.eventBus.mqttServerInternal is open to other machines, but only clients of this one are let in: "
            "for others, name users or certificates in a file and that file in modules.eventBus.mqttBrokerConfig"
        )
    return config
