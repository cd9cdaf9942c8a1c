"""Tells systemd (or whoever started us) that the start is over: the datagram of sd_notify(3)."""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping

log = logging.getLogger(__name__)


def notify(state: str, environ: Mapping[str, str]) -> None:
    """Sends ``state`` (``READY=1``, ``STOPPING=1``) to ``$NOTIFY_SOCKET``; does nothing without one."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    target = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.sendto(state.encode(), target)
        except OSError as error:
            log.warning("cannot tell %s that %s: %s", address, state, error)
