"""One connection as the core sees it: what came is decoded, what is to go is collected. No socket here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mqtt.access import Identity, Peer
from mqtt.decoder import Decoder
from mqtt.encoder import encode
from mqtt.packets import Connect, Packet, Version, Will

if TYPE_CHECKING:
    from mqtt.session import Session


class Link:
    """The shell takes ``out`` after every round, and subtracts from ``buffered`` what the network has taken.

    hold: output of this round waits for this batch of the journal. closing: nothing more is read; when ``out`` is sent, the
    connection ends. asking: a CONNECT that waits for the authenticator. heard: when bytes last came. named: the identifier of the
    client is one of ours. left: packets that wait for their turn; more: whether there are
    any, decoded or not. pace: until when nothing is to be read, because the client publishes too fast. paid: when what it has
    published so far was due. refused: we end it, and have said so.
    watched: what the core's clock knows this link by. shell: what the shell wants to find again.
    """

    __slots__ = (
        "_dirty",
        "aliases",
        "asking",
        "buffered",
        "closing",
        "decoder",
        "heard",
        "hold",
        "identity",
        "keep_alive",
        "largest",
        "left",
        "marked",
        "more",
        "named",
        "opened",
        "out",
        "pace",
        "paid",
        "peer",
        "refused",
        "session",
        "shell",
        "version",
        "watched",
        "will",
    )

    def __init__(self, peer: Peer, limit: int, dirty: list[Link], now: float) -> None:
        self._dirty = dirty
        self.peer = peer
        self.decoder = Decoder(limit)
        self.version = Version.V311
        self.out: list[bytes] = []
        self.buffered = 0
        self.marked = False
        self.hold = 0
        self.closing = False
        self.opened = self.heard = now
        self.asking: Connect | None = None
        self.session: Session | None = None
        self.identity: Identity | None = None
        self.keep_alive = 0
        self.largest: int | None = None
        self.aliases: dict[int, str] | None = None
        self.will: Will | None = None
        self.named = False
        self.left: list[Packet] = []
        self.more = False
        self.refused = False
        self.pace = 0.0
        self.paid = now - 1.0
        self.watched = 0
        self.shell: Any = None

    def send(self, data: bytes) -> None:
        self.out.append(data)
        self.buffered += len(data)
        if not self.marked:
            self.marked = True
            self._dirty.append(self)

    def send_packet(self, packet: Packet) -> None:
        """Not for PUBLISH. Closes where it is larger than the client takes: it must not be sent (MQTT-3.1.2-24), and a client
        that waits for an answer cannot be told that there is none."""
        data = encode(packet, self.version)
        if self.largest is not None and len(data) > self.largest:
            self.close()
        else:
            self.send(data)

    def close(self) -> None:
        """Ends the connection once what is in ``out`` has gone."""
        self.closing = True
        if not self.marked:
            self.marked = True
            self._dirty.append(self)
