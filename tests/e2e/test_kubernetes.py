"""What only a real Kubernetes has: admission, service accounts, controllers, RBAC."""

from __future__ import annotations

import base64
import json
import ssl
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from cluster import Cluster
from e2e.harness import Cloud, Edge, eventually
from e2e.manifests import pod

from kube import kubeconfig
from kube.client import Client
from kube.resources import NAMESPACES, PODS
from kube.status import ApiError
from viaduct.tls import client_context

pytestmark = pytest.mark.kubernetes
Halves = tuple[Cloud, Edge]
ACCOUNT = "var/run/secrets/kubernetes.io/serviceaccount"
"""Where admission mounts the pod's token, the authority and the namespace; with a leading / in a container."""


def test_a_pod_speaks_to_the_api_with_its_own_account(real_halves: Halves, cluster: Cluster, tmp_path: Path) -> None:
    cloud, edge = real_halves
    out = tmp_path / "out"
    out.mkdir()
    out.chmod(0o777)
    where, root = ("/out", "/") if edge.runtime == "docker" else (str(out), "")
    copy = f"for f in token ca.crt namespace; do cat {root}{ACCOUNT}/$f > {where}/$f; done; touch {where}/done; sleep 3600"
    body = pod(
        "caller",
        "sh",
        "-c",
        copy,
        volumes=[{"name": "out", "hostPath": {"path": str(out)}}],
        container={"volumeMounts": [{"name": "out", "mountPath": "/out"}]},
    )
    cloud.apply(body)
    cloud.wait_running("caller")
    eventually("the pod has copied its account", (out / "done").exists)
    assert (out / "namespace").read_text() == "default"
    token = (out / "token").read_text()
    assert claims(token)["kubernetes.io"]["pod"]["uid"] == cloud.get("pod", "caller")["metadata"]["uid"]
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    request = Request(  # noqa: S310 - https
        f"{cluster.server}/apis/authentication.k8s.io/v1/selfsubjectreviews",
        data=json.dumps(review).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    with urlopen(request, timeout=20, context=ssl.create_default_context(cafile=str(out / "ca.crt"))) as answer:  # noqa: S310
        who = json.load(answer)["status"]["userInfo"]["username"]
    assert who == "system:serviceaccount:default:default"


def claims(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def test_the_node_is_kept_ready_by_its_lease(real_halves: Halves) -> None:
    cloud, edge = real_halves
    eventually("the taint of a new node is gone", lambda: not cloud.get("node", edge.name)["spec"].get("taints"))
    first = renewed(cloud, edge)
    eventually("the lease is renewed", lambda: renewed(cloud, edge) > first)
    node = cloud.get("node", edge.name)["metadata"]
    assert node["labels"]["node-role.kubernetes.io/edge"] == ""
    assert node["labels"]["kubernetes.io/hostname"] == edge.name


def renewed(cloud: Cloud, edge: Edge) -> str:
    return str(cloud.get("lease", edge.name, "-n", "kube-node-lease")["spec"]["renewTime"])


async def test_the_service_account_of_a_pod_in_the_cluster(cluster: Cluster, tmp_path: Path) -> None:
    """What cloudcore finds in its own pod: address in the environment, token (renewed in place) and authority in files."""
    given = kubeconfig.load(cluster.cloudcore)
    assert given.ca is not None
    (tmp_path / "ca.crt").write_bytes(given.ca)
    (tmp_path / "namespace").write_text("kubeedge")
    (tmp_path / "token").write_text(given.token)
    environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(cluster.port)}
    found = kubeconfig.in_cluster(folder=tmp_path, environ=environ)
    async with Client.of(found, tls=client_context(ca=found.ca)) as client:
        assert (await client.get(NAMESPACES, found.namespace))["status"]["phase"] == "Active"
        (tmp_path / "token").write_text("no token")
        with pytest.raises(ApiError) as refused:
            await client.list(PODS)
        assert refused.value.code == 401
        (tmp_path / "token").write_text(given.token)
        assert (await client.list(PODS)).items == ()
        with pytest.raises(ApiError) as refused:
            await client.get(NAMESPACES, "default")
        assert refused.value.code == 403


@pytest.mark.parametrize(
    ("verb", "resource", "namespace"),
    [
        ("delete", "nodes", ""),
        ("update", "nodes", ""),
        ("update", "secrets", "default"),
        ("create", "secrets", "default"),
        ("patch", "secrets", "kubeedge"),
        ("create", "configmaps", "default"),
        ("update", "pods", "default"),
        ("create", "namespaces", ""),
        ("update", "leases.coordination.k8s.io", "default"),
        ("impersonate", "users", ""),
        ("approve", "signers.certificates.k8s.io", ""),
    ],
)
def test_cloudcore_may_not(cluster: Cluster, verb: str, resource: str, namespace: str) -> None:
    """Rights that it would be easy to ask for and that it can do without."""
    name, _, group = resource.partition(".")
    asked = {"verb": verb, "resource": name, "group": group, "namespace": namespace}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": "system:serviceaccount:kubeedge:cloudcore", "resourceAttributes": asked},
    }
    answer = cluster.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    assert answer["status"]["allowed"] is False
