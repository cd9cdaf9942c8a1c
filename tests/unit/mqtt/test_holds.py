"""What leaves before the journal is on disk, and what does not."""

from __future__ import annotations

import pytest
from brokers.conversation import Broker, Client
from brokers.ledger import Ledger

from mqtt.packets import PubAck, PubComp, Publish, PubRec, PubRel, Subscribe, Subscription, Unsubscribe


class Scene:
    """A writer whose session ends, a writer and a reader whose sessions stay; everything so far is on disk."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.broker = Broker(journal=self.ledger)
        self.reader = self.broker.client("reader", clean_start=False)
        self.reader.subscribe("a", 2)
        self.keeper = self.broker.client("keeper", clean_start=False)
        self.writer = self.broker.client("writer")
        self.settle()

    def settle(self) -> None:
        self.ledger.commit_now()
        for client in (self.reader, self.keeper, self.writer):
            client.got()
            client.link.hold = 0

    def waits(self, client: Client) -> bool:
        return client.link.hold > self.ledger.written


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.mark.parametrize("qos", [1, 2])
def test_an_acknowledgement_waits_when_a_session_that_stays_gets_the_message(scene: Scene, qos: int) -> None:
    scene.writer.send(Publish("a", qos=qos, packet_id=1))
    assert scene.waits(scene.writer)
    scene.ledger.commit_now()
    assert not scene.waits(scene.writer)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_nothing_waits_when_nothing_is_kept(scene: Scene, qos: int) -> None:
    scene.writer.send(Publish("nobody", qos=qos, packet_id=1 if qos else 0))
    assert not scene.waits(scene.writer)
    scene.writer.send(Publish("a", b"0"))
    assert not scene.waits(scene.writer)
    assert not scene.waits(scene.reader)


def test_a_retained_message_of_qos_0_promises_nothing(scene: Scene) -> None:
    """So what its client gets next does not wait for the disk either."""
    scene.writer.send(Publish("r", b"x", 0, retain=True))
    assert scene.ledger.newest > scene.ledger.written
    assert not scene.waits(scene.writer)


def test_a_retained_message_is_kept_before_it_is_acknowledged(scene: Scene) -> None:
    scene.writer.send(Publish("r", b"x", 1, retain=True, packet_id=1))
    assert scene.waits(scene.writer)


def test_qos_1_goes_out_at_once_and_qos_2_when_its_identifier_is_kept(scene: Scene) -> None:
    scene.writer.send(Publish("a", b"1", 1, packet_id=1))
    assert not scene.waits(scene.reader)
    scene.writer.send(Publish("a", b"2", 2, packet_id=2))
    assert scene.waits(scene.reader)


def test_every_step_of_qos_2_from_a_session_that_stays(scene: Scene) -> None:
    scene.keeper.send(Publish("nobody", b"1", 2, packet_id=1))
    assert scene.waits(scene.keeper), "PUBREC"
    scene.keeper.send(PubRel(1))
    scene.settle()
    scene.keeper.send(Publish("nobody", b"1", 2, packet_id=1))
    scene.keeper.lose()
    scene.keeper = scene.broker.client("keeper", clean_start=False)
    scene.keeper.link.hold = 0
    scene.keeper.send(Publish("nobody", b"1", 2, dup=True, packet_id=1))
    assert scene.waits(scene.keeper), "PUBREC for the second, while the first is on its way to the disk"
    scene.settle()
    scene.keeper.send(PubRel(1))
    assert scene.waits(scene.keeper), "PUBCOMP"


def test_every_step_of_qos_2_to_a_session_that_stays(scene: Scene) -> None:
    scene.writer.send(Publish("a", b"1", 2, packet_id=1))
    scene.settle()
    scene.reader.send(PubRec(1))
    assert scene.waits(scene.reader), "PUBREL"
    scene.ledger.commit_now()
    scene.reader.send(PubComp(1))
    scene.ledger.commit_now()
    assert not scene.ledger.disk.sessions["reader"].deliveries


def test_what_is_sent_again_waits_for_what_was_kept_of_it(scene: Scene) -> None:
    scene.writer.send(Publish("a", b"1", 2, packet_id=1))
    scene.reader.lose()
    scene.reader = scene.broker.client("reader", clean_start=False)
    assert scene.waits(scene.reader)


def test_subscriptions_of_a_session_that_stays(scene: Scene) -> None:
    scene.keeper.send(Subscribe(1, [Subscription("b", 1)]))
    assert scene.waits(scene.keeper)
    scene.settle()
    scene.keeper.send(Unsubscribe(2, ["b"]))
    assert scene.waits(scene.keeper)
    scene.writer.send(Subscribe(1, [Subscription("b", 1)]))
    assert not scene.waits(scene.writer)


def test_who_subscribes_again_waits_only_for_what_is_new(scene: Scene) -> None:
    scene.keeper.send(Subscribe(1, [Subscription("b", 1)]))
    scene.settle()
    scene.keeper.send(Subscribe(2, [Subscription("b", 1)]))
    assert not scene.waits(scene.keeper)
    scene.keeper.send(Unsubscribe(3, ["b"]), Subscribe(4, [Subscription("b", 1)]))
    assert scene.waits(scene.keeper)
    scene.settle()
    scene.keeper.send(Subscribe(5, [Subscription("b", 2)]))
    assert scene.waits(scene.keeper)


def test_a_session_is_on_disk_before_its_client_is_told(scene: Scene) -> None:
    new = scene.broker.client("new", clean_start=False)
    assert scene.waits(new)


def test_what_was_committed_comes_back() -> None:
    scene = Scene()
    scene.writer.send(Publish("a", b"1", 1, packet_id=1), Publish("r", b"kept", 1, retain=True, packet_id=2))
    scene.writer.send(Publish("a", b"2", 2, packet_id=3))
    scene.ledger.commit_now()
    first = [each for each in scene.reader.got() if isinstance(each, Publish)]
    scene.reader.send(PubAck(first[0].packet_id))
    scene.ledger.commit_now()
    after = Broker(journal=Ledger(scene.ledger.disk))
    after.core.restore(scene.ledger.saved(), scene.ledger.disk.retained.values(), after.now)
    reader = after.client("reader", clean_start=False)
    assert reader.present
    [again] = reader.got()
    assert isinstance(again, Publish)
    assert (again.payload, again.packet_id, again.dup) == (b"2", first[1].packet_id, True)
    assert [each.payload for each in reader.subscribe("r") if isinstance(each, Publish)] == [b"kept"]
    after.client("writer").publish("a", b"3", 1)
    assert ("a", b"3", 1) in reader.messages()
