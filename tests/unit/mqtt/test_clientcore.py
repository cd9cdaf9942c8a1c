"""The client without I/O: windows, the four packets of QoS 2, what a resumed session sends again, and servers that misbehave."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mqtt.clientcore import Arrived, ClientCore, Connected, Disconnected, Event, Session, Settled
from mqtt.codec import Decoder, PeerError, Unencodable, encode
from mqtt.packets import (
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    Subscription,
    UnsubAck,
    Version,
)
from mqtt.properties import Properties
from mqtt.reasons import Reason

V31, V311, V5 = Version


class Conversation:
    """A core, and a server that says what the test says."""

    def __init__(
        self,
        version: Version = V5,
        session: Session | None = None,
        *,
        present: bool = False,
        clean: bool = False,
        server: Properties | None = None,
        client: Properties | None = None,
    ) -> None:
        connect = Connect(version, "me", clean, properties=client)
        self.session = session or Session()
        self.core = ClientCore(connect, self.session, 10_000)
        self.decoder = Decoder(10_000)
        assert self.said() == [connect]
        [connected] = self.hears(ConnAck(present, properties=server))
        assert isinstance(connected, Connected)
        self.lost = connected.lost

    def said(self) -> list[Packet]:
        self.decoder.feed(self.core.take())
        return self.decoder.batch()

    def hears(self, *packets: Packet) -> list[Event]:
        return self.core.receive(b"".join(encode(packet, self.core.version) for packet in packets))


def message(number: int = 0, qos: int = 1, text: bytes = b"x") -> Publish:
    return Publish("t", text, qos, packet_id=number)


def test_qos_1() -> None:
    talk = Conversation()
    assert talk.core.publish(message()) == 1
    assert talk.said() == [message(1)]
    assert talk.hears(PubAck(1, Reason.NO_MATCHING_SUBSCRIBERS)) == [Settled(1, [Reason.NO_MATCHING_SUBSCRIBERS], None)]
    assert talk.session.outgoing == {}
    assert talk.hears(PubAck(1)) == []  # once more, of no meaning


def test_qos_2() -> None:
    talk = Conversation()
    assert talk.core.publish(message(qos=2)) == 1
    assert talk.said() == [message(1, 2)]
    assert talk.hears(PubRec(1)) == []
    assert talk.said() == [PubRel(1)]
    assert talk.hears(PubRec(1)) == []
    assert talk.said() == [PubRel(1)]
    assert talk.hears(PubComp(1)) == [Settled(1, [Reason.SUCCESS], None)]


def test_qos_2_refused_ends_there() -> None:
    """MQTT-4.3.3-4: no PUBREL after a failing PUBREC; the identifier is free."""
    talk = Conversation()
    talk.core.publish(message(qos=2))
    talk.said()
    refusal = PubRec(1, Reason.QUOTA_EXCEEDED, {"reason_string": "full"})
    assert talk.hears(refusal) == [Settled(1, [Reason.QUOTA_EXCEEDED], {"reason_string": "full"})]
    assert talk.said() == []
    assert talk.session.outgoing == {}


def test_the_window_of_the_server() -> None:
    """MQTT-4.9.0-2 and -3."""
    talk = Conversation(server={"receive_maximum": 2})
    numbers = [talk.core.publish(message(qos=1 + at % 2)) for at in range(4)]
    assert numbers == [1, 2, 3, 4]
    assert talk.said() == [message(1), message(2, 2)]
    talk.core.publish(message(qos=0))
    talk.core.ping()
    assert talk.said() == [message(qos=0), PingReq()]
    talk.hears(PubRec(2))
    assert talk.said() == [PubRel(2)]  # it holds its place until PUBCOMP
    talk.hears(PubAck(1))
    assert talk.said() == [message(3)]
    talk.hears(PubComp(2), PubComp(2))
    assert talk.said() == [message(4, 2)]


def test_incoming_qos_2_is_given_out_once() -> None:
    talk = Conversation()
    [arrived] = talk.hears(message(7, 2))
    assert isinstance(arrived, Arrived)
    assert talk.said() == []
    assert talk.hears(message(7, 2)) == []  # it is with the application still
    talk.core.acknowledge(arrived.message)
    talk.core.acknowledge(arrived.message)
    assert talk.said() == [PubRec(7)]
    assert talk.hears(message(7, 2)) == []
    assert talk.said() == [PubRec(7)]
    talk.hears(PubRel(7), PubRel(7))
    assert talk.said() == [PubComp(7), PubComp(7, Reason.PACKET_IDENTIFIER_NOT_FOUND)]
    assert len(talk.hears(message(7, 2))) == 1  # a new one


def test_a_resumed_session_sends_again_in_the_old_order() -> None:
    """MQTT-4.4.0-1: what is not acknowledged, with DUP; PUBREL where it was reached."""
    first = Conversation(server={"receive_maximum": 3})
    for qos in (1, 2, 2, 1):
        first.core.publish(message(qos=qos))
    first.hears(PubRec(2))
    [arrived, *_] = first.hears(message(9, 2), message(10, 1))
    assert isinstance(arrived, Arrived)
    first.core.acknowledge(arrived.message)
    second = Conversation(session=first.session, present=True)
    again = [Publish("t", b"x", qos, dup=True, packet_id=number) for number, qos in ((1, 1), (3, 2))]
    assert second.said() == [again[0], PubRel(2), again[1], message(4)]
    assert second.hears(message(9, 2)) == []  # was taken before
    assert second.hears(message(10, 1)) == [Arrived(message(10, 1))]  # was not
    assert second.said() == [PubRec(9)]
    assert second.core.publish(message()) == 5


def test_a_resumed_session_keeps_within_a_smaller_window() -> None:
    first = Conversation()
    for _ in range(3):
        first.core.publish(message(qos=2))
    first.hears(PubRec(3))
    second = Conversation(session=first.session, present=True, server={"receive_maximum": 1})
    assert second.said() == [Publish("t", b"x", 2, dup=True, packet_id=1), PubRel(3)]
    second.hears(PubComp(3))
    assert [packet.packet_id for packet in second.said() if isinstance(packet, Publish)] == [2]


def test_what_waits_again_waits_in_the_old_order() -> None:
    first = Conversation()
    for _ in range(4):
        first.core.publish(message())
    second = Conversation(session=first.session, present=True, server={"receive_maximum": 1})
    sent = second.said()
    for number in range(1, 5):
        second.hears(PubAck(number))
        sent += second.said()
    assert [packet.packet_id for packet in sent if isinstance(packet, Publish)] == [1, 2, 3, 4]


def test_the_end_of_an_old_message_does_not_widen_the_window() -> None:
    """MQTT 5.0, 4.9: the quota never grows beyond what the server has said."""
    first = Conversation()
    first.core.publish(message(qos=2))
    first.hears(PubRec(1))
    second = Conversation(session=first.session, present=True, server={"receive_maximum": 1})
    assert second.said() == [PubRel(1)]
    second.hears(PubComp(1))
    second.core.publish(message())
    second.core.publish(message())
    assert second.said() == [message(2)]


def test_identifiers_of_a_session_that_the_server_forgot_mean_new_messages() -> None:
    first = Conversation()
    [arrived] = first.hears(message(7, 2))
    assert isinstance(arrived, Arrived)
    first.core.acknowledge(arrived.message)
    second = Conversation(session=first.session, present=False)
    assert second.hears(message(7, 2)) == [Arrived(message(7, 2))]


def test_messages_that_the_server_forgot_are_named() -> None:
    """MQTT-3.2.2-5."""
    first = Conversation(server={"receive_maximum": 2})
    for _ in range(3):
        first.core.publish(message(qos=2))
    first.hears(PubRec(1))
    second = Conversation(session=first.session, present=False)
    assert [each.packet_id for each in second.lost] == [2, 3]
    assert second.said() == []
    assert second.session.outgoing == {}


def test_3_1_believes_in_its_session_unless_it_is_clean() -> None:
    first = Conversation(V31)
    first.core.publish(message())
    assert Conversation(V31, first.session).said() == [Publish("t", b"x", 1, dup=True, packet_id=1)]
    assert len(Conversation(V31, first.session, clean=True).lost) == 1


def test_topic_aliases_of_the_server() -> None:
    talk = Conversation(client={"topic_alias_maximum": 2})
    events = talk.hears(Publish("a", properties={"topic_alias": 2}), Publish("", properties={"topic_alias": 2}))
    assert [event.message.topic for event in events if isinstance(event, Arrived)] == ["a", "a"]
    talk.hears(Publish("b", properties={"topic_alias": 2}))
    [event] = talk.hears(Publish("", properties={"topic_alias": 2}))
    assert isinstance(event, Arrived)
    assert event.message.topic == "b"


def test_subscriptions_and_their_end() -> None:
    talk = Conversation()
    assert talk.core.subscribe([Subscription("a"), Subscription("b")], {"subscription_identifiers": [4]}) == 1
    assert talk.core.unsubscribe(["a"]) == 2
    assert talk.said()[0] == Subscribe(1, [Subscription("a"), Subscription("b")], {"subscription_identifiers": [4]})
    answers = [Reason.GRANTED_QOS_0, Reason.NOT_AUTHORIZED]
    assert talk.hears(UnsubAck(2, [Reason.SUCCESS]), SubAck(1, answers)) == [
        Settled(2, [Reason.SUCCESS], None),
        Settled(1, answers, None),
    ]
    assert talk.hears(SubAck(1, answers)) == []


def test_why_the_server_disconnects() -> None:
    assert Conversation().hears(Disconnect(Reason.SERVER_SHUTTING_DOWN)) == [Disconnected(Reason.SERVER_SHUTTING_DOWN, None)]


@pytest.mark.parametrize(
    ("packets", "reason"),
    [
        ([ConnAck()], Reason.PROTOCOL_ERROR),
        ([Auth(Reason.CONTINUE_AUTHENTICATION, {"authentication_method": "m"})], Reason.PROTOCOL_ERROR),
        ([Publish("a", properties={"topic_alias": 3})], Reason.TOPIC_ALIAS_INVALID),
        ([Publish("", properties={"topic_alias": 1})], Reason.TOPIC_ALIAS_INVALID),
        ([message(1), message(2), message(3)], Reason.RECEIVE_MAXIMUM_EXCEEDED),
        ([PubComp(1)], Reason.PROTOCOL_ERROR),
        ([PubRec(1)], Reason.PROTOCOL_ERROR),
        ([PubAck(2)], Reason.PROTOCOL_ERROR),
        ([SubAck(3, [Reason.SUCCESS])], Reason.PROTOCOL_ERROR),
        ([UnsubAck(4, [Reason.SUCCESS])], Reason.PROTOCOL_ERROR),
    ],
)
def test_what_a_server_must_not_do(packets: list[Packet], reason: Reason) -> None:
    talk = Conversation(client={"receive_maximum": 2, "topic_alias_maximum": 2})
    talk.core.publish(message())
    talk.core.publish(message(qos=2))
    talk.core.subscribe([Subscription("a"), Subscription("b")])
    talk.core.unsubscribe(["a", "b"])
    with pytest.raises(PeerError) as caught:
        talk.hears(*packets)
    assert caught.value.reason is reason


@pytest.mark.parametrize("packet", [PingResp(), Publish("t"), PubAck(1), Disconnect(), Auth()])
def test_nothing_comes_before_the_connack(packet: Packet) -> None:
    with pytest.raises(PeerError):
        ClientCore(Connect(V5), Session(), 1000).receive(encode(packet, V5))


def test_a_session_where_none_was_asked_for() -> None:
    """MQTT-3.2.2-2."""
    with pytest.raises(PeerError, match="clean start"):
        Conversation(present=True, clean=True)


@pytest.mark.parametrize(
    "wrong",
    [
        Publish("t", qos=2),
        Publish("t", retain=True),
        Publish("t", bytes(100)),
        Publish("t", properties={"topic_alias": 4}),
        Publish("t", qos=1, properties={"topic_alias": 3}),
        Publish("a/+"),
    ],
)
def test_what_the_server_does_not_take_is_not_sent(wrong: Publish) -> None:
    server: Properties = {"maximum_qos": 1, "retain_available": False, "maximum_packet_size": 50, "topic_alias_maximum": 3}
    talk = Conversation(server=server)
    with pytest.raises(Unencodable):
        talk.core.publish(wrong)
    assert talk.said() == []
    assert talk.session.outgoing == {}


def test_packet_identifiers_in_use_are_passed_over() -> None:
    talk = Conversation()
    talk.session.last_id = 65_533
    assert [talk.core.publish(message()) for _ in range(3)] == [65_534, 65_535, 1]
    talk.session.last_id = 65_533
    assert talk.core.subscribe([Subscription("a")]) == 2
    assert talk.core.publish(message()) == 3


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(["publish", "cut", "deliver", "answer"]), max_size=40), st.integers(1, 3), st.randoms())
def test_over_any_cuts_qos_1_comes_and_qos_2_comes_once(steps: list[str], window: int, chance: object) -> None:
    """A server that follows the standard, a network that loses everything under way at any moment, a client that goes on."""
    server = Server(window)
    published = 0
    for step in [*steps, "cut", *["deliver", "answer"] * 300]:
        if step == "publish":
            published += 1
            server.talk.core.publish(message(qos=1 + published % 2, text=str(published).encode()))
        elif step == "cut":
            server.reconnect()
        elif step == "deliver":
            server.takes()
        else:
            server.answers()
    got = [int(text) for text in server.got]
    assert set(got) == set(range(1, published + 1))
    twice = [number for number in got if number % 2 == 1]  # those were sent at QoS 2
    assert len(twice) == len(set(twice))
    assert server.talk.session.outgoing == {}


class Server:
    """Takes messages as a receiver of QoS 1 and 2 must, one packet at a time in each direction."""

    def __init__(self, window: int) -> None:
        self.window = window
        self.got: list[bytes] = []
        self.received: set[int] = set()
        self.on_the_way: list[Packet] = []
        self.back: list[Packet] = []
        self.talk = Conversation(server={"receive_maximum": window})

    def reconnect(self) -> None:
        self.on_the_way.clear()
        self.back.clear()
        self.talk = Conversation(session=self.talk.session, present=True, server={"receive_maximum": self.window})

    def takes(self) -> None:
        self.on_the_way += self.talk.said()
        if not self.on_the_way:
            return
        packet = self.on_the_way.pop(0)
        assert isinstance(packet, Publish | PubRel)
        number = packet.packet_id
        if isinstance(packet, PubRel):
            self.received.discard(number)
            self.back.append(PubComp(number))
        elif packet.qos == 1:
            self.got.append(packet.payload)
            self.back.append(PubAck(number))
        else:
            if number not in self.received:
                self.got.append(packet.payload)
            self.received.add(number)
            self.back.append(PubRec(number))

    def answers(self) -> None:
        if self.back:
            self.talk.hears(self.back.pop(0))
