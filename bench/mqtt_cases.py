"""What is measured of an MQTT broker: traffic of many kinds, with messages of 150 bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mqtt_load import Channel, Load, Publisher, Subscriber, Way

from mqtt.packets import Version

PAYLOAD = b"x" * 150
WINDOWS = (1000, 20, 20)
"""Messages outstanding in pipelined traffic at each QoS, of all pairs together at QoS 0, of each at QoS 1 and 2: what paho and
mosquitto's clients have in flight by default."""
CROWD = 1000


@dataclass(frozen=True)
class Case:
    """channels: pairs beside each other, each with a topic (or more) of its own; publishers and subscribers: of each channel.
    idle: clients with a subscription on which nothing happens."""

    part: str
    name: str
    qos: int
    window: int
    channels: int = 1
    publishers: int = 1
    subscribers: int = 1
    topics: int = 1
    idle: int = 0
    version: Version = Version.V311
    tls: bool = False
    stay: bool = False

    def open(self, way: Way) -> Load:
        """Connects everybody."""
        way = replace(way, version=self.version, stay=self.stay)
        channels = []
        for number in range(self.channels):
            channel = Channel(self.qos, self.window)
            for each in range(self.publishers):
                names = self._topics(number + each)
                sock = way.connect(f"p-{number}-{each}")
                channel.publishers.append(Publisher(sock, channel, names, PAYLOAD, self.version))
            size = channel.publishers[0].size
            place = 3 + 2 + len(names[0])
            for each in range(self.subscribers):
                sock = way.subscribe(f"s-{number}-{each}", self._filter(number), self.qos)
                channel.subscribers.append(Subscriber(sock, channel, size, place))
            channels.append(channel)
        return Load(channels)

    def _topics(self, number: int) -> list[str]:
        if self.topics == 1:
            return [f"bench/{number:05}"]
        return [f"bench/{number:05}/{at:05}" for at in range(self.topics)]

    def _filter(self, number: int) -> str:
        if self.publishers > 1:
            return "bench/+"
        return f"bench/{number:05}" + ("/#" if self.topics > 1 else "")

    def leave(self, way: Way) -> None:
        """Has the broker forget sessions that stay."""
        if self.stay:
            for number in range(self.channels):
                for name in (f"p-{number}-0", f"s-{number}-0"):
                    replace(way, version=self.version).connect(name, clean=True).close()


def _pairs() -> list[Case]:
    cases = []
    for count in (1, 10, 100):
        pairs = f"{count} pair" + ("s" if count > 1 else "")
        for qos in (0, 1, 2):
            window = WINDOWS[qos] // (1 if qos else count)
            cases.append(Case("pairs", f"{pairs}, pipelined, QoS {qos}", qos, window, count))
        cases += [Case("pairs", f"{pairs}, one outstanding, QoS {qos}", qos, 1, count) for qos in (0, 1, 2)]
    return cases


def _both(part: str, name: str, levels: tuple[int, ...], **what: object) -> list[Case]:
    """One pair, pipelined and with one message outstanding."""
    cases = [Case(part, f"{name}, pipelined, QoS {qos}", qos, WINDOWS[qos], **what) for qos in levels]  # type: ignore[arg-type]
    cases += [Case(part, f"{name}, one outstanding, QoS {qos}", qos, 1, **what) for qos in levels]  # type: ignore[arg-type]
    return cases


CASES: list[Case] = [
    *_pairs(),
    Case("fans", "100 publishers, 1 subscriber, QoS 0", 0, 1000, publishers=100),
    Case("fans", "100 publishers, 1 subscriber, QoS 1", 1, 200, publishers=100),
    Case("fans", "1 publisher, 1,000 subscribers, pipelined, QoS 0 (deliveries)", 0, 20, subscribers=CROWD),
    Case("fans", "1 publisher, 1,000 subscribers, one outstanding, QoS 0 (deliveries)", 0, 1, subscribers=CROWD),
    Case("fans", "1 publisher, 1,000 subscribers, one outstanding, QoS 1 (deliveries)", 1, 1, subscribers=CROWD),
    Case("topics", "10,000 topics in turn, QoS 0", 0, 1000, topics=10_000),
    Case("topics", "50,000 topics in turn (more than are remembered), QoS 0", 0, 1000, topics=50_000),
    *_both("idle", "1 pair beside 1,000 idle subscribers", (0, 1), idle=CROWD),
    *_both("tls", "1 pair, TLS", (0, 1), tls=True),
    Case("tls", "10 pairs, TLS, pipelined, QoS 1", 1, WINDOWS[1], 10, tls=True),
    *_both("v5", "1 pair, MQTT 5.0", (0, 1), version=Version.V5),
    *_both("stay", "1 pair, sessions that stay", (1, 2), stay=True),
    *_both("durable", "1 pair, sessions on disk (mosquitto: in memory)", (1, 2), stay=True),
    Case("durable", "100 pairs, sessions on disk (mosquitto: in memory), one outstanding, QoS 1", 1, 1, 100, stay=True),
]
PARTS = (*dict.fromkeys(case.part for case in CASES), "connections", "memory")
