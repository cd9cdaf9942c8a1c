"""paho-mqtt, aiomqtt and gmqtt behind one face, so that each of them goes through the same story."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import socket
import ssl
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import aiomqtt
import gmqtt
import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

WAIT = 10.0
WILL = ("wills/gone", b"bye")


class Refused(Exception):
    """The broker does not want this client."""


@dataclass(frozen=True)
class Got:
    topic: str
    payload: bytes
    qos: int
    retain: bool
    user: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Door:
    """Where the broker lets whom in."""

    port: int
    tls: ssl.SSLContext
    user: str
    password: str


class Driver(ABC):
    """five: speaks 5.0, else 3.1.1. stays: with a session that outlives the connection."""

    def __init__(self, door: Door, name: str, *, five: bool, stays: bool = False, will: bool = False) -> None:
        self.door, self.name, self.five, self.stays, self.will = door, name, five, stays, will

    @abstractmethod
    async def connect(self) -> None:
        """Raises Refused."""

    @abstractmethod
    async def subscribe(self, name: str, qos: int) -> None: ...

    @abstractmethod
    async def publish(self, topic: str, payload: bytes, qos: int, *, retain: bool = False, user: bool = False) -> None:
        """user: with the user property k=v."""

    @abstractmethod
    async def receive(self) -> Got: ...

    @abstractmethod
    async def leave(self) -> None: ...

    @abstractmethod
    async def vanish(self) -> None:
        """Without a word."""

    def connect_properties(self) -> Properties | None:
        if not (self.five and self.stays):
            return None
        found = Properties(PacketTypes.CONNECT)
        found.SessionExpiryInterval = 600
        return found


def _publish_properties(user: bool) -> Properties | None:
    if not user:
        return None
    found = Properties(PacketTypes.PUBLISH)
    found.UserProperty = ("k", "v")
    return found


def _got(message: Any) -> Got:
    user = getattr(message.properties, "UserProperty", ()) if message.properties else ()
    return Got(str(message.topic), message.payload, message.qos, bool(message.retain), tuple(user))


class Paho(Driver):
    async def connect(self) -> None:
        more: dict[str, Any] = {} if self.five else {"clean_session": not self.stays}
        version = paho.MQTTv5 if self.five else paho.MQTTv311
        self.client = client = paho.Client(paho.CallbackAPIVersion.VERSION2, self.name, protocol=version, **more)
        self.inbox: queue.Queue[Got] = queue.Queue()
        answers: queue.Queue[Any] = queue.Queue()
        self.granted: queue.Queue[Any] = queue.Queue()
        client.on_connect = lambda _c, _u, _f, reason, _p: answers.put(reason)
        client.on_subscribe = lambda _c, _u, _m, reasons, _p: self.granted.put(reasons)
        client.on_message = lambda _c, _u, message: self.inbox.put(_got(message))
        client.username_pw_set(self.door.user, self.door.password)
        client.tls_set_context(self.door.tls)
        if self.will:
            client.will_set(*WILL, 1)
        start = {"clean_start": not self.stays, "properties": self.connect_properties()} if self.five else {}
        client.connect("localhost", self.door.port, **start)
        client.loop_start()
        if answers.get(timeout=WAIT).is_failure:
            client.loop_stop()
            raise Refused

    async def subscribe(self, name: str, qos: int) -> None:
        self.client.subscribe(name, qos)
        assert not self.granted.get(timeout=WAIT)[0].is_failure

    async def publish(self, topic: str, payload: bytes, qos: int, *, retain: bool = False, user: bool = False) -> None:
        self.client.publish(topic, payload, qos, retain, _publish_properties(user)).wait_for_publish(WAIT)

    async def receive(self) -> Got:
        return self.inbox.get(timeout=WAIT)

    async def leave(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    async def vanish(self) -> None:
        sock = self.client.socket()
        assert sock is not None
        self.client.loop_stop()
        sock.close()


class Aiomqtt(Driver):
    async def connect(self) -> None:
        version = aiomqtt.ProtocolVersion.V5 if self.five else aiomqtt.ProtocolVersion.V311
        more: dict[str, Any] = {"clean_start": not self.stays} if self.five else {"clean_session": not self.stays}
        self.client = aiomqtt.Client(
            "localhost",
            self.door.port,
            username=self.door.user,
            password=self.door.password,
            identifier=self.name,
            protocol=version,
            tls_context=self.door.tls,
            will=aiomqtt.Will(*WILL, 1) if self.will else None,
            properties=self.connect_properties(),
            timeout=WAIT,
            **more,
        )
        try:
            await self.client.__aenter__()
        except aiomqtt.MqttError as error:
            raise Refused from error

    async def subscribe(self, name: str, qos: int) -> None:
        await self.client.subscribe(name, qos)

    async def publish(self, topic: str, payload: bytes, qos: int, *, retain: bool = False, user: bool = False) -> None:
        await self.client.publish(topic, payload, qos, retain, _publish_properties(user))

    async def receive(self) -> Got:
        return _got(await asyncio.wait_for(anext(aiter(self.client.messages)), WAIT))

    async def leave(self) -> None:
        await self.client.__aexit__(None, None, None)

    async def vanish(self) -> None:
        sock = self.client._client.socket()
        assert sock is not None
        sock.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(aiomqtt.MqttError):
            await self.leave()


class Gmqtt(Driver):
    async def connect(self) -> None:
        will = gmqtt.Message(*WILL, qos=1) if self.will else None
        more = {"session_expiry_interval": 600} if self.five and self.stays else {}
        self.client = client = gmqtt.Client(self.name, clean_session=not self.stays, will_message=will, **more)
        self.inbox: asyncio.Queue[Got] = asyncio.Queue()
        self.granted = asyncio.Event()
        client.on_message = self._on_message
        client.on_subscribe = lambda *_: self.granted.set()
        client.set_config({"reconnect_retries": 0, "reconnect_delay": 0})
        client.set_auth_credentials(self.door.user, self.door.password)
        version = 5 if self.five else 4
        try:
            await client.connect("localhost", self.door.port, ssl=self.door.tls, version=version)
        except gmqtt.mqtt.handler.MQTTConnectError as error:
            raise Refused from error

    def _on_message(self, _client: object, topic: str, payload: bytes, qos: int, properties: dict[str, Any]) -> int:
        user = tuple(tuple(each) for each in properties.get("user_property", ()))
        self.inbox.put_nowait(Got(topic, payload, qos, bool(properties["retain"]), user))
        return 0

    async def subscribe(self, name: str, qos: int) -> None:
        self.granted.clear()
        self.client.subscribe(name, qos)
        await asyncio.wait_for(self.granted.wait(), WAIT)

    async def publish(self, topic: str, payload: bytes, qos: int, *, retain: bool = False, user: bool = False) -> None:
        self.client.publish(topic, payload, qos, retain, **({"user_property": ("k", "v")} if user else {}))

    async def receive(self) -> Got:
        return await asyncio.wait_for(self.inbox.get(), WAIT)

    async def leave(self) -> None:
        # It hands out a message of QoS 2 before the PUBREL: asyncio minds when that crosses with the end of TLS.
        with contextlib.suppress(ssl.SSLError):
            await self.client.disconnect()

    async def vanish(self) -> None:
        self.client._connection._transport.abort()
