"""Who holds a node, whatever the order in which the news of it comes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cloudcore.edgecontroller.holders import LONGEST, NODE, Claim, Holders, lease_name
from kube.client import Client


def lease(number: object, holder: str = "other", *, uid: str = "u", node: str = "edge-1") -> dict:
    meta = {"name": lease_name(node), "uid": uid, "annotations": {NODE: node}}
    return {"metadata": meta, "spec": {"holderIdentity": holder, "leaseTransitions": number}}


class Ours(Holders):
    """Has claimed edge-1 as the fifth."""

    def __init__(self) -> None:
        self.lost: list[str] = []
        super().__init__(Client("http://127.0.0.1:9", tls=None), "me", lost=self.lost.append)
        self._claims["edge-1"] = Claim("u", 5)


async def test_a_later_claim_ends_ours_and_an_earlier_one_does_not() -> None:
    ours = Ours()
    ours._changed(None, lease(3))
    ours._changed(lease(3), lease(4))
    ours._changed(lease(4), lease(5, "me"))
    ours._changed(lease(5, "me"), lease(9, node="edge-2"))
    assert ours.holds("edge-1")
    ours._changed(lease(5, "me"), lease(6))
    ours._changed(lease(6), lease(7))
    assert ours.lost == ["edge-1"]
    assert not ours.holds("edge-1")


async def test_a_lease_that_was_removed_is_nobodys() -> None:
    ours = Ours()
    ours._changed(lease(9, uid="before"), None)
    assert ours.holds("edge-1"), "news of the one that was there before"
    ours._changed(lease(5, "me"), lease(1, uid="new"))
    assert ours.lost == ["edge-1"]
    ours = Ours()
    ours._changed(lease(5, "me"), None)
    assert ours.lost == ["edge-1"]


@given(st.one_of(st.none(), st.booleans(), st.text(), st.integers(max_value=5)))
def test_nonsense_in_a_lease_takes_nothing_away(number: object) -> None:
    ours = Ours()
    ours._changed(None, lease(number))
    assert ours.holds("edge-1")


def test_every_node_has_a_lease_of_its_own() -> None:
    assert lease_name("edge-1") == "node.edge-1"
    longest = ["a" * 253, "a" * 252 + "b"]
    names = {lease_name(node) for node in longest}
    assert len(names) == 2
    assert all(len(name) <= LONGEST for name in names)
