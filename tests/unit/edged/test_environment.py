from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecore.edged.environment import ConfigError, Facts, Sources, build, expand
from kube.objects import Object

FACTS = Facts(host_ip="192.0.2.1", pod_ip="10.0.0.2", allocatable={"cpu": "4", "memory": "2Gi"})
SOURCES = Sources(
    config_maps={"c": {"metadata": {"name": "c"}, "data": {"a": "1", "b b": "2"}, "binaryData": {"bin": "/w=="}}},
    secrets={"s": {"metadata": {"name": "s"}, "data": {"k": base64.b64encode(b"hidden").decode()}}},
    missing={("configmap", "gone"): 'configmap "gone" not found', ("secret", "broken"): "secret broken: 500"},
    absent=frozenset({("configmap", "gone")}),
)
POD: Object = {
    "metadata": {"name": "web", "namespace": "ns", "uid": "u", "labels": {"app": "x"}, "annotations": {"a/b": "y"}},
    "spec": {"nodeName": "edge-1", "serviceAccountName": "robot"},
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$(A)", "1"),
        ("x$(A)$(A)y", "x11y"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$(NO)", "$(NO)"),
        ("$(A", "$(A"),
        ("$", "$"),
        ("$A", "$A"),
        ("", ""),
        ("a$$b", "a$b"),
    ],
)
def test_expansion(text: str, expected: str) -> None:
    assert expand(text, {"A": "1"}) == expected


@given(st.text())
def test_a_text_without_dollars_is_itself(text: str) -> None:
    assert expand(text.replace("$", ""), {"A": "1"}) == text.replace("$", "")


@given(st.text(alphabet="$()A"))
def test_expansion_never_fails(text: str) -> None:
    expand(text, {"A": "1"})


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        ({"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)2"}]}, {"A": "1", "B": "12"}),
        ({"env": [{"name": "B", "value": "$(A)"}, {"name": "A", "value": "1"}]}, {"B": "$(A)", "A": "1"}),
        ({"envFrom": [{"configMapRef": {"name": "c"}}]}, {"a": "1", "bin": b"\xff".decode("utf-8", "surrogateescape")}),
        ({"envFrom": [{"prefix": "P_", "secretRef": {"name": "s"}}]}, {"P_k": "hidden"}),
        ({"envFrom": [{"configMapRef": {"name": "gone", "optional": True}}]}, {}),
        ({"envFrom": [{"configMapRef": {"name": "c"}}], "env": [{"name": "a", "value": "own"}]}, {"a": "own", "bin": "\udcff"}),
        ({"env": None, "envFrom": "junk"}, {}),
        ({"env": [None, 3, {"name": None}, {"value": "x"}, {"name": "A"}]}, {"A": ""}),
    ],
)
def test_order_and_sources(container: Object, expected: dict[str, str]) -> None:
    assert build(POD, container, SOURCES, FACTS) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"fieldRef": {"fieldPath": "metadata.name"}}, "web"),
        ({"fieldRef": {"fieldPath": "metadata.labels['app']"}}, "x"),
        ({"fieldRef": {"fieldPath": "metadata.annotations['a/b']"}}, "y"),
        ({"fieldRef": {"fieldPath": "metadata.labels['no']"}}, ""),
        ({"fieldRef": {"fieldPath": "spec.nodeName"}}, "edge-1"),
        ({"fieldRef": {"fieldPath": "spec.serviceAccountName"}}, "robot"),
        ({"fieldRef": {"fieldPath": "status.podIP"}}, "10.0.0.2"),
        ({"fieldRef": {"fieldPath": "status.hostIP"}}, "192.0.2.1"),
        ({"resourceFieldRef": {"resource": "limits.memory"}}, str(64 << 20)),
        ({"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}, "64"),
        ({"resourceFieldRef": {"resource": "limits.cpu"}}, "4"),
        ({"resourceFieldRef": {"resource": "requests.cpu", "divisor": "1m"}}, "150"),
        ({"resourceFieldRef": {"resource": "requests.cpu"}}, "1"),
        ({"configMapKeyRef": {"name": "c", "key": "a"}}, "1"),
        ({"secretKeyRef": {"name": "s", "key": "k"}}, "hidden"),
        ({"configMapKeyRef": {"name": "c", "key": "no", "optional": True}}, None),
        ({"configMapKeyRef": {"name": "gone", "key": "a", "optional": True}}, None),
    ],
)
def test_references(source: Object, expected: str | None) -> None:
    resources = {"limits": {"memory": "64Mi"}, "requests": {"cpu": "150m"}}
    container: Object = {"name": "main", "resources": resources, "env": [{"name": "X", "valueFrom": source}]}
    assert build(POD, container, SOURCES, FACTS).get("X") == expected


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ({"configMapKeyRef": {"name": "gone", "key": "a"}}, 'configmap "gone" not found'),
        ({"configMapKeyRef": {"name": "c", "key": "no"}}, "couldn't find key no in ConfigMap ns/c"),
        ({"secretKeyRef": {"name": "broken", "key": "no", "optional": True}}, "secret broken: 500"),
        ({"secretKeyRef": {"name": "never-asked", "key": "no"}}, 'secret "never-asked" not found'),
        ({"fieldRef": {"fieldPath": "spec.containers"}}, "unsupported fieldPath: spec.containers"),
        ({"resourceFieldRef": {"resource": "limits"}}, "unsupported resourceFieldRef: limits of container None"),
        ({"fileKeyRef": {}}, "unsupported valueFrom: fileKeyRef"),
    ],
)
def test_what_is_missing_is_named(source: Object, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(POD, {"env": [{"name": "X", "valueFrom": source}]}, SOURCES, FACTS)
    assert str(caught.value) == text


JUNK: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "value", "valueFrom", "fieldRef", "configMapRef", "key", "prefix"]), inner)
    ),
    max_leaves=10,
)


@given(JUNK, JUNK)
def test_junk_is_a_config_error_at_most(env: Any, env_from: Any) -> None:
    try:
        build(POD, {"env": env, "envFrom": env_from}, SOURCES, FACTS)
    except ConfigError:
        pass
