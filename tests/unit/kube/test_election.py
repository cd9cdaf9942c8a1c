"""The rules of a leader Lease, on clocks that differ from machine to machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kube.election import Election, Terms

TERMS = Terms()


class Api:
    """One Lease, replaced by compare-and-set."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self._version = 0

    def put(self, lease: dict[str, Any]) -> dict[str, Any] | None:
        """What is stored then; None for a conflict."""
        seen = lease["metadata"].get("resourceVersion", "")
        present = self.lease["metadata"]["resourceVersion"] if self.lease else ""
        if seen != present:
            return None
        self._version += 1
        meta = lease["metadata"] | {"uid": "u", "resourceVersion": str(self._version)}
        self.lease = lease | {"metadata": meta}
        return self.lease


@dataclass
class Candidate:
    """offset: how far its clock is off; both of its clocks."""

    election: Election
    offset: float = 0.0

    def attempt(self, api: Api, now: float, *, answer: str = "at once") -> None:
        local = now + self.offset
        self.election.observe(api.lease, local)
        bid = self.election.bid(local, 1.7e9 + local)
        stored = api.put(bid) if bid is not None else None
        if stored is not None and answer == "at once":
            self.election.won(stored, local)

    def leads(self, now: float) -> bool:
        return self.election.leads(now + self.offset)


def candidates(*names: str) -> list[Candidate]:
    return [Candidate(Election("kubeedge", "cloudcore", name, TERMS)) for name in names]


def test_the_first_one_leads_and_stays_leader_while_it_renews() -> None:
    api = Api()
    one, two = candidates("one", "two")
    one.attempt(api, 0)
    for second in range(2, 100, 2):
        two.attempt(api, second)
        one.attempt(api, second)
        assert one.leads(second + 1)
        assert not two.leads(second + 1)
    assert api.lease is not None
    spec = api.lease["spec"]
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("one", 15, 0)
    assert spec["acquireTime"] < spec["renewTime"]


def test_a_silent_leader_gives_up_before_another_one_takes_over() -> None:
    api = Api()
    one, two = candidates("one", "two")
    one.attempt(api, 0)
    two.attempt(api, 1)
    assert one.leads(9.9)
    assert not one.leads(10)
    two.attempt(api, 15.9)
    assert not two.leads(15.9), "one lease time after two has seen it, not after one has written it"
    two.attempt(api, 16)
    assert two.leads(16)
    assert api.lease is not None
    assert api.lease["spec"]["leaseTransitions"] == 1
    one.attempt(api, 17)
    assert not one.leads(17)


def test_a_lease_that_was_given_back_is_free_at_once() -> None:
    api = Api()
    one, two = candidates("one", "two")
    one.attempt(api, 0)
    two.attempt(api, 1)
    freed = one.election.resign(1.7e9)
    assert freed is not None
    assert not one.leads(1)
    api.put(freed)
    two.attempt(api, 2)
    assert two.leads(2)
    again = one.election.resign(1.7e9)
    assert again is not None
    assert api.put(again) is None, "one knows no better, but cannot give back what is not one's any more"


def test_a_leader_that_sees_another_one_stops_at_once() -> None:
    api = Api()
    one, two = candidates("one", "two")
    one.attempt(api, 0)
    two.election.observe(api.lease, -100)
    bid = two.election.bid(0, 0)
    assert bid is not None
    api.put(bid)
    one.attempt(api, 2)
    assert not one.leads(2)


def test_a_write_of_which_nothing_was_heard_counts_when_it_is_seen() -> None:
    api = Api()
    (one,) = candidates("one")
    one.attempt(api, 0, answer="lost")
    assert not one.leads(0)
    one.attempt(api, 2)
    assert one.leads(2)


@pytest.mark.parametrize("length", [None, "x", 0, -5, True, 2.5])
def test_nonsense_in_a_lease_counts_as_the_usual_duration(length: object) -> None:
    (one,) = candidates("one")
    spec = {"holderIdentity": "x", "leaseDurationSeconds": length, "leaseTransitions": length}
    one.election.observe({"metadata": {"resourceVersion": "1"}, "spec": spec}, 0)
    assert one.election.bid(14.9, 0) is None
    bid = one.election.bid(15, 0)
    assert bid is not None
    assert bid["spec"]["leaseTransitions"] >= 1


def test_what_others_keep_in_the_lease_stays() -> None:
    (one,) = candidates("one")
    kept = {"metadata": {"resourceVersion": "1", "labels": {"a": "b"}}, "spec": {"holderIdentity": "", "strategy": "S"}}
    one.election.observe(kept, 0)
    bid = one.election.bid(0, 0)
    assert bid is not None
    assert bid["metadata"]["labels"] == {"a": "b"}
    assert bid["spec"]["strategy"] == "S"


STEPS = st.lists(
    st.tuples(
        st.integers(0, 2), st.floats(0.01, 9), st.sampled_from(["at once", "at once", "lost"]), st.sampled_from(["try", "resign"])
    ),
    max_size=60,
)


@settings(max_examples=300)
@given(STEPS, st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)))
def test_never_two_leaders_whatever_is_lost_and_whatever_clocks_say(
    steps: list[tuple[int, float, str, str]], offsets: tuple[float, float, float]
) -> None:
    api, now = Api(), 0.0
    all_ = candidates("a", "b", "c")
    for one, offset in zip(all_, offsets, strict=True):
        one.offset = offset
    for who, wait, answer, action in steps:
        now += wait
        one = all_[who]
        if action == "try" or not one.leads(now):
            one.attempt(api, now, answer=answer)
        elif (freed := one.election.resign(now)) is not None and answer == "at once":
            api.put(freed)
        assert sum(one.leads(now) for one in all_) <= 1
    for _ in range(20):
        now += 2
        all_[0].attempt(api, now)
    assert all_[0].leads(now), "who goes on asking leads in the end"
