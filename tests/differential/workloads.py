"""Words of the scenarios about apps/v1."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from differential.conversation import Answer, Api

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


def ready(api: Api, number: int, image: str = "") -> None:
    """Lets pods become ready until so many are (or all of one image that are there), as their kubelet would."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        pods = [pod for pod in api.get("pods", keep=False)["items"] if image in str(pod["spec"])]
        done = [pod for pod in pods if "Ready" in str(pod.get("status", {}).get("conditions"))]
        if len(done) >= number or (image and len(done) == len(pods)):
            return
        for pod in pods[: number + len(done)]:
            if pod not in done:
                condition = {"type": "Ready", "status": "True", "lastTransitionTime": timestamp()}
                status = {"status": {"phase": "Running", "conditions": [condition]}}
                api.patch(f"pods/{pod['metadata']['name']}/status", status, "strategic", keep=False)
                done.append(pod)
                if len(done) >= number:
                    return
        time.sleep(0.05)


def run_until(api: Api, place: str, condition: Callable[[Answer], bool]) -> None:
    """Lets every pod become ready until the object at ``place`` is as wanted; that is no step."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and not condition(api.get(place, keep=False)):
        ready(api, len(names_of(api, "pods")))
        time.sleep(0.05)
