from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from beehive.message import Message, acknowledge, build, fail, respond
from cloudcore.cloudhub.window import ANSWERS, PATIENCE, RESEND, Window, is_acknowledgement


def state(key: str) -> Message:
    return build(source="edgecontroller", group="resource", operation="update", resource=key)


def test_one_unacknowledged_message_per_object() -> None:
    window: Window[str] = Window()
    first, second = state("a"), state("a")
    window.put("a", first, "1")
    assert window.take(0) == [first]
    window.put("a", second, "2")
    assert window.take(1) == []
    assert window.acknowledge(first.id) == (first, "1")
    assert window.take(1) == [second]


def test_newest_version_replaces_one_that_was_not_sent() -> None:
    window: Window[str] = Window()
    old, new = state("a"), state("a")
    window.put("a", old, "")
    window.put("a", new, "")
    assert window.take(0) == [new]
    assert window.replaced == 1


def test_the_window_bounds_what_is_in_flight_and_opens_with_each_acknowledgement() -> None:
    window: Window[str] = Window(size=2)
    messages = [state(key) for key in "abc"]
    for key, message in zip("abc", messages, strict=True):
        window.put(key, message, key)
    assert window.take(0) == messages[:2]
    assert window.take(0) == []
    window.acknowledge(messages[1].id)
    assert window.take(0) == [messages[2]]


def test_resends_the_same_id_after_five_seconds() -> None:
    window: Window[str] = Window()
    message = state("a")
    window.put("a", message, "")
    window.take(0)
    assert window.next_due() == RESEND
    assert window.take(RESEND - 0.01) == []
    assert window.take(RESEND) == [message]
    assert window.next_due() == 2 * RESEND


def test_a_resend_sends_the_successor_and_the_old_acknowledgement_counts_no_more() -> None:
    window: Window[str] = Window()
    old, new = state("a"), state("a")
    window.put("a", old, "old")
    window.take(0)
    window.put("a", new, "new")
    assert window.take(RESEND) == [new]
    assert window.acknowledge(old.id) is None
    assert window.acknowledge(new.id) == (new, "new")
    assert len(window) == 0


def test_doubled_acknowledgement_is_ignored() -> None:
    window: Window[str] = Window()
    message = state("a")
    window.put("a", message, "")
    window.take(0)
    assert window.acknowledge(message.id) is not None
    assert window.acknowledge(message.id) is None


def test_an_object_that_is_never_acknowledged_does_not_hold_up_the_others() -> None:
    window: Window[str] = Window(size=1)
    stuck, other = state("stuck"), state("other")
    window.put("stuck", stuck, "")
    window.put("other", other, "")
    now, sent = 0.0, []
    for _ in range(PATIENCE):
        sent += window.take(now)
        now += RESEND
    assert other in sent
    assert window.acknowledge(stuck.id) is not None, "a late acknowledgement still counts"


def test_answers_go_first_in_order_and_once() -> None:
    window: Window[str] = Window(size=1)
    for key in "ab":
        window.put(key, state(key), "")
    request = build(source="edged", group="meta", operation="query", resource="default/configmap/a")
    answers = [respond(request, index) for index in range(3)]
    for answer in answers:
        window.answer(answer)
    assert window.take(0)[:3] == answers
    assert window.take(0) == []


def test_answers_are_bounded() -> None:
    window: Window[str] = Window()
    for index in range(ANSWERS + 5):
        window.answer(state(str(index)))
    assert len(window.take(0)) == ANSWERS
    assert window.dropped_answers == 5


def test_only_a_response_with_a_parent_acknowledges() -> None:
    message = state("a")
    assert is_acknowledgement(acknowledge(message))
    assert not is_acknowledgement(fail(message, "disk full"))
    assert not is_acknowledgement(message)


class Delivery(RuleBasedStateMachine):
    """Whatever happens, the newest version of each object arrives in the end, and no rule of the window is broken."""

    def __init__(self) -> None:
        super().__init__()
        self.window: Window[int] = Window(size=3)
        self.now = 0.0
        self.newest: dict[str, int] = {}
        self.confirmed: dict[str, int] = {}
        self.on_wire: dict[str, Message] = {}
        self.count = 0

    @rule(key=st.sampled_from("abcdef"))
    def change(self, key: str) -> None:
        self.count += 1
        self.newest[key] = self.count
        self.window.put(key, state(key), self.count)

    @rule(step=st.floats(0, 20))
    def take(self, step: float) -> None:
        self.now += step
        for message in self.window.take(self.now):
            self.on_wire[message.id] = message

    @precondition(lambda self: self.on_wire)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        chosen = data.draw(st.sampled_from(list(self.on_wire)))
        if (parcel := self.window.acknowledge(chosen)) is not None:
            assert parcel.message.id == chosen
            self.confirmed[parcel.message.resource] = parcel.note

    @rule(noise=st.uuids())
    def unknown(self, noise: object) -> None:
        assert self.window.acknowledge(str(noise)) is None

    @invariant()
    def nothing_is_forgotten(self) -> None:
        for key, version in self.newest.items():
            pending = self.window.pending(key)
            if self.confirmed.get(key) != version:
                assert pending is not None
                assert pending.note == version or key in {message.resource for message in self.on_wire.values()}

    def teardown(self) -> None:
        for _ in range(50):
            self.take(60)
            for sent in list(self.on_wire):
                if (parcel := self.window.acknowledge(sent)) is not None:
                    self.confirmed[parcel.message.resource] = parcel.note
        assert self.confirmed == self.newest


Delivery.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestDelivery = Delivery.TestCase


@given(st.lists(st.sampled_from("abcdefghij"), max_size=60), st.integers(1, 4))
def test_never_more_in_flight_than_the_window(keys: list[str], size: int) -> None:
    window: Window[str] = Window(size=size)
    for key in keys:
        window.put(key, state(key), "")
    assert len(window.take(0)) <= size
