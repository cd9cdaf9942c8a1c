"""What the MQTT codec takes, in microseconds of CPU time per packet:

    PYTHONPATH=. python bench/mqtt_codec.py

decode: bytes in reads of 64 KiB to packets. encode: packets to bytes. Best of several rounds, for others share the machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from mqtt.codec import Decoder, encode
from mqtt.packets import Connect, Packet, PingReq, PubAck, Publish, Version

READ = 65_536
ROUNDS = 15


def publishes(topics: int, qos: int = 0, count: int = 10_000) -> list[Packet]:
    return [Publish(f"site/plant/line/{at % topics}", b"x" * 150, qos, packet_id=7 if qos else 0) for at in range(count)]


CASES: list[tuple[str, list[Packet]]] = [
    ("PUBLISH of 150 bytes, QoS 0", publishes(1)),
    ("the same, 1,000 topics", publishes(1000)),
    ("the same, every topic new", publishes(10_000)),
    ("PUBLISH of 150 bytes, QoS 1", publishes(1, 1)),
    ("PUBLISH with two properties (5.0)", []),
    ("PUBACK", [PubAck(7)] * 10_000),
    ("PINGREQ", [PingReq()] * 10_000),
]


def best(run: Callable[[], None], count: int) -> float:
    taken = []
    for _ in range(ROUNDS):
        start = time.thread_time()
        run()
        taken.append(time.thread_time() - start)
    return min(taken) / count * 1e6


def decode(data: bytes, version: Version) -> None:
    decoder = Decoder(1 << 20)
    decoder.feed(encode(Connect(version), version))
    decoder.next()
    for at in range(0, len(data), READ):
        decoder.feed(data[at : at + READ])
        while decoder.batch(100):
            pass


def main() -> None:
    print(f"{'':36}" + "".join(f"{version.text:>8} decode  encode" for version in (Version.V311, Version.V5)))
    for name, packets in CASES:
        figures = ""
        for version in (Version.V311, Version.V5):
            sent = (
                packets or [Publish("t", b"x" * 150, properties={"message_expiry": 60, "user_properties": [("a", "b")]})] * 5000
            )
            data = b"".join(encode(packet, version) for packet in sent)
            figures += f"{best(lambda data=data, version=version: decode(data, version), len(sent)):15.2f}"  # type: ignore[misc]
            figures += f"{best(lambda sent=sent, version=version: all(encode(each, version) for each in sent), len(sent)):8.2f}"  # type: ignore[misc]
        print(f"{name:36}{figures}")


if __name__ == "__main__":
    main()
