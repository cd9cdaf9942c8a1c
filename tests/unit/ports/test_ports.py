"""Where tests take their ports from."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ports import FIRST, LAST, OutOfPorts, Ports, free_ports, is_free

EVERY = "0.0.0.0"  # noqa: S104
NAME = f"test-of-ports-{os.getpid()}"


@pytest.fixture
def blocks() -> list[list[int]]:
    """Four, of ports that this process has for itself."""
    mine = free_ports(20)
    return [mine[start : start + 5] for start in range(0, 20, 5)]


@pytest.fixture
def ports(blocks: list[list[int]]) -> Iterator[Ports]:
    made = Ports(blocks, NAME)
    yield made
    made.close()


def test_the_kernel_picks_none_of_them() -> None:
    low, _ = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert 1023 < FIRST < LAST < low
    assert LAST < 30000, "Kubernetes' node ports begin there"


def test_none_twice_and_in_the_end_an_error(ports: Ports, blocks: list[list[int]]) -> None:
    assert sorted(ports.take(20)) == sorted(port for block in blocks for port in block)
    with pytest.raises(OutOfPorts, match="an earlier run has left behind"):
        ports.take(1)


def test_two_processes_never_share_a_block(ports: Ports, blocks: list[list[int]]) -> None:
    mine = ports.take(2)
    code = f"from ports import Ports; print(*Ports({blocks}, {NAME!r}).take(15))"
    told = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    (kept,) = [block for block in blocks if set(mine) <= set(block)]
    assert {int(word) for word in told.stdout.split()} == {port for block in blocks for port in block} - set(kept)


def test_a_block_is_given_back_when_its_process_ends(blocks: list[list[int]]) -> None:
    code = f"import os; from ports import Ports; Ports({blocks}, {NAME!r}).take(20); os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == -9
    made = Ports(blocks, NAME)
    assert len(made.take(20)) == 20
    made.close()


@pytest.mark.parametrize("host", ["127.0.0.1", EVERY])
def test_one_that_somebody_listens_on_is_left_out(blocks: list[list[int]], host: str) -> None:
    (block, *_) = blocks
    taken = block.pop()
    with socket.create_server((host, taken)):
        assert not is_free(taken)
        made = Ports([[taken, *block]], NAME)
        assert made.take(4) == block
        made.close()


def test_what_is_given_can_be_listened_on() -> None:
    for port in free_ports(3):
        socket.create_server((EVERY, port)).close()
