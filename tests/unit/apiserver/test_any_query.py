"""Whatever stands in a request line: it is understood, or refused as a bad request, never a fault of ours."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from cloudcore.apiserver.listing import read_continue
from cloudcore.apiserver.request import Request, target
from kube.status import ApiError

KEYS = ["limit", "watch", "continue", "timeoutSeconds", "labelSelector", "fieldSelector", "gracePeriodSeconds", "dryRun"]
VALUES = st.sampled_from(["", "1", "-1", "--1", "-", "+1", "1_0", "٣", "9" * 30, "true", "a=b", "a in (", "!", "a!=b,c", "="])
PAIRS = st.lists(st.tuples(st.sampled_from(KEYS), VALUES | st.text(max_size=5)), max_size=5)
ACCEPTS = st.text(max_size=30) | st.sampled_from(
    ["application/json;as=Table", ";;,=", "application/json;as=Table;v=v1;g=meta.k8s.io"]
)


@settings(deadline=None)
@given(pairs=PAIRS, raw=st.binary(max_size=10), accept=ACCEPTS)
def test_any_query(pairs: list[tuple[str, str]], raw: bytes, accept: str) -> None:
    query = "&".join(f"{key}={value}" for key, value in pairs).encode() + raw
    headers = [(b"accept", accept.encode("latin-1", "replace")), (b"content-type", raw)]
    scope = {"method": "GET", "path": "/api/v1/pods", "query_string": query, "headers": headers}
    readings = [
        lambda request: request.integer("limit"),
        lambda request: request.watch_seconds,
        lambda request: request.selectors(),
        lambda request: request.form,
        lambda request: request.flag("watch"),
        lambda request: request.media_type,
        lambda request: read_continue(request.query.get("continue", "")),
    ]
    for reading in readings:
        try:
            reading(Request.from_scope(scope))
        except ApiError as error:
            assert error.code in (400, 406)


@given(st.text(max_size=40) | st.lists(st.sampled_from(["api", "apis", "v1", "namespaces", "a", ".."]), max_size=9).map("/".join))
def test_any_path(path: str) -> None:
    found = target(path)
    assert found is None or (found.version and found.plural)


def test_every_watch_ends() -> None:
    def seconds(query: bytes) -> float:
        return Request.from_scope({"method": "GET", "path": "/", "query_string": query, "headers": []}).watch_seconds

    assert seconds(b"timeoutSeconds=5") == 5
    assert seconds(b"timeoutSeconds=99999") == 3600
    for silent in (b"", b"timeoutSeconds=0", b"timeoutSeconds=-5"):
        assert 1800 <= seconds(silent) <= 3600
