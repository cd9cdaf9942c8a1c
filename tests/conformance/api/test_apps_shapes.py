"""Deployments, ReplicaSets, DaemonSets as objects: defaults, rules, generations, scale, tables."""

from __future__ import annotations

from typing import Any

import pytest
from differential.conversation import Answer, Api
from differential.scenario import scenario
from differential.workloads import listed, workload

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PLURALS = {"Deployment": "deployments", "ReplicaSet": "replicasets", "DaemonSet": "daemonsets"}


@pytest.mark.parametrize("kind", list(PLURALS))
@scenario
def test_numbers_that_are_too_large(api: Api, kind: str) -> None:
    plural, text = f"apps/v1/{PLURALS[kind]}", {"body.message": "decoder-texts"}
    api.post(plural, workload(kind, minReadySeconds=2**31), differs=text)
    large = workload(kind)
    large["spec"]["template"]["spec"] |= {"terminationGracePeriodSeconds": 2**40, "priority": 2**31}
    api.post(plural, large, differs=text)
    del large["spec"]["template"]["spec"]["priority"]
    api.post(plural + "?dryRun=All", large)


@pytest.mark.parametrize("kind", list(PLURALS))
@scenario
def test_what_is_filled_in(api: Api, kind: str) -> None:
    plural = f"apps/v1/{PLURALS[kind]}"
    api.post(plural, workload(kind))
    rich = workload(kind, "rich", minReadySeconds=5, revisionHistoryLimit=3)
    rich["spec"]["template"]["spec"] |= {
        "serviceAccountName": "robot",
        "hostNetwork": True,
        "initContainers": [{"name": "i", "image": "x", "resources": {"limits": {"cpu": "1"}}}],
        "volumes": [{"name": "v", "configMap": {"name": "m"}}],
        "tolerations": [{"key": "a", "operator": "Exists"}],
    }
    container = rich["spec"]["template"]["spec"]["containers"][0]
    container |= {"ports": [{"containerPort": 80}], "livenessProbe": {"httpGet": {"port": 80}}}
    api.post(plural + "?dryRun=All", rich)
    table(api, plural)
    for where in ("", "/status"):
        api.get(f"{plural}/none{where}")


def table(api: Api, plural: str) -> None:
    """What kubectl prints, without the words that explain the columns."""
    found = api.get(f"{plural}?includeObject=None", accept=TABLE, keep=False)
    columns = [{key: value for key, value in column.items() if key != "description"} for column in found["columnDefinitions"]]
    api.note(f"table of {plural}", [columns, [{"cells": row["cells"]} for row in found["rows"]]])


FAULTS: dict[str, dict[str, Any]] = {
    "no selector": {"selector": None},
    "empty selector": {"selector": {}},
    "other labels": {"selector": {"matchLabels": {"app": "other"}}},
    "odd selector": {"selector": {"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "a", "operator": "Near"}]}},
    "selector without values": {"selector": {"matchExpressions": [{"key": "app", "operator": "In"}]}},
    "bad label": {"selector": {"matchLabels": {"app": "web", "-": "?"}}},
    "negative": {"minReadySeconds": -1},
    "no template": {"template": None},
    "no containers": {"template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}}},
    "once": {
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"restartPolicy": "Never", "activeDeadlineSeconds": 5, "containers": [{"name": "c", "image": "x"}]},
        }
    },
}
STRATEGIES: list[dict[str, Any]] = [
    {"type": "Blue"},
    {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}},
    {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}},
    {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}},
    {"rollingUpdate": {"maxSurge": "a lot", "maxUnavailable": "101%"}},
    {"rollingUpdate": {"maxSurge": "5%", "maxUnavailable": -1}},
]


@pytest.mark.parametrize("kind", list(PLURALS))
@scenario
def test_what_is_wrong(api: Api, kind: str) -> None:
    for fault in FAULTS.values():
        api.post(f"apps/v1/{PLURALS[kind]}", workload(kind, **fault))
    if kind == "Deployment":
        more: list[dict[str, Any]] = [{"strategy": strategy} for strategy in STRATEGIES]
        more += [{"progressDeadlineSeconds": 10, "minReadySeconds": 10}, {"replicas": -1}, {"revisionHistoryLimit": -1}]
    else:
        more = [{"replicas": -1}] if kind == "ReplicaSet" else [{"updateStrategy": strategy} for strategy in STRATEGIES]
    for fault in more:
        api.post(f"apps/v1/{PLURALS[kind]}", workload(kind, **fault))
    named = workload(kind)
    named["metadata"]["name"] = "Upper_Case"
    api.post(f"apps/v1/{PLURALS[kind]}", named)


@pytest.mark.parametrize("kind", list(PLURALS))
@scenario
def test_generations(api: Api, kind: str) -> None:
    place = f"apps/v1/{PLURALS[kind]}"
    api.post(place, workload(kind))
    place += "/web"
    changes: list[dict[str, Any]] = [
        {"metadata": {"labels": {"a": "b"}}},
        {"spec": {"minReadySeconds": 3}},
        {"metadata": {"annotations": {"a": "b"}}},
        {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "nginx:2"}]}}}},
    ]
    for change in changes:
        api.until(place, at_rest)
        api.patch(place, change, "strategic", keep=False)
    api.until(place, at_rest)
    api.patch(place, {"spec": {"selector": {"matchLabels": {"app": "x"}}}})
    if kind == "Deployment":
        api.until("apps/v1/replicasets", _all_observed, keep=False)
        listed(api, "apps/v1/replicasets")


def at_rest(found: Answer) -> bool:
    """Its controller has nothing more to say of it."""
    if found["status"]["observedGeneration"] != found["metadata"]["generation"]:
        return False
    return found["kind"] != "Deployment" or "NewReplicaSetAvailable" in [one["reason"] for one in found["status"]["conditions"]]


def _all_observed(found: Answer) -> bool:
    return all(item["status"]["observedGeneration"] == item["metadata"]["generation"] for item in found["items"])


@pytest.mark.parametrize("kind", ["Deployment", "ReplicaSet"])
@scenario
def test_scale(api: Api, kind: str) -> None:
    place = f"apps/v1/{PLURALS[kind]}"
    api.post(
        place,
        workload(kind, selector={"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "app", "operator": "Exists"}]}),
    )
    place += "/web"
    api.until(place, at_rest, keep=False)
    found = api.get(f"{place}/scale")
    same = {"body.metadata.resourceVersion": "no-server-side-apply"}  # a change of managedFields alone makes a version there
    api.put(f"{place}/scale", found.body, differs=same)
    api.patch(f"{place}/scale", {"spec": {"replicas": -1}})
    api.patch(f"{place}/scale", {"spec": {"replicas": None}}, differs=same)
    api.patch(f"{place}/scale", {"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 0}})
    api.patch(f"{place}/scale", [{"op": "replace", "path": "/spec/replicas", "value": 0}], "json", differs=same)
    api.put(f"{place}/scale", {"metadata": {"name": "other"}, "spec": {"replicas": 0}})
    for wrong in ("many", 2**31, 2**70):
        api.put(f"{place}/scale", {"spec": {"replicas": wrong}}, differs={"body.message": "decoder-texts"})
    api.get(f"apps/v1/{PLURALS[kind]}/none/scale")


@scenario
def test_discovery(api: Api) -> None:
    found = api.get("/apis/apps/v1", keep=False)
    ours = ("controllerrevisions", "daemonsets", "deployments", "replicasets")
    served = [entry for entry in found["resources"] if entry["name"].partition("/")[0] in ours]
    api.note("apps/v1", [{key: entry[key] for key in entry if key != "storageVersionHash"} for entry in served])


@scenario
def test_controller_revisions(api: Api) -> None:
    place = "apps/v1/controllerrevisions"
    api.post(place, b'{"metadata":{"name":"r"},"data":{"a":[1]},"revision":1}')  # Kubernetes keeps the data byte by byte
    api.post(place, {"metadata": {"name": "s"}, "revision": -1})
    api.patch(f"{place}/r", {"data": {"a": 2}})
    api.patch(f"{place}/r", {"revision": 7})
    table(api, place)
