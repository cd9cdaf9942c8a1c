"""What the API says of itself."""

from __future__ import annotations

import json
from typing import Any

from differential.conversation import Api
from differential.scenario import scenario

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
GROUPS = ("apps", "coordination.k8s.io", "apiextensions.k8s.io")
SERVED = {
    "api/v1": ("configmaps", "events", "namespaces", "nodes", "pods", "secrets", "serviceaccounts"),
    "apis/apps/v1": ("controllerrevisions", "daemonsets", "deployments", "replicasets"),
    "apis/coordination.k8s.io/v1": ("leases",),
    "apis/apiextensions.k8s.io/v1": ("customresourcedefinitions",),
}
NOT_SERVED = ("attach", "ephemeralcontainers", "exec", "log", "portforward", "proxy", "resize")
"""Subresources of pods and nodes that are not listed here."""


@scenario
def test_resource_lists(api: Api) -> None:
    for path, plurals in SERVED.items():
        found = api.get(f"/{path}", keep=False)
        api.note(f"{path}: head", {key: value for key, value in found.body.items() if key != "resources"})
        listed = [_plain(one) for one in found["resources"] if _wanted(one["name"], plurals)]
        api.note(f"{path}: resources", sorted(listed, key=lambda one: str(one["name"])))


def _wanted(name: str, plurals: tuple[str, ...]) -> bool:
    plural, _, subresource = name.partition("/")
    return plural in plurals and subresource not in NOT_SERVED


def _plain(resource: dict[str, Any]) -> dict[str, Any]:
    """A server's hash of how it stores them is its own affair."""
    return {key: value for key, value in resource.items() if key != "storageVersionHash"}


@scenario
def test_groups(api: Api) -> None:
    for group in GROUPS:
        api.get(f"/apis/{group}")
    found = api.get("/apis", keep=False)
    listed = {one["name"]: one for one in found["groups"]}
    api.note("groups", [listed.get(group) for group in GROUPS])
    found = api.get("/api", keep=False)
    api.note("versions", [found["kind"], found["versions"]])


@scenario
def test_aggregated_discovery(api: Api) -> None:
    for path in ("/api", "/apis"):
        found = api.get(path, accept=AGGREGATED, keep=False)
        api.note("head", [found.code, found.headers, found["kind"], found["apiVersion"]])
        for item in sorted(found["items"], key=lambda item: str(item["metadata"].get("name", ""))):
            group = item["metadata"].get("name", "")
            for version in item["versions"]:
                plurals = SERVED.get(f"apis/{group}/{version['version']}" if group else f"api/{version['version']}")
                if plurals:
                    api.note(
                        f"{group}/{version['version']}",
                        [_whole(one) for one in version["resources"] if one["resource"] in plurals],
                    )


def _whole(resource: dict[str, Any]) -> dict[str, Any]:
    below = [one for one in resource.get("subresources", []) if one["subresource"] not in NOT_SERVED]
    return {**resource, "subresources": sorted(below, key=lambda one: str(one["subresource"]))}


@scenario
def test_health_and_version(api: Api) -> None:
    for path in ("/healthz", "/livez", "/readyz"):
        api.get(path)
    found = api.get("/version", keep=False)
    api.note(
        "version",
        [
            found.code,
            found.headers,
            sorted(set(found.body) - {"emulationMajor", "emulationMinor"} - {"minCompatibilityMajor", "minCompatibilityMinor"}),
        ],
    )


@scenario
def test_openapi(api: Api) -> None:
    found = _document(api, "/openapi/v3")
    api.note("paths", [path for path in SERVED if path in found["paths"]])
    for path in SERVED:
        found = _document(api, f"/openapi/v3/{path}")
        api.note(path, [found["openapi"], found["info"]["title"]])


def _document(api: Api, path: str) -> Any:
    """Kubernetes does not always say that it is JSON."""
    found = api.get(path, keep=False).body
    return json.loads(found) if isinstance(found, str) else found
