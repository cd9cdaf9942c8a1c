"""A custom resource for scenarios: Kilns, in a group of the scenario's own."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from differential.conversation import PATIENCE, Answer, Api

PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ANY: dict[str, Any] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def definition(api: Api, schema: dict[str, Any] | None = None, **version: Any) -> dict[str, Any]:
    """Of Kilns, in a group of the scenario's own."""
    group = f"{api.namespace}.example.com"
    one = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema or ANY}, **version}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"kilns.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": {"plural": "kilns", "kind": "Kiln"}, "versions": [one]},
    }


def established(answer: Answer) -> bool:
    return [one["status"] for one in answer["status"]["conditions"] if one["type"] == "Established"] == ["True"]


def define(api: Api, wanted: dict[str, Any]) -> None:
    """Makes a definition, and waits until its objects can be made."""
    made = api.post(PATH, wanted, keep=False)
    assert made.code == 201, made.body
    wait(api, f"{PATH}/{wanted['metadata']['name']}", established)
    wait(api, f"/apis/{wanted['spec']['group']}/v1", served)
    wait(api, f"{wanted['spec']['group']}/v1/kilns", served)


def served(answer: Answer) -> bool:
    return answer.code == 200


def listed_versions(api: Api, number: int) -> Answer:
    """The group of the scenario as a step, once it lists all versions: in Kubernetes they come one by one."""
    return api.until(f"/apis/{api.namespace}.example.com", lambda found: len(found["versions"]) == number)


def wait(api: Api, path: str, condition: Callable[[Answer], Any], **options: Any) -> Answer:
    """Waits until the condition holds of what is at ``path``; none of it is a step."""
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = api.get(path, keep=False, **options)
        try:
            if condition(answer):
                return answer
        except (KeyError, IndexError, TypeError):
            pass
        assert time.monotonic() < deadline, f"{path} stays {answer}"
        time.sleep(0.03)


def forget(api: Api) -> None:
    """What a scenario has defined goes away again."""
    for one in api.get(PATH, keep=False)["items"]:
        if one["spec"]["group"].endswith(f"{api.namespace}.example.com"):
            api.delete(f"{PATH}/{one['metadata']['name']}", keep=False)
