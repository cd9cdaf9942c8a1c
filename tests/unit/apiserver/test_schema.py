"""Outside JSON is brought into shape, or refused with the place of the fault."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudcore.apiserver import schema
from cloudcore.apiserver.schema import WrongType, conform, shapes, too_deep

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "spec", "metadata", "x"]), inner, max_size=3)
    ),
    max_leaves=12,
)


def test_unknown_fields_are_left_out_and_told() -> None:
    clean, unknown = conform("Pod", {"spec": {"containers": [{"name": "a", "imagePulPolicy": "Never"}]}, "oops": 1})
    assert clean == {"spec": {"containers": [{"name": "a"}]}}
    assert unknown == ["spec.containers[0].imagePulPolicy", "oops"]


def test_null_is_absent() -> None:
    assert conform("Pod", {"metadata": None, "spec": {"nodeName": None, "nodeSelector": {"a": None}}})[0] == {
        "spec": {"nodeSelector": {"a": ""}}
    }


def test_empty_lists_and_maps_are_absent() -> None:
    empty = {"metadata": {"labels": {}}, "spec": {"containers": [], "tolerations": [], "securityContext": {}}}
    assert conform("Pod", empty)[0] == {"metadata": {}, "spec": {"securityContext": {}}}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"spec": []}, "spec: expected an object, got array"),
        ({"spec": {"containers": {}}}, "spec.containers: expected an array, got object"),
        ({"spec": {"containers": [1]}}, "spec.containers[0]: expected an object, got number"),
        ({"spec": {"containers": [None]}}, "spec.containers[0]: expected an object, got null"),
        ({"spec": {"hostNetwork": "yes"}}, "spec.hostNetwork: expected boolean, got string"),
        ({"spec": {"priority": True}}, "spec.priority: expected an integer, got boolean"),
        ({"spec": {"priority": 1.5}}, "spec.priority: expected an integer, got number"),
        ({"spec": {"priority": 2**31}}, "spec.priority: expected an integer of 32 bits, got number"),
        ({"spec": {"activeDeadlineSeconds": 2**63}}, "spec.activeDeadlineSeconds: expected an integer of 64 bits, got number"),
        ({"metadata": {"labels": {"a": 1}}}, "metadata.labels.a: expected string, got number"),
        ({"metadata": {"name": {}}}, "metadata.name: expected string, got object"),
    ],
)
def test_wrong_types_name_the_field(body: object, message: str) -> None:
    with pytest.raises(WrongType) as caught:
        conform("Pod", body)
    assert str(caught.value) == message


def test_every_shape_that_is_named_exists() -> None:
    simple = set("silnboaxqmt") | {"mb", "mq"}
    for name, shape in shapes().items():
        for field, kind in shape.items():
            assert kind.removeprefix("b|").strip("[]{}") in simple | set(shapes()), f"{name}.{field}={kind}"


@given(JSON)
def test_any_json_is_shaped_or_refused(value: object) -> None:
    try:
        clean, _ = conform("Pod", value)
    except WrongType:
        return
    assert conform("Pod", clean) == (clean, [])


def test_depth_is_counted_without_a_stack() -> None:
    value: object = 1
    for _ in range(5000):
        value = [value]
    assert too_deep(value)
    shallow: object = 1
    for _ in range(schema.DEPTH):
        shallow = {"a": shallow}
    assert not too_deep(shallow)
    assert too_deep({"a": shallow})
