"""What the API serves, told in the three ways in which clients ask: legacy, aggregated, and the version."""

from __future__ import annotations

import base64
import hashlib
import platform
from typing import Any, Final

from cloudcore.apiserver.kinds import Kind
from cloudcore.apiserver.registry import Registry
from kube.objects import Object

VERSION: Final = {"major": "1", "minor": "32", "gitVersion": "v1.32.0+edgecore"}
"""The version of Kubernetes whose behaviour is served."""

_SUBRESOURCES: Final[dict[str, tuple[str, str, str, tuple[str, ...]]]] = {
    "binding": ("", "v1", "Binding", ("create",)),
    "eviction": ("policy", "v1", "Eviction", ("create",)),
    "token": ("authentication.k8s.io", "v1", "TokenRequest", ("create",)),
    "scale": ("autoscaling", "v1", "Scale", ("get", "patch", "update")),
    "finalize": ("", "v1", "Namespace", ("update",)),
}


def version() -> Object:
    """``GET /version``."""
    return VERSION | {
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "python",
        "platform": f"linux/{platform.machine()}",
    }


def core_versions() -> Object:
    """``GET /api``."""
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def group(name: str, versions: list[str]) -> Object:
    """``GET /apis/<group>``."""
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"kind": "APIGroup", "apiVersion": "v1", "name": name, "versions": listed, "preferredVersion": listed[0]}


def groups(registry: Registry) -> Object:
    """``GET /apis``."""
    found = [group(name, versions) for name, versions in _by_group(registry) if name]
    for entry in found:
        del entry["kind"], entry["apiVersion"]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}


def _by_group(registry: Registry) -> list[tuple[str, list[str]]]:
    found: dict[str, list[str]] = {}
    for name, version_name in registry.group_versions:
        found.setdefault(name, []).append(version_name)
    return list(found.items())


def resource_list(registry: Registry, group_name: str, version_name: str) -> Object | None:
    """``GET /api/v1`` and ``GET /apis/<group>/<version>``; None when there is no such thing."""
    kinds = [kind for kind in registry if (kind.resource.group, kind.resource.version) == (group_name, version_name)]
    if not kinds:
        return None
    group_version = f"{group_name}/{version_name}" if group_name else version_name
    entries = [entry for kind in kinds for entry in _legacy(kind)]
    head = {"kind": "APIResourceList"} | ({"apiVersion": "v1"} if group_name else {})
    return {**head, "groupVersion": group_version, "resources": entries}


def _served(kind: Kind) -> list[tuple[str, Object]]:
    """(subresource, what is special about it)."""
    found: list[tuple[str, Object]] = []
    for name in kind.resource.subresources:
        if name == "status":
            found.append((name, {"kind": kind.resource.kind, "verbs": ["get", "patch", "update"]}))
        elif name in _SUBRESOURCES:
            group_name, version_name, kind_name, verbs = _SUBRESOURCES[name]
            entry: Object = {"kind": kind_name, "verbs": list(verbs)}
            if group_name:
                entry |= {"group": group_name, "version": version_name}
            found.append((name, entry))
    return found


def _legacy(kind: Kind) -> list[Object]:
    resource = kind.resource
    entry: dict[str, Any] = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    entry["storageVersionHash"] = _version_hash(kind)
    below = [
        {"name": f"{resource.plural}/{name}", "singularName": "", "namespaced": resource.namespaced, **special}
        for name, special in _served(kind)
    ]
    return [entry, *below]


def _version_hash(kind: Kind) -> str:
    """Of the stored version. Kubernetes 1.34: apiserver/pkg/endpoints/discovery/storageversionhash.go."""
    stored = f"{kind.resource.group}/{kind.stored_version.rpartition('/')[2]}/{kind.resource.kind}"
    return base64.b64encode(hashlib.sha256(stored.encode()).digest()[:8]).decode()


def aggregated(registry: Registry, *, core: bool) -> Object:
    """``APIGroupDiscoveryList`` (v2), for /api (the core group) or /apis (all others)."""
    items = []
    for group_name, version_names in _by_group(registry):
        if bool(group_name) is core:
            continue
        versions = [
            {"version": version_name, "freshness": "Current", "resources": _served_in(registry, group_name, version_name)}
            for version_name in version_names
        ]
        metadata = {"name": group_name, "creationTimestamp": None} if group_name else {"creationTimestamp": None}
        items.append({"metadata": metadata, "versions": versions})
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _served_in(registry: Registry, group_name: str, version_name: str) -> list[Object]:
    place = (group_name, version_name)
    return [_modern(kind) for kind in registry if (kind.resource.group, kind.resource.version) == place]


def _modern(kind: Kind) -> Object:
    resource = kind.resource
    scope = "Namespaced" if resource.namespaced else "Cluster"
    # Kubernetes leaves these empty where they are those of the list; clients take them from there.
    group, version = (resource.group, resource.version) if kind.unstructured else ("", "")
    entry: dict[str, Any] = {
        "resource": resource.plural,
        "responseKind": {"group": group, "version": version, "kind": resource.kind},
        "scope": scope,
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    entry["subresources"] = [
        {
            "subresource": name,
            "responseKind": {
                "group": special.get("group", group),
                "version": special.get("version", version),
                "kind": special["kind"],
            },
            "verbs": special["verbs"],
        }
        for name, special in _served(kind)
    ]
    return entry
