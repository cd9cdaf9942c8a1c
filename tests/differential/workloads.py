"""Words of the scenarios about apps/v1."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from differential.conversation import PATIENCE, Answer, Api

from kube.objects import timestamp

NOWHERE = {"nodeSelector": {"no": "node"}}


def workload(kind: str, name: str = "web", **spec: Any) -> dict[str, Any]:
    """Its pods find no node."""
    body: dict[str, Any] = {
        "selector": {"matchLabels": {"app": name}},
        "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"automountServiceAccountToken": False, "containers": [{"name": "c", "image": "nginx:1"}], **NOWHERE},
        },
    }
    if kind != "DaemonSet":
        body["replicas"] = 0
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": {**body, **spec}}


def listed(api: Api, plural: str, selector: str = "", *, keep: bool = True, differs: str = "") -> list[dict[str, Any]]:
    """A step with all of them, by image, for their names are made up."""
    found = api.get(f"{plural}?labelSelector={selector}", keep=False)["items"]
    items = [{key: value for key, value in item.items() if key not in ("kind", "apiVersion")} for item in found]
    items.sort(key=lambda item: (str(item["spec"].get("template", item)["spec"]["containers"][0]["image"]), "status" in item))
    if keep and plural == "pods":  # what a scheduler says of them is another matter, and their names are made up
        told = [{**pod, "status": pod["status"]["phase"], "metadata": {**pod["metadata"], "name": ""}} for pod in items]
        api.note("pods", told, differs=differs)
    elif keep:
        api.note(f"list of {plural}", items, differs=differs)
    return items


def names_of(api: Api, plural: str) -> list[str]:
    return [item["metadata"]["name"] for item in api.get(plural, keep=False)["items"]]


def ready(api: Api, number: int) -> None:
    """Lets pods become ready, as their kubelet would, until so many are."""
    deadline = time.monotonic() + PATIENCE
    while True:
        pods = api.get("pods", keep=False)["items"]
        waiting = [pod for pod in pods if not _is_ready(pod)]
        missing = number - (len(pods) - len(waiting))
        if missing <= 0:
            return
        assert time.monotonic() < deadline, f"of {len(pods)} pods {number} were to become ready"
        for pod in waiting[:missing]:
            _make_ready(api, pod)
        if not waiting:
            time.sleep(0.05)


def _is_ready(pod: dict[str, Any]) -> bool:
    return "Ready" in str(pod.get("status", {}).get("conditions"))


def _make_ready(api: Api, pod: dict[str, Any]) -> None:
    condition = {"type": "Ready", "status": "True", "lastTransitionTime": timestamp()}
    status = {"status": {"phase": "Running", "conditions": [condition]}}
    api.patch(f"pods/{pod['metadata']['name']}/status", status, "strategic", keep=False)


def run_until(api: Api, place: str, condition: Callable[[Answer], bool]) -> None:
    """Lets every pod become ready until the object at ``place`` is as wanted; that is no step."""
    deadline = time.monotonic() + PATIENCE
    while not condition(found := api.get(place, keep=False)):
        assert time.monotonic() < deadline, f"{place} stays {found.body}"
        for pod in api.get("pods", keep=False)["items"]:
            if not _is_ready(pod):
                _make_ready(api, pod)
        time.sleep(0.05)


def going(api: Api) -> None:
    """Pods that are told to go do so, as soon as there are any."""
    deadline = time.monotonic() + PATIENCE
    while True:
        told = [pod for pod in api.get("pods", keep=False)["items"] if pod["metadata"].get("deletionTimestamp")]
        for pod in told:
            api.delete(f"pods/{pod['metadata']['name']}?gracePeriodSeconds=0", keep=False)
        if told:
            return
        assert time.monotonic() < deadline, "no pod is told to go"
        time.sleep(0.05)
