"""What an HTTP answer means that is not the upgrade we asked for."""

from __future__ import annotations

from typing import Final

_SHOWN: Final = 200

_ADVICE: Final = {
    401: "this node's certificate is not accepted: join again with a new token",
    403: "this node is not allowed: check its name and its certificate",
    404: "this is not a cloudcore: check address and port (10000 for the WebSocket channel)",
    426: "this is not a WebSocket server: check address and port",
    429: "the cloud has as many nodes as it is allowed: raise modules.cloudHub.nodeLimit",
    503: "the cloud is not ready: it will be tried again",
}


def rejection_text(status: int, body: bytes, where: str) -> str:
    """One line: who answered what, and what to do."""
    said = " ".join(body[: 4 * _SHOWN].decode("utf-8", "replace").split())[:_SHOWN]
    quoted = f" ({said})" if said else ""
    advice = _ADVICE.get(status, "see its log for the reason")
    return f"{where} answered the upgrade with HTTP {status}{quoted}; {advice}"
