"""Wills when the broker itself is lost: what is published when it starts again."""

from __future__ import annotations

from typing import Any

import pytest
from brokers.conversation import Broker, Client
from brokers.ledger import Ledger

from mqtt.access import Anything
from mqtt.packets import Version, Will
from mqtt.realms import Realms

STAYS: dict[str, Any] = {"clean_start": False, "properties": {"session_expiry": 600}}


class Scene:
    """A reader whose session stays, and a broker that can be killed."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.broker = Broker(journal=self.ledger)
        self.broker.client("reader", clean_start=False).subscribe("#", 1)

    def client(self, name: str = "sensor", delay: int = 0, **connect: Any) -> Client:
        will = Will("state", b"gone", 1, True, {"will_delay": delay} if delay else None)
        return self.broker.client(name, Version.V5, will=will, **connect)

    def kill(self) -> None:
        self.ledger.commit_now()
        self.ledger = Ledger(self.ledger.disk)
        disk = self.ledger.disk
        self.broker = Broker(journal=self.ledger)
        self.broker.core.restore(self.ledger.saved(), disk.retained.values(), self.broker.now, list(disk.wills.values()))

    def read(self) -> list[bytes]:
        client = self.broker.client("reader", clean_start=False)
        found = [payload for _, payload, _ in client.messages()]
        client.lose()
        return found


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.mark.parametrize("connect", [{}, STAYS])
def test_a_client_that_was_connected(scene: Scene, connect: dict[str, Any]) -> None:
    scene.client(**connect)
    scene.kill()
    assert scene.read() == [b"gone"]
    assert scene.broker.core.router.retained.get("state") is not None
    scene.kill()
    assert scene.read() == []


def test_a_client_that_had_said_goodbye(scene: Scene) -> None:
    scene.client().leave()
    scene.kill()
    assert scene.read() == []


def test_a_client_whose_will_was_published(scene: Scene) -> None:
    scene.client().lose()
    assert scene.read() == [b"gone"]
    scene.kill()
    assert scene.read() == []


def test_a_client_that_came_again_without_a_will(scene: Scene) -> None:
    scene.client("c", **STAYS).lose()
    assert scene.read() == [b"gone"]
    scene.broker.client("c", Version.V5, **STAYS)
    scene.kill()
    assert scene.read() == []


def test_a_delay_begins_anew(scene: Scene) -> None:
    client = scene.client("c", 60, **STAYS)
    scene.broker.pass_time(30)
    client.lose()
    scene.broker.pass_time(30)
    scene.kill()
    assert scene.read() == []
    scene.broker.pass_time(59)
    assert scene.read() == []
    scene.broker.pass_time(2)
    assert scene.read() == [b"gone"]
    scene.kill()
    scene.broker.pass_time(100)
    assert scene.read() == []


def test_a_client_that_comes_back_within_the_delay(scene: Scene) -> None:
    scene.client("c", 60, **STAYS)
    scene.kill()
    scene.broker.client("c", Version.V5, **STAYS)
    scene.broker.pass_time(100)
    assert scene.read() == []


def test_a_kill_before_the_will_was_written_down(scene: Scene) -> None:
    """It is published twice rather than never."""
    scene.client()
    scene.kill()
    scene.ledger = Ledger(scene.ledger.disk)
    scene.kill()
    assert scene.read() == [b"gone"]


def test_whose_will_it_is_is_known_again() -> None:
    """Where listeners have users of their own, "ann" alone is nobody."""
    ledger = Ledger()
    authorizer = Realms({"inner": Anything()})
    broker = Broker(journal=ledger, authorizer=authorizer)
    broker.realm = "inner"
    broker.client("c", Version.V5, username="ann", will=Will("state", b"gone", 1, True))
    ledger.commit_now()
    disk = ledger.disk
    broker = Broker(journal=Ledger(disk), authorizer=authorizer)
    broker.core.restore([], [], broker.now, list(disk.wills.values()))
    assert broker.core.router.retained.get("state") is not None
