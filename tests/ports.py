"""TCP ports for programs that must be told theirs: the one place where tests take them.

A port that the kernel picks (port 0) is good for a listener that stays open. A number that is only noted down for a program to
come is not: the kernel gives it to the next connection or listener of anybody. So these come from a range out of which the kernel
picks none, and that Kubernetes does not use for its Services either.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator, Sequence

FIRST, LAST = 20000, 29999
"""Below Kubernetes' node ports (30000) and what Linux picks from (32768, net.ipv4.ip_local_port_range), above the well-known."""
BLOCK = 100
"""Ports that a process takes for itself at a time."""


class OutOfPorts(AssertionError):
    """All are taken, by this process and by others of this machine."""


class Ports:
    """Gives every port once, from blocks that no other process has.

    A block is claimed with a name in the abstract namespace of Unix sockets: it belongs to the same network namespace as the
    ports do, and the kernel gives it back however this process ends. What runs on after that is seen when a port is tried.
    """

    def __init__(self, blocks: Sequence[Sequence[int]], name: str = "edgecore-tests-ports") -> None:
        self._blocks, self._name = blocks, name
        self._claims: list[socket.socket] = []
        self._ports = self._all()

    def take(self, number: int) -> list[int]:
        """So many that nobody listens on, and that no test of any process will be given meanwhile. Raises OutOfPorts."""
        return [self._take() for _ in range(number)]

    def close(self) -> None:
        """Others may have them."""
        for claim in self._claims:
            claim.close()

    def _take(self) -> int:
        for port in self._ports:
            if is_free(port):
                return port
        first, last = self._blocks[0][0], self._blocks[-1][-1]
        raise OutOfPorts(f"no port is left between {first} and {last}: look for programs that an earlier run has left behind")

    def _all(self) -> Iterator[int]:
        start = os.getpid() % len(self._blocks)  # programs that a killed run has left behind do not meet the next run at once
        for block in [*self._blocks[start:], *self._blocks[:start]]:
            if self._claim(block[0]):
                yield from block

    def _claim(self, first: int) -> bool:
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0{self._name}-{first}")
        except OSError as error:
            claim.close()
            if error.errno != errno.EADDRINUSE:
                raise
            return False
        self._claims.append(claim)
        return True


def is_free(port: int) -> bool:
    """Whether a program could listen there, on loopback and on every address."""
    for host in ("127.0.0.1", "0.0.0.0"):  # noqa: S104 - nothing listens here
        with socket.socket() as sock:
            try:
                sock.bind((host, port))
            except OSError:
                return False
    return True


_PORTS = Ports([range(start, start + BLOCK) for start in range(FIRST, LAST + 1, BLOCK)])


def free_ports(number: int) -> list[int]:
    return _PORTS.take(number)


def free_port() -> int:
    return _PORTS.take(1)[0]
