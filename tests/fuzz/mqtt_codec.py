"""Fuzzes the MQTT codec with atheris, guided by coverage. Not part of the ordinary run; from the top of the tree:

    pip install atheris
    PYTHONPATH=. python tests/fuzz/mqtt_codec.py -max_total_time=600 [folder for what it finds]

It starts from the recorded conversations of tests/conformance/mqtt. A failure prints its input and leaves it in a file.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["mqtt"]):
    from mqtt.codec import Decoder, MalformedPacket, PacketTooLarge, ProtocolViolation, encode
    from mqtt.packets import Connect, Disconnect, Packet, SubAck, Version

RECORDED = Path(__file__).parent.parent / "conformance" / "mqtt" / "recorded.json"
LIMIT = 4096
THREE = (MalformedPacket, ProtocolViolation, PacketTooLarge)
SIDES = (None, *Version)


def decoded(decoder: Decoder, pieces: list[bytes]) -> tuple[list[Packet], bool]:
    """The packets that come out, and whether an error ends them: which of several it is depends on what came first."""
    packets: list[Packet] = []
    try:
        for piece in pieces:
            decoder.feed(piece)
            while found := decoder.batch():
                packets += found
    except THREE as error:
        assert error.reason.failed
        return packets, True
    assert decoder.buffered <= LIMIT
    return packets, False


def again(packet: Packet, version: Version, from_server: bool) -> None:
    """What was understood can be said, and is understood the same."""
    if isinstance(packet, Disconnect) and from_server and version != Version.V5:
        return
    data = encode(packet, version)
    decoder = Decoder(LIMIT, version if from_server else None)
    if not from_server and not isinstance(packet, Connect):
        decoder.feed(encode(Connect(version), version))
        decoder.next()
    decoder.feed(data)
    heard = decoder.next()
    if version == Version.V31 and isinstance(packet, SubAck):
        return  # its failures cannot be said
    assert heard == packet, (heard, packet)


def one_input(data: bytes) -> None:
    """The first byte says who speaks, the second where the bytes are cut."""
    if len(data) < 2:
        return
    version = SIDES[data[0] % len(SIDES)]
    body = data[2:]
    cut = data[1] % (len(body) + 1)
    whole = Decoder(LIMIT, version)
    packets, ending = decoded(whole, [body])
    assert decoded(Decoder(LIMIT, version), [body[:cut], body[cut:]]) == (packets, ending)
    spoken = version or whole.version
    for packet in packets:
        assert spoken is not None
        again(packet, spoken, version is not None)


def seeds(folder: Path) -> None:
    for number, (name, said) in enumerate(json.loads(RECORDED.read_text()).items()):
        version = {"mqttv31": 1, "31": 1, "mqttv311": 2, "311": 2}.get(name.split()[1], 3)
        (folder / f"{number}-client").write_bytes(bytes((0, 7)) + bytes.fromhex(said["client"]))
        (folder / f"{number}-server").write_bytes(bytes((version, 7)) + bytes.fromhex(said["server"]))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as start:
        seeds(Path(start))
        folders = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
        options = [argument for argument in sys.argv[1:] if argument.startswith("-")]
        found = folders or [tempfile.mkdtemp(prefix="mqtt-codec-")]
        atheris.Setup([sys.argv[0], *options, *found, start], one_input)
        atheris.Fuzz()
