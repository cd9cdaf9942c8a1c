"""Any records in any order, with commits and crashes between them, against the same on a dictionary: the file holds what was
committed, all of it, and nothing else."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from pathlib import Path

import trio
from brokers.ledger import Ledger
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mqtt.durable import FILE, Durable
from mqtt.journal import Saved, SavedDelivery, SavedSession
from mqtt.limits import UNLIMITED
from mqtt.message import Message
from mqtt.packets import Publish, Will
from mqtt.topics import Subscription

CLIENTS = st.sampled_from(["a", "b", "c"])
TOPICS = st.sampled_from(["t", "u/v", "ü"])
PROPERTIES = st.sampled_from(
    [None, {"content_type": "x", "user_properties": [("k", "v"), ("k", "w")]}, {"response_topic": "r", "correlation_data": b"\0"}]
)


def seen(saved: Saved) -> object:
    """What can be compared."""
    return (
        sorted((_session(each) for each in saved.sessions), key=repr),
        sorted((_message(each) for each in saved.retained), key=repr),
        sorted(saved.wills, key=repr),
    )


def _session(saved: SavedSession) -> object:
    subscriptions = sorted(
        (each.filter, each.qos, each.no_local, each.retain_as_published, each.retain_handling, each.identifier or 0)
        for each in saved.subscriptions
    )
    deliveries = [
        (each.number, _message(each.message), each.qos, each.retain, each.identifiers, each.packet_id, each.released)
        for each in saved.deliveries
    ]
    return saved.client_id, saved.username, saved.expiry, subscriptions, deliveries, sorted(saved.received)


def _message(message: Message) -> object:
    return message.topic, message.packet.payload, message.qos, message.retain, message.sender, message.packet.properties


class Records(RuleBasedStateMachine):
    """``state`` is what the records say so far, ``disk`` what of it was committed."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.state, self.disk = Ledger(), Ledger()
        self.number = 0
        self.messages: list[Message] = []
        self._open()

    def _open(self) -> Saved:
        self.journal = Durable(self.folder / FILE, clock=lambda: 5.0, wall=lambda: 1e9)
        return trio.run(self.journal.open, 5.0)

    def teardown(self) -> None:
        trio.run(self.journal.close)
        shutil.rmtree(self.folder)

    def _do(self, name: str, *words: object) -> None:
        """Records it in all three."""
        for each in (self.state, self.disk, self.journal):
            getattr(each, name)(*words)
        self.state.commit_now()

    def _has(self, client: str) -> bool:
        return client in self.state.disk.sessions

    def _deliveries(self, client: str) -> list[SavedDelivery]:
        return self.state.disk.sessions[client].deliveries if self._has(client) else []

    # Records.

    @rule(client=CLIENTS, user=st.sampled_from([None, "me"]), expiry=st.sampled_from([60, UNLIMITED]), away=st.booleans())
    def session(self, client: str, user: str | None, expiry: int, away: bool) -> None:
        self._do("session", client, user, expiry, 5.0 if away else None)

    @rule(client=CLIENTS)
    def end(self, client: str) -> None:
        if self._has(client):
            self._do("session_ended", client)

    @rule(client=CLIENTS, name=TOPICS, qos=st.integers(0, 2), option=st.booleans(), identifier=st.sampled_from([None, 7]))
    def subscribe(self, client: str, name: str, qos: int, option: bool, identifier: int | None) -> None:
        if self._has(client):
            wanted = Subscription[object](None, name, qos, no_local=option, retain_as_published=option, identifier=identifier)
            self._do("subscribed", client, wanted)

    @rule(client=CLIENTS, name=TOPICS)
    def unsubscribe(self, client: str, name: str) -> None:
        if self._has(client):
            self._do("unsubscribed", client, name)

    @rule(topic=TOPICS, payload=st.binary(max_size=3), qos=st.integers(0, 2), properties=PROPERTIES)
    def message(self, topic: str, payload: bytes, qos: int, properties: object) -> None:
        packet = Publish(topic, payload, qos, properties=properties)  # type: ignore[arg-type]
        self.messages = [*self.messages[-3:], Message(packet, "sender")]

    @precondition(lambda self: self.messages)
    @rule(
        client=CLIENTS,
        which=st.integers(0, 3),
        qos=st.integers(1, 2),
        sent=st.booleans(),
        identifiers=st.sampled_from([(), (7, 9)]),
    )
    def queue(self, client: str, which: int, qos: int, sent: bool, identifiers: tuple[int, ...]) -> None:
        if self._has(client):
            self.number += 1
            message = self.messages[which % len(self.messages)]
            self._do("queued", client, SavedDelivery(self.number, message, qos, False, identifiers))
            if sent:
                self._do("sent", client, self.number, self.number)

    @rule(client=CLIENTS, which=st.integers(0, 5), step=st.sampled_from(["sent", "released", "done"]))
    def go_on(self, client: str, which: int, step: str) -> None:
        deliveries = self._deliveries(client)
        if not deliveries:
            return
        one = deliveries[which % len(deliveries)]
        if step == "sent" and not one.packet_id:
            self._do("sent", client, one.number, one.number)
        elif step == "released" and one.packet_id and one.qos == 2 and not one.released:
            self._do("released", client, one.number)
        elif step == "done":
            self._do("done", client, one.number)

    @rule(client=CLIENTS, packet_id=st.integers(1, 3))
    def receive(self, client: str, packet_id: int) -> None:
        if self._has(client):
            known = packet_id in self.state.disk.sessions[client].received
            self._do("forgotten" if known else "received", client, packet_id)

    @precondition(lambda self: self.messages)
    @rule(which=st.integers(0, 3))
    def retain(self, which: int) -> None:
        message = self.messages[which % len(self.messages)]
        self._do("retained", message.topic, message)

    @rule(topic=TOPICS)
    def clear(self, topic: str) -> None:
        self._do("retained", topic, None)

    @rule(client=CLIENTS, user=st.sampled_from([None, "me"]), payload=st.sampled_from([None, b"", b"x"]), delay=st.booleans())
    def will(self, client: str, user: str | None, payload: bytes | None, delay: bool) -> None:
        properties = {"will_delay": 7, "content_type": "t"} if delay else None
        will = None if payload is None else Will("w", payload, 1, True, properties)  # type: ignore[arg-type]
        self._do("will", client, user, will)

    # The disk.

    @rule()
    def commit(self) -> None:
        self.disk.commit_now()
        trio.run(self.journal.commit)
        assert self.journal.written == self.journal.newest

    @rule(commit=st.booleans())
    def crash(self, commit: bool) -> None:
        """What is not committed is gone."""
        if commit:
            self.commit()
        trio.run(self.journal.close)
        self._check_messages()
        found = self._open()
        assert seen(found) == seen(
            Saved(self.disk.saved(), list(self.disk.disk.retained.values()), list(self.disk.disk.wills.values()))
        )
        self.disk, self.state = Ledger(self.disk.disk), Ledger()
        self._copy(found)

    def _copy(self, found: Saved) -> None:
        """What was found is what the core has from now on."""
        self.state.disk.sessions = {each.client_id: each for each in found.sessions}
        self.state.disk.retained = {each.topic: each for each in found.retained}
        self.state.disk.wills = {each.client_id: each for each in found.wills}
        self.messages = [
            *found.retained,
            *(each.message for one in found.sessions for each in one.deliveries if not each.released),
        ]

    def _check_messages(self) -> None:
        """Each is there as long as something needs it, and no longer."""
        with sqlite3.connect(self.folder / FILE) as database:
            kept = [each for (each,) in database.execute("SELECT key FROM message ORDER BY key")]
            query = "SELECT message FROM delivery WHERE message IS NOT NULL UNION SELECT message FROM retained ORDER BY 1"
            assert kept == [each for (each,) in database.execute(query)]
        database.close()

    @invariant()
    def bounded(self) -> None:
        waiting = sum(len(each.deliveries) for each in self.state.disk.sessions.values())
        assert len(self.journal._references) <= waiting + len(self.state.disk.retained)


TestRecords = Records.TestCase
TestRecords.settings = settings(max_examples=20, stateful_step_count=40, deadline=None)
