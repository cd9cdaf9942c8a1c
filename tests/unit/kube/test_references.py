from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kube.references import pod_references, required_references


def container(**fields: Any) -> dict[str, Any]:
    return {"name": "c", **fields}


def test_every_place_that_names_one() -> None:
    pod = {
        "spec": {
            "volumes": [
                {"name": "1", "configMap": {"name": "cm-volume"}},
                {"name": "2", "secret": {"secretName": "s-volume"}},
                {
                    "name": "3",
                    "projected": {
                        "sources": [
                            {"configMap": {"name": "cm-projected"}},
                            {"secret": {"name": "s-projected"}},
                            {"downwardAPI": {}},
                        ]
                    },
                },
                {"name": "4", "csi": {"nodePublishSecretRef": {"name": "s-csi"}}},
                {"name": "5", "azureFile": {"secretName": "s-azure"}},
                {"name": "6", "rbd": {"secretRef": {"name": "s-rbd"}}},
                {"name": "7", "emptyDir": {}},
            ],
            "containers": [
                container(
                    envFrom=[{"configMapRef": {"name": "cm-from"}}, {"secretRef": {"name": "s-from"}}],
                    env=[
                        {"name": "a", "valueFrom": {"configMapKeyRef": {"name": "cm-key", "key": "k"}}},
                        {"name": "b", "valueFrom": {"secretKeyRef": {"name": "s-key", "key": "k", "optional": True}}},
                        {"name": "c", "value": "x"},
                    ],
                )
            ],
            "initContainers": [container(envFrom=[{"configMapRef": {"name": "cm-init"}}])],
            "ephemeralContainers": [container(envFrom=[{"secretRef": {"name": "s-ephemeral"}}])],
            "imagePullSecrets": [{"name": "s-pull"}],
        }
    }
    found = pod_references(pod)
    assert found.config_maps == {"cm-volume", "cm-projected", "cm-from", "cm-key", "cm-init"}
    assert found.secrets == {
        "s-volume", "s-projected", "s-csi", "s-azure", "s-rbd", "s-from", "s-key", "s-ephemeral", "s-pull"
    }  # fmt: skip


def test_a_pod_that_names_none() -> None:
    assert pod_references({}) == (frozenset(), frozenset())


_fields = st.sampled_from(
    ["volumes", "configMap", "name", "secret", "secretName", "projected", "sources", "containers", "envFrom", "env", "valueFrom"]
)
_junk = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_fields, inner, max_size=3),
    max_leaves=15,
)


@given(_junk)
def test_odd_shapes_count_as_absent(spec: Any) -> None:
    found = pod_references({"spec": spec})
    assert all(isinstance(name, str) and name for name in found.config_maps | found.secrets)


def test_optional_everywhere_is_not_required_and_once_plain_is() -> None:
    volume = {"name": "1", "configMap": {"name": "page", "optional": True}}
    reference = {"name": "a", "valueFrom": {"secretKeyRef": {"name": "key", "key": "k", "optional": True}}}
    maybe = {"spec": {"volumes": [volume], "containers": [container(env=[reference])]}}
    assert pod_references(maybe) == ({"page"}, {"key"})
    assert required_references(maybe) == (set(), set())
    plain = {"spec": {"volumes": [volume], "containers": [container(envFrom=[{"configMapRef": {"name": "page"}}])]}}
    assert required_references(plain) == ({"page"}, set())
    odd = {"spec": {"volumes": [{"name": "1", "configMap": {"name": "page", "optional": "true"}}]}}
    assert required_references(odd) == ({"page"}, set())
