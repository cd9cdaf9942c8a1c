"""Brings objects into a cluster: makes what is missing, changes what differs, leaves the rest of each object alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final, Literal

from keadm.manifest import merged_definition
from kube import objects
from kube.client import Client
from kube.objects import Object
from kube.resources import CUSTOM_RESOURCE_DEFINITIONS, Resource, by_kind
from kube.status import AlreadyExists, ApiError, NotFound

MANAGER: Final = "keadm"
"""Owner of what is applied, as the API server notes it (server-side apply)."""
RBAC: Final = "rbac.authorization.k8s.io"
OTHERS: Final = (
    Resource("", "v1", "Service", "services", "service", True),
    Resource("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", "networkpolicy", True),
    Resource("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", "poddisruptionbudget", True),
    Resource(RBAC, "v1", "ClusterRole", "clusterroles", "clusterrole", False),
    Resource(RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings", "clusterrolebinding", False),
    Resource(RBAC, "v1", "Role", "roles", "role", True),
    Resource(RBAC, "v1", "RoleBinding", "rolebindings", "rolebinding", True),
)
"""Beside the kinds that kube.resources knows."""
Outcome = Literal["created", "changed", "unchanged"]


def resource_of(obj: Object) -> Resource:
    """Where the API serves objects of this kind."""
    version, kind = obj["apiVersion"], obj["kind"]
    found = by_kind(version, kind) or by_kind(version, kind, among=OTHERS)
    assert found is not None, f"{version} {kind}"  # noqa: S101 - the manifests are ours
    return found


async def look(client: Client, obj: Object) -> Object | None:
    """The object as it is in the cluster, if it is there. Raises ApiError."""
    try:
        return await client.get(resource_of(obj), objects.name(obj), namespace=objects.namespace(obj))
    except NotFound:
        return None


async def apply(client: Client, obj: Object, *, dry_run: bool = False) -> Outcome:
    """One object. Raises ApiError."""
    before = await look(client, obj)
    if resource_of(obj) is CUSTOM_RESOURCE_DEFINITIONS:
        obj = merged_definition(obj, before)
    if before is None and dry_run:
        return "created"
    after = await _write(client, obj, before, dry_run=dry_run)
    if before is None:
        return "created"
    same = objects.resource_version(after) == objects.resource_version(before) and not dry_run
    return "unchanged" if same or _alike(before, after) else "changed"


async def apply_all(client: Client, wanted: Iterable[Object], *, dry_run: bool = False) -> Counter[Outcome]:
    """In their order; how many of which outcome. Raises ApiError, which names the object."""
    outcomes: Counter[Outcome] = Counter()
    for obj in wanted:
        outcomes[await apply(client, obj, dry_run=dry_run)] += 1
    return outcomes


async def _write(client: Client, obj: Object, before: Object | None, *, dry_run: bool) -> Object:
    """Server-side apply, which also takes away what an earlier version has brought; where the API has none, a merge."""
    resource, name, space = resource_of(obj), objects.name(obj), objects.namespace(obj)
    query = {"fieldManager": MANAGER, "force": "true"} | ({"dryRun": "All"} if dry_run else {})
    try:
        return await client.request(
            "PATCH", resource.path(space, name), query=query, body=obj, content_type="application/apply-patch+yaml"
        )
    except ApiError as error:
        if error.code != 415:
            raise
    if dry_run:
        return before or obj
    if before is None:
        try:
            return await client.create(resource, obj, namespace=space)
        except AlreadyExists:
            pass
    return await client.patch(resource, name, obj, kind="merge", namespace=space)


def _alike(before: Object, after: Object) -> bool:
    """The same but for who wrote it when."""
    volatile = ("managedFields", "resourceVersion", "generation")

    def plain(obj: Object) -> Object:
        meta = {key: value for key, value in obj["metadata"].items() if key not in volatile}
        return {**{key: value for key, value in obj.items() if key != "status"}, "metadata": meta}

    return plain(before) == plain(after)
