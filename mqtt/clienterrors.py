"""What a user of the client has to expect. The texts are for a person: what failed, and why."""

from __future__ import annotations

from mqtt.reasons import Reason


class ClientError(Exception):
    """Base of all of them. Values that cannot be sent are ``mqtt.errors.Unencodable`` instead."""


class ConnectFailed(ClientError):
    """There is no connection. reason: what the server gave, None where it was not asked or did not answer."""

    def __init__(self, text: str, reason: Reason | None = None) -> None:
        super().__init__(text)
        self.reason = reason


class ConnectionLost(ClientError):
    """The connection has ended. What was sent at QoS 1 and 2 and not settled stays in the session, and goes out again when
    that is resumed. reason: what the server, or this client, said of it; None where nobody did."""

    def __init__(self, text: str, reason: Reason | None = None) -> None:
        super().__init__(text)
        self.reason = reason


class Refused(ClientError):
    """The server refused a message, or at least one topic filter. reasons: all of its answers, in order."""

    def __init__(self, text: str, reasons: list[Reason]) -> None:
        super().__init__(text)
        self.reasons = reasons
