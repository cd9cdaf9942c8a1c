"""Unix sockets: who may open them, and whose place they must not take."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from mqtt.listeners import listen_unix


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
def test_the_mode_is_that_asked_for_and_no_other_file_is_more_open(
    tmp_path: Path, mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    umask = os.umask
    monkeypatch.setattr(os, "umask", lambda mask: asked.append(mask) or umask(mask))
    before = umask(0o077)
    try:
        listen_unix(tmp_path / "s", mode).close()
    finally:
        umask(before)
    assert (tmp_path / "s").stat().st_mode & 0o777 == mode
    # A database that a thread makes at this moment is private.
    assert all(mask & 0o077 == 0o077 for mask in asked)


def test_somebody_who_listens_and_does_not_accept_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen(0)
        waiting = []
        while True:
            one = socket.socket(socket.AF_UNIX)
            one.setblocking(False)
            waiting.append(one)
            try:
                one.connect(str(path))
            except BlockingIOError:
                break
        with pytest.raises(OSError, match="in use"):
            listen_unix(path, 0o600)
        for one in waiting:
            one.close()
    listen_unix(path, 0o600).close()
