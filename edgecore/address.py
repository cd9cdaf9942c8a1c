"""The address of this machine."""

from __future__ import annotations

import socket
from contextlib import suppress


def local_address(*, ipv6: bool = False) -> str:
    """The address that packets to the outside would carry; asking for it sends none. Without a route: 127.0.0.1.

    ipv6: one of these will do where there is no other.
    """
    targets = [(socket.AF_INET, "192.0.2.1"), *([(socket.AF_INET6, "2001:db8::1")] if ipv6 else [])]
    for family, target in targets:
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((target, 9))
            return str(probe.getsockname()[0])
    return "127.0.0.1"
