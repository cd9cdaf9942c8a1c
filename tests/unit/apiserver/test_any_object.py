"""Objects of the right shape but any content go through defaults, rules and tables without a fault of ours."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudcore.apiserver import body, metadata, tables
from cloudcore.apiserver.kinds import Kind
from cloudcore.apiserver.registry import Registry
from cloudcore.apiserver.schema import shapes
from kube import scheduling
from kube.status import ApiError

TEXTS = st.sampled_from(
    ["", "a", "web", "A_b", "1Gi", "500m", "-1", "Always", "True", "2026-01-01T00:00:00Z", "é", "a/b", "Exists"]
)
SMALL = st.sampled_from([-1, 0, 1, 80, 70000, 2**31 - 1])
NUMBERS = SMALL | st.just(2**40)
SIMPLE: dict[str, st.SearchStrategy[Any]] = {
    "s": TEXTS,
    "q": TEXTS,
    "i": SMALL,
    "l": NUMBERS,
    "n": NUMBERS,
    "b": st.booleans(),
    "x": TEXTS | SMALL,
    "o": st.dictionaries(TEXTS, TEXTS, max_size=1),
    "a": TEXTS | NUMBERS,
    "m": st.dictionaries(TEXTS, TEXTS, max_size=2),
    "mb": st.dictionaries(TEXTS, st.sampled_from(["", "AAAA", "e30="]), max_size=2),
    "t": st.sampled_from(["2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:00.123456+01:00"]),
    "mq": st.dictionaries(st.sampled_from(["cpu", "memory", "x"]), TEXTS, max_size=2),
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["metadata", "spec", "containers", "name", "labels", "env", "status"]), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@st.composite
def shaped(draw: st.DrawFn, kind: str, depth: int = 0) -> Any:
    if kind in SIMPLE:
        return draw(SIMPLE[kind])
    if kind.startswith("["):
        return [draw(shaped(kind[1:-1], depth)) for _ in range(draw(st.integers(0, 2)))]
    if kind.startswith("{"):
        return {draw(TEXTS): draw(shaped(kind[1:-1], depth)) for _ in range(draw(st.integers(0, 1)))}
    if kind.startswith("b|"):
        return draw(st.booleans())
    fields = sorted(shapes()[kind].items())
    if depth > 0:
        fields = draw(st.lists(st.sampled_from(fields), max_size=4, unique=True))
    leave_out = ("apiVersion", "kind") if depth == 0 else ()
    return {field: draw(shaped(type_, depth + 1)) for field, type_ in fields if field not in leave_out}


def live(kind: Kind, value: Any) -> None:
    """What a creation and a listing do."""
    obj, _ = body.clean(kind, value, "Warn")
    metadata.prepare_new(obj, "default" if kind.resource.namespaced else "")
    obj["metadata"].setdefault("name", "x")
    kind.defaults(obj)
    kind.prepare_create(obj)
    found = [*metadata.problems(obj, kind.name_problem), *kind.problems(obj)]
    assert all(str(fault) for fault in found)
    assert tables.table(kind, [obj], list_metadata={})["rows"]
    reported = {**obj, "status": body.clean(kind, value, "Warn")[0].get("status", {})}
    kind.prepare_status(reported, obj)
    assert tables.table(kind, [reported], list_metadata={})["rows"]
    again = msgspec.json.decode(msgspec.json.encode(obj))
    kind.defaults(again)
    assert again == obj, "defaults are filled in once"
    kind.update_problems(again, obj)
    kind.grace(obj, None)
    if kind.key == "pods" and not found:
        scheduling.fit(obj, {"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "1"}}})


KINDS = list(Registry())


@pytest.mark.parametrize("kind", KINDS, ids=[kind.key for kind in KINDS])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_objects_of_the_right_shape(kind: Kind, data: st.DataObject) -> None:
    try:
        live(kind, data.draw(shaped(kind.resource.kind)))
    except ApiError as error:
        assert error.code == 400


@pytest.mark.parametrize("kind", KINDS, ids=[kind.key for kind in KINDS])
@given(value=JSON)
def test_objects_of_any_shape(kind: Kind, value: Any) -> None:
    try:
        live(kind, value)
    except ApiError as error:
        assert error.code == 400
