"""The road as the modules see it: messages in, messages out. Which transport carries them is nobody else's business."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from beehive.message import Message


class LinkError(Exception):
    """A link could not be opened, or has ended. The text is for a person: what failed, why, what to do next."""


class LinkClosed(LinkError):
    """The link has ended: the peer closed it, the network broke, a deadline passed or the peer broke the protocol."""


class MessageTooBig(LinkError):
    """A message of our own that no link may carry. The link stays open; sending it again is of no use."""


@dataclass(frozen=True)
class Peer:
    """Who is at the other end.

    node, project, use: what the peer says in its ``Node_id``, ``Project_id`` and ``Connectionuse`` headers.
    common_name: what its certificate says ("" without one). certificate: hex SHA-256 of it. address: for logs.
    """

    node: str = ""
    project: str = ""
    use: str = ""
    common_name: str = ""
    certificate: str = ""
    address: str = ""


@dataclass(frozen=True)
class Limits:
    """What one link may cost. Sizes in bytes, times in seconds.

    message: the largest message accepted; a longer one ends the link before it is held in memory whole.
    handshake: TLS and upgrade together. write: the time in which the peer must take the next piece (64 KiB) of what is
    being sent; a slow link may take longer for a whole message, a stalled one is cut. silence: nothing heard at all, not
    even the answer to a transport-level ping, for this long means that the link is dead (half-open TCP is found this way).
    """

    message: int = 16 * 1024 * 1024
    handshake: float = 30.0
    write: float = 15.0
    silence: float = 45.0


class Link(Protocol):
    """One connection. ``send`` may be called by several tasks, ``receive`` by one."""

    @property
    def peer(self) -> Peer: ...

    async def send(self, message: Message) -> None:
        """Hands a message to the transport; returning says nothing about its arrival.

        Raises LinkClosed, and MessageTooBig for a message larger than ``limits.message``. Cancelling a send whose bytes
        are half out ends the link; waiting for one's turn can be cancelled freely.
        """

    async def reached(self) -> None:
        """Returns when the peer's end has read everything that was sent before. Raises LinkClosed; when the link ends while it
        waits, perhaps never: whoever reads hears of that."""

    async def receive(self) -> Message:
        """The next message.

        Raises LinkClosed at the end of the link, also when the peer sent something that is not a message.
        """

    async def aclose(self, reason: str = "") -> None:
        """Closes the link; bounded in time; harmless when it is closed already."""
