from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from beehive.message import Header, Message, Route
from edgecore.metamanager.intake import LATELY, Intake
from edgecore.store import Store

POD = b'{"metadata":{"uid":"u","name":"web"},"spec":{"nodeName":"edge-1","x":%s}}'


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "edgecore.db")
    store.database.open()
    yield store
    store.database.peewee.close()


def push(content: bytes, id_: str = "1", operation: str = "update") -> Message:
    return Message(Header(id=id_), Route("edgecontroller", "", "resource", operation, "default/pod/web"), msgspec.Raw(content))


@pytest.mark.parametrize("value", [b"1" * 5000, b'"\xff"', b'"\\ud800"', b"[" * 5000 + b"]" * 5000, b"1e999"])
def test_what_could_not_be_read_again_is_not_acknowledged(store: Store, value: bytes) -> None:
    outcome = Intake(store, "edge-1", time.monotonic).apply(push(POD % value))
    assert (outcome.acknowledge, bool(outcome.error), store.rows("pod")) == (False, True, [])


def test_a_refused_message_that_comes_again_is_said_once(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    intake = Intake(store, "edge-1", time.monotonic)
    for id_ in ("1", "1", "1", "2"):
        assert intake.apply(push(b"null", id_)).error
    assert caplog.text.count("refused a message from the cloud") == 2


def test_a_deleted_pod_comes_back_only_when_the_cloud_has_gone_back(store: Store) -> None:
    """A late copy of an old message brings nothing back; a cloud whose data were restored does."""
    now = 1000.0
    intake = Intake(store, "edge-1", lambda: now)
    intake.apply(push(POD % b"1", "a"))
    intake.apply(push(POD % b"1", "b", "delete"))
    now += LATELY - 1
    assert intake.apply(push(POD % b"1", "c")).acknowledge
    assert store.rows("pod") == []
    now += 2
    outcome = intake.apply(push(POD % b"1", "d"))
    assert outcome.notify is not None
    assert len(store.rows("pod")) == 1
