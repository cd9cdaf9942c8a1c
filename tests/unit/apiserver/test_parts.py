"""Small pure parts: durations, names, request targets, history."""

from __future__ import annotations

import pytest

from cloudcore.apiserver import names
from cloudcore.apiserver.history import Change, Entry, Expired, History
from cloudcore.apiserver.request import Request, Target, target
from cloudcore.apiserver.table_parts import duration
from kube.status import ApiError


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (0, "0s"),
        (119, "119s"),
        (130, "2m10s"),
        (599, "9m59s"),
        (1500, "25m"),
        (3 * 3600 + 300, "3h5m"),
        (17 * 3600, "17h"),
        (52 * 3600, "2d4h"),
        (12 * 86400, "12d"),
        (3 * 365 * 86400 + 20 * 86400, "3y20d"),
        (9 * 365 * 86400, "9y"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_names() -> None:
    assert names.subdomain_problem("a.b-c.d") is None
    for bad in ("A", "-a", "a-", "a..b", "a_b", "", "a" * 254, "a\n"):
        assert names.subdomain_problem(bad) is not None, bad
    assert names.label_problem("a.b") is not None
    assert names.qualified_problem("example.com/a_B") is None
    for bad in ("/a", "a/", "a b", "x/y/z", "a" * 64):
        assert names.qualified_problem(bad) is not None, bad
    assert len(names.with_suffix("x" * 100)) == 63


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/api/v1/pods", Target("", "v1", "pods")),
        ("/api/v1/namespaces/d/pods/web/status", Target("", "v1", "pods", "d", "web", "status")),
        ("/api/v1/namespaces/d", Target("", "v1", "namespaces", "", "d")),
        ("/api/v1/namespaces/d/finalize", Target("", "v1", "namespaces", "", "d", "finalize")),
        ("/api/v1/namespaces/d/pods/", Target("", "v1", "pods", "d")),
        ("/apis/coordination.k8s.io/v1/leases", Target("coordination.k8s.io", "v1", "leases")),
        ("/api/v1/namespaces/d/pods/a/b/c", None),
        ("/api/v1/namespaces//pods", None),
        ("/api/v1", None),
        ("/", None),
        ("/other/v1/pods", None),
    ],
)
def test_targets(path: str, wanted: Target | None) -> None:
    assert target(path) == wanted


def request(query: bytes = b"", accept: str = "") -> Request:
    headers = [(b"Accept", accept.encode())] if accept else []
    return Request.from_scope({"method": "GET", "path": "/", "query_string": query, "headers": headers})


def test_queries() -> None:
    found = request(b"watch=true&limit=5&labelSelector=a%3Db&watch=false")
    assert found.flag("watch")
    assert found.integer("limit") == 5
    assert str(found.selectors()[0]) == "a=b"
    for bad in (b"limit=x", b"limit=99999999999999999999", b"limit=%C2%B2"):
        with pytest.raises(ApiError):
            request(bad).integer("limit")
    for bad in (b"a=%ff", b"\xff", b"&".join(b"a=%d" % n for n in range(100))):
        with pytest.raises(ApiError) as caught:
            request(bad)
        assert caught.value.code == 400


def test_the_first_acceptable_form_counts() -> None:
    assert request().form == "object"
    assert request(accept="application/json;as=Table;v=v1;g=meta.k8s.io,application/json").form == "table"
    assert request(accept="application/json;as=Novelty;v=v9;g=meta.k8s.io,application/json").form == "object"
    assert request(accept="application/vnd.kubernetes.protobuf,application/json").form == "object"
    with pytest.raises(ApiError) as caught:
        _ = request(accept="application/yaml").form
    assert caught.value.code == 406


def change(revision: int, size: int = 10) -> Change:
    return Change("ADDED", revision, Entry(revision, {}, b"x" * size), None)


def test_history_gives_what_came_after() -> None:
    history = History(100)
    for revision in (101, 105, 110):
        history.append(change(revision))
    assert [c.revision for c in history.read(history.place_after(100))] == [101, 105, 110]
    assert [c.revision for c in history.read(history.place_after(101))] == [105, 110]
    assert history.read(history.place_after(110)) == []
    with pytest.raises(Expired):
        history.place_after(99)


def test_history_is_bounded_by_number_and_by_size() -> None:
    history = History(0, changes=16, size=1000)
    for revision in range(1, 100):
        history.append(change(revision))
    assert len(history.read(history.place_after(history.floor), 1000)) <= 16
    with pytest.raises(Expired):
        history.read(0)
    with pytest.raises(Expired):
        history.place_after(1)
    history.append(change(100, size=5000))
    assert history.read(history.place_after(history.floor), 1000) == []
    assert history.floor == 100


def test_large_objects_leave_most_of_the_history() -> None:
    """A watcher that is a little behind must not have to list anew because the bound is reached."""
    history = History(0, size=100_000)
    least = 100
    for revision in range(1, 1000):
        history.append(change(revision, 1000))
        if revision > 200:
            least = min(least, history.end - history._dropped)
    assert least >= 90
    assert history._size <= 100_000
