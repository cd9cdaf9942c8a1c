from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from beehive.message import Header, Message, Route
from edgecore.metamanager.intake import Intake
from edgecore.store import Store

POD = b'{"metadata":{"uid":"u","name":"web"},"spec":{"nodeName":"edge-1","x":%s}}'


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "edgecore.db")
    store.database.open()
    yield store
    store.database.peewee.close()


def push(content: bytes, id_: str = "1") -> Message:
    return Message(Header(id=id_), Route("edgecontroller", "", "resource", "update", "default/pod/web"), msgspec.Raw(content))


@pytest.mark.parametrize("value", [b"1" * 5000, b'"\xff"', b'"\\ud800"', b"[" * 5000 + b"]" * 5000, b"1e999"])
def test_what_could_not_be_read_again_is_not_acknowledged(store: Store, value: bytes) -> None:
    outcome = Intake(store, "edge-1", time.monotonic).apply(push(POD % value))
    assert (outcome.acknowledge, bool(outcome.error), store.rows("pod")) == (False, True, [])


def test_a_refused_message_that_comes_again_is_said_once(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    intake = Intake(store, "edge-1", time.monotonic)
    for id_ in ("1", "1", "1", "2"):
        assert intake.apply(push(b"null", id_)).error
    assert caplog.text.count("refused a message from the cloud") == 2
