"""Deployments, ReplicaSets and DaemonSets at work, beside the real controllers; the tests say when a pod is ready."""

from __future__ import annotations

from typing import Any

import pytest
from differential.conversation import Answer, Api
from differential.objects import nowhere
from differential.scenario import scenario
from differential.workloads import going, listed, names_of, ready, run_until, workload

DEPLOYMENTS, SETS, DAEMONS = "apps/v1/deployments", "apps/v1/replicasets", "apps/v1/daemonsets"


def settled(found: Answer) -> bool:
    """Complete, and told so."""
    status = found["status"]
    conditions = {one["type"]: one["reason"] for one in status["conditions"]}
    return bool(
        status["observedGeneration"] == found["metadata"]["generation"]
        and status.get("updatedReplicas", 0) == status.get("availableReplicas", 0) == found["spec"]["replicas"]
        and status.get("replicas", 0) == found["spec"]["replicas"]
        and conditions["Progressing"] == "NewReplicaSetAvailable"
    )


def revision(found: Answer) -> str:
    return str(found["metadata"]["annotations"]["deployment.kubernetes.io/revision"])


@scenario
def test_a_replica_set_makes_pods(api: Api) -> None:
    api.post(SETS, workload("ReplicaSet", replicas=2))
    api.until(f"{SETS}/web", lambda found: found["status"]["replicas"] == 2)
    listed(api, "pods")
    ready(api, 1)
    api.until(f"{SETS}/web", lambda found: found["status"]["readyReplicas"] == 1)
    api.patch(f"{SETS}/web/scale", {"spec": {"replicas": 1}})
    api.until(f"{SETS}/web", lambda found: found["status"]["replicas"] == 1)
    listed(api, "pods")  # the one that is ready stays
    api.delete(f"pods/{names_of(api, 'pods')[0]}", keep=False)
    api.until(f"{SETS}/web", lambda found: "readyReplicas" not in found["status"] and found["status"]["replicas"] == 1)
    api.patch(f"{SETS}/web/scale", {"spec": {"replicas": 0}}, keep=False)
    api.until(f"{SETS}/web", lambda found: found["status"]["observedGeneration"] == 3 and not found["status"]["replicas"])


@scenario
def test_pods_are_adopted_and_released(api: Api) -> None:
    spec = workload("ReplicaSet")["spec"]["template"]["spec"]
    api.post("pods", {"metadata": {"name": "stray", "labels": {"app": "web"}}, "spec": spec}, keep=False)
    api.post(SETS, workload("ReplicaSet", replicas=1))
    owned = api.until("pods/stray", lambda found: found["metadata"]["ownerReferences"], keep=False)
    api.note("adopted", owned["metadata"])
    api.until(f"{SETS}/web", lambda found: found["status"]["replicas"] == 1)
    api.patch("pods/stray", {"metadata": {"labels": {"app": "other"}}}, keep=False)
    api.until("pods/stray", lambda found: not found["metadata"].get("ownerReferences"), keep=False)
    api.until("pods?labelSelector=app=web", lambda found: len(found["items"]) == 1, keep=False)
    listed(api, "pods")


@scenario
def test_a_rollout_and_back(api: Api) -> None:
    api.post(DEPLOYMENTS, workload("Deployment", replicas=3))
    api.until(f"{DEPLOYMENTS}/web", lambda found: found["status"]["updatedReplicas"] == 3)
    ready(api, 3)
    api.until(f"{DEPLOYMENTS}/web", settled)
    image = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "nginx:2"}]}}}}
    api.patch(f"{DEPLOYMENTS}/web", image, "strategic", keep=False)
    run_until(api, f"{DEPLOYMENTS}/web", settled)
    api.until(f"{DEPLOYMENTS}/web", settled)
    listed(api, SETS)
    back = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "nginx:1"}]}}}}
    api.patch(f"{DEPLOYMENTS}/web", back, "strategic", keep=False)
    api.until(f"{DEPLOYMENTS}/web", lambda found: revision(found) == "3", keep=False)
    run_until(api, f"{DEPLOYMENTS}/web", settled)
    api.until(f"{DEPLOYMENTS}/web", settled)
    listed(api, SETS)


@scenario
def test_recreate(api: Api) -> None:
    api.post(DEPLOYMENTS, workload("Deployment", replicas=2, strategy={"type": "Recreate"}, revisionHistoryLimit=0))
    api.until(f"{DEPLOYMENTS}/web", lambda found: found["status"]["updatedReplicas"] == 2)
    listed(api, SETS)
    ready(api, 2)
    api.until(f"{DEPLOYMENTS}/web", settled)
    image = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "nginx:2"}]}}}}
    api.patch(f"{DEPLOYMENTS}/web", image, "strategic", keep=False)
    made = {"replicas": 2, "updatedReplicas": 2}  # the status of the old set may still be counted
    api.until(f"{DEPLOYMENTS}/web", lambda found: revision(found) == "2" and made.items() <= found["status"].items())
    ready(api, 2)
    api.until(f"{DEPLOYMENTS}/web", settled)
    api.until(SETS, lambda found: len(found["items"]) == 1, keep=False)
    listed(api, SETS)


@scenario
def test_pause_scale_and_resume(api: Api) -> None:
    api.post(DEPLOYMENTS, workload("Deployment", replicas=2))
    api.until(f"{DEPLOYMENTS}/web", lambda found: found["status"]["updatedReplicas"] == 2, keep=False)
    ready(api, 2)
    api.until(f"{DEPLOYMENTS}/web", settled)
    api.patch(f"{DEPLOYMENTS}/web", {"spec": {"paused": True}}, keep=False)
    api.until(
        f"{DEPLOYMENTS}/web", lambda found: "DeploymentPaused" in str(found.body) and found["status"]["observedGeneration"] == 2
    )
    image = {"spec": {"replicas": 3, "template": {"spec": {"containers": [{"name": "c", "image": "nginx:2"}]}}}}
    api.patch(f"{DEPLOYMENTS}/web", image, "strategic", keep=False)
    api.until(f"{DEPLOYMENTS}/web", lambda found: found["status"]["observedGeneration"] == 3 and found["status"]["replicas"] == 3)
    listed(api, SETS)
    api.patch(f"{DEPLOYMENTS}/web", {"spec": {"paused": None}}, keep=False)
    api.until(
        f"{DEPLOYMENTS}/web",
        lambda found: found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2",
        keep=False,
    )
    run_until(api, f"{DEPLOYMENTS}/web", settled)
    api.until(f"{DEPLOYMENTS}/web", settled)


@scenario
def test_the_deadline_of_a_rollout(api: Api) -> None:
    api.post(DEPLOYMENTS, workload("Deployment", replicas=1, progressDeadlineSeconds=1))
    api.until(
        f"{DEPLOYMENTS}/web",
        lambda found: "ProgressDeadlineExceeded" in str(found.body) and found["status"]["updatedReplicas"] == 1,
    )
    ready(api, 1)
    api.until(f"{DEPLOYMENTS}/web", settled)
    listed(api, SETS)


@pytest.mark.parametrize("policy", ["Background", "Foreground", "Orphan", ""])
@scenario
def test_what_is_left_of_a_deployment(api: Api, policy: str) -> None:
    api.post(DEPLOYMENTS, workload("Deployment", replicas=2), keep=False)
    api.until("pods", lambda found: len(found["items"]) == 2, keep=False)
    api.until(f"{DEPLOYMENTS}/web", lambda found: found["status"]["updatedReplicas"] == 2, keep=False)
    answer = api.delete(f"{DEPLOYMENTS}/web", {"propagationPolicy": policy} if policy else None, keep=False)
    api.note("answer", [answer.code, answer["kind"], answer.body.get("metadata", {}).get("finalizers")])
    api.until(f"{DEPLOYMENTS}/web", lambda found: found.code == 404)
    if policy != "Orphan":
        api.until("pods", lambda found: not found["items"], keep=False)
        api.until(SETS, lambda found: not found["items"], keep=False)
    else:
        api.until(SETS, lambda found: not found["items"][0]["metadata"].get("ownerReferences"), keep=False)
    listed(api, SETS)
    api.note("pods", len(names_of(api, "pods")))


@scenario
def test_owners(api: Api) -> None:
    def owned(name: str, *owners: tuple[Answer, bool], **more: Any) -> Answer:
        references = [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": o["metadata"]["name"], "uid": o.uid, "blockOwnerDeletion": blocks}
            for o, blocks in owners
        ]
        return api.post("configmaps", {"metadata": {"name": name, "ownerReferences": references, **more}})

    one, two = owned("one"), owned("two")
    owned("of-one", (one, False))
    owned("of-both", (one, True), (two, True))
    chain = owned("chain", (two, True), finalizers=["example.com/wait"])
    owned("end", (chain, True))
    api.delete("configmaps/one")
    api.until("configmaps/of-one", lambda found: found.code == 404)
    api.until("configmaps/of-both", lambda found: len(found["metadata"]["ownerReferences"]) == 1)
    api.delete("configmaps/two", {"propagationPolicy": "Foreground"})
    api.until("configmaps/of-both", lambda found: found.code == 404)
    api.until("configmaps/end", lambda found: found.code == 404)
    api.until("configmaps/chain", lambda found: found["metadata"]["finalizers"] == ["example.com/wait"])
    api.get("configmaps/two")
    api.patch("configmaps/chain", {"metadata": {"finalizers": None}})
    api.until("configmaps/two", lambda found: found.code == 404)
    ghost = {"apiVersion": "v1", "kind": "ConfigMap", "name": "ghost", "uid": "4fd4a4b6-0000-4000-8000-000000000000"}
    api.post("configmaps", {"metadata": {"name": "haunted", "ownerReferences": [ghost]}})
    api.until("configmaps/haunted", lambda found: found.code == 404)
    unknown = {"apiVersion": "example.com/v1", "kind": "Thing", "name": "x", "uid": "4fd4a4b6-0000-4000-8000-000000000001"}
    api.post("configmaps", {"metadata": {"name": "kept", "ownerReferences": [unknown]}})
    api.get("configmaps/kept")


@scenario
def test_how_to_delete(api: Api) -> None:
    api.post("configmaps", {"metadata": {"name": "a"}})
    api.delete("configmaps/a", {"propagationPolicy": "Sideways"})
    api.delete("configmaps/a", {"propagationPolicy": "Orphan", "orphanDependents": True})
    api.delete("configmaps/a?propagationPolicy=Foreground&dryRun=All")
    api.delete("configmaps/a", {"orphanDependents": False})
    api.post("configmaps", {"metadata": {"name": "b", "finalizers": ["orphan", "example.com/wait"]}})
    api.delete("configmaps/b", {"propagationPolicy": "Background"})
    api.patch("configmaps/b", {"metadata": {"finalizers": []}})


NODES = "/api/v1/nodes"


def node(api: Api, number: int, **spec: Any) -> str:
    """A node of the scenario's own, which takes pods."""
    name = f"{api.namespace}-{number}"
    status = {"capacity": {"cpu": "4", "pods": "10"}, "conditions": [{"type": "Ready", "status": "True"}]}
    body = {"metadata": {"name": name, "labels": {"fleet": api.namespace}}, "spec": spec, "status": status}
    api.post(NODES, body, keep=False)
    api.until(f"{NODES}/{name}", lambda found: not found["spec"].get("taints"), keep=False)
    return name


def no_nodes(api: Api) -> None:
    api.delete("daemonsets", keep=False)
    for number in range(1, 4):
        api.delete(f"{NODES}/{api.namespace}-{number}", keep=False)


def daemon(api: Api, **spec: Any) -> dict[str, Any]:
    body = workload("DaemonSet", **spec)
    body["spec"]["template"]["spec"]["nodeSelector"] = {"fleet": api.namespace}
    return body


def daemons(api: Api, *, desired: int, updated: int, available: int, strays: int = 0, generation: int = 1) -> Answer:
    """Waits until all numbers of the status are these, each desired pod is there, and compares what else is in it."""
    wanted = {
        "desiredNumberScheduled": desired,
        "currentNumberScheduled": desired,
        "updatedNumberScheduled": updated,
        "numberReady": available,
        "numberAvailable": available,
        "numberUnavailable": desired - available,
        "numberMisscheduled": strays,
        "observedGeneration": generation,
    }
    return api.until(f"{DAEMONS}/web", lambda found: all(found["status"].get(key, 0) == wanted[key] for key in wanted))


@scenario(finish=no_nodes)
def test_a_daemon_set_follows_the_nodes(api: Api) -> None:
    node(api, 1)
    api.post(DAEMONS, daemon(api))
    daemons(api, desired=1, updated=1, available=0)
    api.until("pods", lambda found: found["items"][0]["spec"]["nodeName"], keep=False)
    listed(api, "pods")
    ready(api, 1)
    daemons(api, desired=1, updated=1, available=1)
    node(api, 2)
    daemons(api, desired=2, updated=2, available=1)
    api.until("pods", lambda found: all(pod["spec"].get("nodeName") for pod in found["items"]), keep=False)
    ready(api, 2)
    daemons(api, desired=2, updated=2, available=2)
    api.patch(f"{NODES}/{api.namespace}-2", {"spec": {"unschedulable": True}}, keep=False)
    api.patch(f"{NODES}/{api.namespace}-1", {"metadata": {"labels": {"fleet": None}}}, keep=False)
    daemons(api, desired=1, updated=1, available=1, strays=1)
    api.delete("pods?gracePeriodSeconds=0", keep=False)
    daemons(api, desired=1, updated=1, available=0)
    api.until("pods", lambda found: len(found["items"]) == 1 and found["items"][0]["spec"]["nodeName"], keep=False)
    listed(api, "pods")


@scenario(finish=no_nodes)
def test_a_daemon_set_is_updated_and_taken_back(api: Api) -> None:
    node(api, 1)
    node(api, 2)
    api.post(DAEMONS, daemon(api), keep=False)
    api.until("pods", lambda found: len([pod for pod in found["items"] if pod["spec"].get("nodeName")]) == 2, keep=False)
    ready(api, 2)
    daemons(api, desired=2, updated=2, available=2)
    revisions(api)
    for image, number in (("nginx:2", 2), ("nginx:1", 3)):
        change = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}}
        api.patch(f"{DAEMONS}/web", change, "strategic", keep=False)
        for updated in (1, 2):
            going(api)
            daemons(api, desired=2, updated=updated, available=1, generation=number)
            ready(api, 2)
        daemons(api, desired=2, updated=2, available=2, generation=number)
        revisions(api)


def revisions(api: Api) -> None:
    found = api.get("apps/v1/controllerrevisions", keep=False)["items"]
    told = [{key: value for key, value in one.items() if key not in ("kind", "apiVersion")} for one in found]
    api.note("revisions", sorted(told, key=lambda one: one["data"]["spec"]["template"]["spec"]["containers"][0]["image"]))


@scenario
def test_eviction(api: Api) -> None:
    spec = workload("ReplicaSet")["spec"]["template"]["spec"]
    for name in ("a", "b"):
        api.post("pods", {"metadata": {"name": name}, "spec": {**spec, "nodeName": nowhere()}}, keep=False)
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a"}}
    api.post("pods/a/eviction?dryRun=All", body)
    api.post("pods/a/eviction", body)
    found = api.get("pods/a", keep=False)
    api.note("evicted", [found["metadata"].get("deletionGracePeriodSeconds"), conditions(found)])
    api.post("pods/b/eviction", {**body, "metadata": {"name": "b"}, "deleteOptions": {"gracePeriodSeconds": 0}})
    api.get("pods/b")
    api.post("pods/none/eviction", {**body, "metadata": {"name": "none"}})
    api.post("pods/a/eviction", {**body, "metadata": {"name": "b"}})


def conditions(pod: Answer) -> list[Any]:
    kept = ("type", "status", "reason", "message")
    found = pod["status"].get("conditions", [])
    return [{key: one.get(key) for key in kept} for one in found if one["type"] == "DisruptionTarget"]
