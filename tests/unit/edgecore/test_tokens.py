from __future__ import annotations

import pytest

from edgecore.metamanager import tokens
from edgecore.metamanager.tokens import Freshness, freshness
from kube import objects

BOUND = {"kind": "Pod", "apiVersion": "v1", "name": "nginx", "uid": "u1"}


def test_the_key_is_kubeedges() -> None:
    request = {"spec": {"audiences": ["https://a"], "expirationSeconds": 3607, "boundObjectRef": BOUND}}
    key = tokens.key("ns1", "default", request)
    bound = 'v1.BoundObjectReference{Kind:"Pod", APIVersion:"v1", Name:"nginx", UID:"u1"}'
    assert key == f'"default"/"ns1"/[]string{{"https://a"}}/3607/{bound}'
    assert tokens.belongs_to(key, "u1")
    assert not tokens.belongs_to(key, "u")
    assert "[]string(nil)" in tokens.key("ns1", "default", {"spec": {"boundObjectRef": BOUND}})
    assert tokens.key("n", "a", {"spec": None}) != tokens.key("n", "b", {})


@pytest.mark.parametrize(
    ("now", "expected"),
    [(0.0, Freshness.GOOD), (799.0, Freshness.GOOD), (801.0, Freshness.REFRESH), (1000.0, Freshness.EXPIRED)],
)
def test_freshness(now: float, expected: Freshness) -> None:
    token = {"spec": {"expirationSeconds": 1000}, "status": {"expirationTimestamp": objects.timestamp(1000.0)}}
    assert freshness(token, now) is expected


@pytest.mark.parametrize("status", [None, {}, {"expirationTimestamp": None}, {"expirationTimestamp": "soon"}])
def test_an_unreadable_expiry_needs_a_refresh(status: object) -> None:
    assert freshness({"status": status}, 0.0) is Freshness.REFRESH
