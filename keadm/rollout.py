"""Waits until cloudcore runs, and says what keeps it from running."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import trio

from kube import objects
from kube.client import Client
from kube.objects import Object
from kube.resources import CUSTOM_RESOURCE_DEFINITIONS, DEPLOYMENTS, PODS
from kube.status import ApiError

EVERY = 0.5
TOLD_EVERY = 15.0
"""Seconds between looks at what keeps it from running, while there is still hope."""
ESTABLISHED = 30.0
NAMESPACE, NAME = "kubeedge", "cloudcore"


async def established(client: Client, names: list[str]) -> None:
    """Returns when the API serves the definitions' objects. Raises ApiError, trio.TooSlowError."""
    with trio.fail_after(ESTABLISHED):
        for name in names:
            await _established(client, name)


async def _established(client: Client, name: str) -> None:
    while True:
        if _condition(await client.get(CUSTOM_RESOURCE_DEFINITIONS, name), "Established"):
            return
        await trio.sleep(EVERY)


async def rolled_out(client: Client, seconds: float, tell: Callable[[str], None]) -> str:
    """Returns "" when all pods are new and available, else after ``seconds`` what is known of why they are not. ``tell`` gets
    to know that earlier, whenever it changes.

    A refusal or silence of the API is waited out: its servers may be what is being rolled out.
    """
    trouble, told, next_look = "", "", trio.current_time() + TOLD_EVERY
    with trio.move_on_after(seconds):
        while True:
            try:
                deployment = await client.get(DEPLOYMENTS, NAME, namespace=NAMESPACE)
            except ApiError as error:
                trouble = str(error)
            else:
                if complete(deployment):
                    return ""
                trouble = ""
            if trio.current_time() >= next_look:
                next_look += TOLD_EVERY
                why = trouble or await _why(client)
                if why != told:
                    tell(f"not yet: {why}")
                    told = why
            await trio.sleep(EVERY)
    return trouble or await _why(client)


def complete(deployment: Object) -> bool:
    """As `kubectl rollout status` judges."""
    status, wanted = deployment.get("status") or {}, deployment["spec"].get("replicas", 1)
    return bool(
        status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
        and status.get("updatedReplicas", 0) == wanted
        and status.get("replicas", 0) == wanted
        and status.get("availableReplicas", 0) == wanted
    )


async def _why(client: Client) -> str:
    try:
        with trio.fail_after(10):
            pods = await client.list(PODS, namespace=NAMESPACE, label_selector="k8s-app=kubeedge,kubeedge=cloudcore")
            deployment = await client.get(DEPLOYMENTS, NAME, namespace=NAMESPACE)
    except (ApiError, trio.TooSlowError) as error:
        return str(error) or "the Kubernetes API does not answer"
    reasons = [f"pod {objects.name(pod)}: {reason}" for pod in newest(pods.items) if (reason := reason_of(pod))][:1]
    reasons += [
        condition.get("message", "")
        for condition in (deployment.get("status") or {}).get("conditions") or ()
        if condition.get("type") == "ReplicaFailure"
    ]
    return "; ".join(reasons) or "no pod says why"


def newest(pods: Sequence[Object]) -> list[Object]:
    """Those of the newest template: what keeps the older ones is of no interest any more."""
    hashes = [objects.labels(pod).get("pod-template-hash") for pod in pods]
    made = [str(pod["metadata"].get("creationTimestamp", "")) for pod in pods]
    latest = max(zip(made, hashes, strict=True), default=("", None), key=lambda one: one[0])[1]
    return [pod for pod, hash_ in zip(pods, hashes, strict=True) if hash_ == latest]


def reason_of(pod: Object) -> str:
    """Why a pod is not ready, in one line; "" when it is or says nothing."""
    status = pod.get("status") or {}
    if _condition(pod, "Ready"):
        return ""
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"it fits on no node: {condition.get('message', condition.get('reason', ''))}"
    return next(_containers(status), "it runs, but /readyz does not say ok" if status.get("phase") == "Running" else "")


def _containers(status: dict[str, Any]) -> Iterator[str]:
    for container in status.get("containerStatuses") or ():
        waiting = (container.get("state") or {}).get("waiting") or {}
        ended = (container.get("lastState") or {}).get("terminated") or {}
        if waiting.get("reason") not in (None, "ContainerCreating"):
            # the manifests have kubelet put the end of the log there
            words = str(ended.get("message") or "").strip().splitlines() or [f"exit code {ended.get('exitCode')}"]
            yield f"{waiting['reason']}: {words[-1] if ended else waiting.get('message', '')}".rstrip(": ")


def _condition(obj: Object, type_: str) -> bool:
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return any(one.get("type") == type_ and one.get("status") == "True" for one in conditions)
