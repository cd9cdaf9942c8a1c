"""May this user do all of it? Asked before anything is changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import trio

from keadm.apply import resource_of
from kube import objects
from kube.client import Client
from kube.objects import Object
from kube.resources import Resource
from kube.status import ApiError

REVIEWS = Resource(
    "authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", "selfsubjectaccessreview", False
)
VERBS = ("get", "create", "patch")


async def missing_rights(client: Client, wanted: Sequence[Object]) -> list[str]:
    """What the API would refuse, as "get, create configmaps, deployments.apps in kubeedge". Nothing where the API has no such
    reviews. Raises ApiError."""
    questions = {(verb, objects.namespace(obj), resource_of(obj)) for obj in wanted for verb in VERBS}
    refused: set[tuple[str, str, str]] = set()
    failures: list[ApiError] = []

    async def ask(verb: str, namespace: str, resource: Resource) -> None:
        try:
            if not await _allowed(client, verb, namespace, resource):
                refused.add((namespace, resource.qualified, verb))
        except ApiError as error:
            failures.append(error)

    async with trio.open_nursery() as nursery:
        for question in questions:
            nursery.start_soon(ask, *question)
    if failures:
        raise failures[0]
    return _said(refused)


def _said(refused: set[tuple[str, str, str]]) -> list[str]:
    """Resources of one namespace that lack the same verbs go together: without any rights it is three times fourteen."""
    lacking: dict[tuple[str, str], list[str]] = defaultdict(list)
    for namespace, resource in sorted({(namespace, resource) for namespace, resource, _ in refused}):
        verbs = ", ".join(verb for verb in VERBS if (namespace, resource, verb) in refused)
        lacking[namespace, verbs].append(resource)
    return [
        f"{verbs} {', '.join(resources)}{f' in {namespace}' if namespace else ''}"
        for (namespace, verbs), resources in lacking.items()
    ]


async def _allowed(client: Client, verb: str, namespace: str, resource: Resource) -> bool:
    about = {"verb": verb, "group": resource.group, "resource": resource.plural, "namespace": namespace}
    body = {"apiVersion": REVIEWS.api_version, "kind": REVIEWS.kind, "spec": {"resourceAttributes": about}}
    try:
        answer = await client.create(REVIEWS, body)
    except ApiError as error:
        if error.code in (404, 405):
            return True
        raise
    return bool((answer.get("status") or {}).get("allowed"))
