"""Any packet that the standard allows, for hypothesis."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from mqtt.allowed import ALLOWED
from mqtt.packets import (
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PacketType,
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
    Unsubscribe,
    Version,
    Will,
)
from mqtt.properties import TABLE, WILL, Kind, Properties
from mqtt.reasons import Reason, from_return_code

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
filters = texts.filter(bool)
topics = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0+#"), min_size=1, max_size=20)
payloads = st.binary(max_size=300)
numbers = st.integers(1, 65535)
qoses = st.integers(0, 2)
versions = st.sampled_from(list(Version))

_VALUES: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.FLAG: st.booleans(),
    Kind.BIT: st.integers(0, 1),
    Kind.TWO: st.integers(0, 65535),
    Kind.FOUR: st.integers(0, 2**32 - 1),
    Kind.VARIABLE: st.integers(0, 268_435_455),
    Kind.TEXT: texts,
    Kind.TOPIC: topics,
    Kind.BINARY: st.binary(max_size=20),
    Kind.PAIR: st.tuples(texts, texts),
}


@st.composite
def properties(draw: st.DrawFn, place: int, version: Version, without: frozenset[str] = frozenset()) -> Properties | None:
    """The properties of one packet; None before 5.0, and when there are none."""
    if version != Version.V5:
        return None
    lines = [line for line in TABLE if place in line.places and line.name not in without]
    found: dict[str, Any] = {}
    for line in draw(st.lists(st.sampled_from(lines), unique=True, max_size=5)):
        values = _VALUES[line.kind].filter(bool) if line.positive else _VALUES[line.kind]
        once = place == PacketType.SUBSCRIBE and line.name == "subscription_identifiers"
        found[line.name] = draw(st.lists(values, min_size=1, max_size=1 if once else 3) if line.many else values)
    if "authentication_data" in found:
        found.setdefault("authentication_method", "some")
    return Properties(**found) if found else None


def reasons(kind: PacketType, version: Version) -> st.SearchStrategy[Reason]:
    if version == Version.V5:
        return st.sampled_from(sorted(set(ALLOWED[kind].values())))
    if kind == PacketType.CONNACK:
        return st.integers(0, 5).map(lambda code: from_return_code(code) or Reason.SUCCESS)
    if kind == PacketType.SUBACK:
        return st.sampled_from([Reason(0), Reason(1), Reason(2), *([Reason(0x80)] if version == Version.V311 else [])])
    return st.just(Reason.SUCCESS)


@st.composite
def connects(draw: st.DrawFn, version: Version) -> Connect:
    username = draw(st.none() | texts)
    password = draw(st.none() | st.binary(max_size=20)) if username is not None or version == Version.V5 else None
    will = None
    if draw(st.booleans()):
        will = Will(draw(topics), draw(payloads), draw(qoses), draw(st.booleans()), draw(properties(WILL, version)))
    return Connect(
        version,
        draw(texts),
        draw(st.booleans()),
        draw(st.integers(0, 65535)),
        username,
        password,
        will,
        draw(properties(PacketType.CONNECT, version)),
    )


@st.composite
def connacks(draw: st.DrawFn, version: Version) -> ConnAck:
    reason = draw(reasons(PacketType.CONNACK, version))
    present = version != Version.V31 and not reason.failed and draw(st.booleans())
    return ConnAck(present, reason, draw(properties(PacketType.CONNACK, version)))


@st.composite
def publishes(draw: st.DrawFn, version: Version, *, client: bool) -> Publish:
    qos = draw(qoses)
    without = frozenset({"subscription_identifiers"} if client else ())
    found = draw(properties(PacketType.PUBLISH, version, without))
    topic = draw(topics)
    if found is not None and "topic_alias" in found and draw(st.booleans()):
        topic = ""
    dup = qos > 0 and draw(st.booleans())
    return Publish(topic, draw(payloads), qos, draw(st.booleans()), dup, draw(numbers) if qos else 0, found)


@st.composite
def subscriptions(draw: st.DrawFn, version: Version) -> Subscription:
    topic_filter, qos = draw(filters), draw(qoses)
    if version != Version.V5:
        return Subscription(topic_filter, qos)
    no_local = not topic_filter.startswith("$share/") and draw(st.booleans())
    return Subscription(topic_filter, qos, no_local, draw(st.booleans()), draw(st.integers(0, 2)))


def _acks(kind: PacketType, make: Any, version: Version) -> st.SearchStrategy[Packet]:
    return st.builds(make, numbers, reasons(kind, version), properties(kind, version))


def _shared(version: Version, *, client: bool) -> list[st.SearchStrategy[Any]]:
    return [
        publishes(version, client=client),
        _acks(PacketType.PUBACK, PubAck, version),
        _acks(PacketType.PUBREC, PubRec, version),
        _acks(PacketType.PUBREL, PubRel, version),
        _acks(PacketType.PUBCOMP, PubComp, version),
        *([st.builds(Auth, reasons(PacketType.AUTH, version), properties(PacketType.AUTH, version))] * (version == Version.V5)),
    ]


def _disconnects(version: Version, without: str) -> st.SearchStrategy[Disconnect]:
    kind = PacketType.DISCONNECT
    return st.builds(Disconnect, reasons(kind, version), properties(kind, version, frozenset({without})))


def from_client(version: Version) -> st.SearchStrategy[Packet]:
    """What a client may send after its CONNECT."""
    several = st.lists(subscriptions(version), min_size=1, max_size=4)
    names = st.lists(filters, min_size=1, max_size=4)
    return st.one_of(
        *_shared(version, client=True),
        st.builds(Subscribe, numbers, several, properties(PacketType.SUBSCRIBE, version)),
        st.builds(Unsubscribe, numbers, names, properties(PacketType.UNSUBSCRIBE, version)),
        st.just(PingReq()),
        _disconnects(version, "server_reference"),
    )


def from_server(version: Version) -> st.SearchStrategy[Packet]:
    """What a server may send."""
    several = st.lists(reasons(PacketType.SUBACK, version), min_size=1, max_size=4)
    gone = st.lists(reasons(PacketType.UNSUBACK, version), min_size=1, max_size=4) if version == Version.V5 else st.just([])
    return st.one_of(
        *_shared(version, client=False),
        connacks(version),
        st.builds(SubAck, numbers, several, properties(PacketType.SUBACK, version)),
        st.builds(UnsubAck, numbers, gone, properties(PacketType.UNSUBACK, version)),
        st.just(PingResp()),
        *([_disconnects(version, "session_expiry")] * (version == Version.V5)),
    )


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Version, list[Packet]]:
    """A CONNECT and what comes after it."""
    version = draw(versions)
    return version, [draw(connects(version)), *draw(st.lists(from_client(version), max_size=4))]


@st.composite
def answers(draw: st.DrawFn) -> tuple[Version, list[Packet]]:
    """What a server says."""
    version = draw(versions)
    return version, draw(st.lists(from_server(version), min_size=1, max_size=4))
