from __future__ import annotations

import pytest

from kube import resources
from kube.resources import CONFIG_MAPS, LEASES, NAMESPACES, NODES, OBJECT_SYNCS, PODS


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (PODS.path(), "/api/v1/pods"),
        (PODS.path("default"), "/api/v1/namespaces/default/pods"),
        (PODS.path("default", "web", "status"), "/api/v1/namespaces/default/pods/web/status"),
        (NODES.path("", "edge-1"), "/api/v1/nodes/edge-1"),
        (NODES.path("ignored", "edge-1"), "/api/v1/nodes/edge-1"),
        (NAMESPACES.path("", "kubeedge"), "/api/v1/namespaces/kubeedge"),
        (LEASES.path("kube-node-lease", "e"), "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/e"),
        (CONFIG_MAPS.path("a/b", "../c"), "/api/v1/namespaces/a%2Fb/configmaps/..%2Fc"),
    ],
)
def test_paths(path: str, expected: str) -> None:
    assert path == expected


def test_one_object_needs_its_namespace_and_a_subresource_its_object() -> None:
    with pytest.raises(ValueError, match="pods 'web': a namespace is needed"):
        PODS.path("", "web")
    with pytest.raises(ValueError, match="pods/status: a name is needed"):
        PODS.path("default", "", "status")


def test_lookups() -> None:
    assert resources.by_kind("v1", "Pod") is PODS
    assert resources.by_kind("coordination.k8s.io/v1", "Lease") is LEASES
    assert resources.by_kind("v1", "Lease") is None
    assert resources.by_plural("", "configmaps") is CONFIG_MAPS
    assert resources.by_plural("reliablesyncs.kubeedge.io", "objectsyncs") is OBJECT_SYNCS
    assert resources.by_plural("", "leases") is None


def test_names_of_messages() -> None:
    assert (PODS.qualified, PODS.qualified_kind, PODS.list_kind, PODS.api_version) == ("pods", "Pod", "PodList", "v1")
    assert LEASES.qualified == "leases.coordination.k8s.io"
