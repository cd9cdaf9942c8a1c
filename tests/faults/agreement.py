"""Whether API server, records and nodes agree in the end. Pure: what differs, as text.

What belongs on a node is worked out here once more, apart from the code that is tested.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from edges.fleet import FleetState
from edges.simulated import container_id, essence

Object = dict[str, Any]
Stored = dict[str, list[str]]


def references(pod: Object) -> set[str]:
    """Wire resources of the ConfigMaps and Secrets that a pod refers to, by any of the ways that the workload uses."""
    space, spec, found = pod["metadata"]["namespace"], pod["spec"], set()
    for volume in spec.get("volumes", []):
        for source in [volume, *volume.get("projected", {}).get("sources", [])]:
            if "configMap" in source:
                found.add(f"{space}/configmap/{source['configMap']['name']}")
            if "secret" in source:
                found.add(f"{space}/secret/{source['secret'].get('secretName') or source['secret'].get('name')}")
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        for one in container.get("envFrom", []):
            if "configMapRef" in one:
                found.add(f"{space}/configmap/{one['configMapRef']['name']}")
            if "secretRef" in one:
                found.add(f"{space}/secret/{one['secretRef']['name']}")
    return found


def wanted(pods: Iterable[Object], others: dict[str, Object]) -> dict[str, dict[str, Object]]:
    """Node -> wire resource -> object. others: ConfigMaps and Secrets by wire resource."""
    nodes: dict[str, dict[str, Object]] = {}
    for pod in pods:
        if not (name := pod["spec"].get("nodeName")):
            continue
        has = nodes.setdefault(name, {})
        has[f"{pod['metadata']['namespace']}/pod/{pod['metadata']['name']}"] = pod
        has |= {path: others[path] for path in references(pod) if path in others}
    return nodes


def differences(
    pods: list[Object], others: dict[str, Object], records: list[Object], state: FleetState, *, most: int = 8
) -> list[str]:
    """Between what the API holds and what the nodes, the records and the statuses say; empty when all agree."""
    should = wanted(pods, others)
    found = [*_unfinished(pods, state), *_records(should, records)]
    for node, stored in state.stored.items():
        found += _on_node(node, should.get(node, {}), stored)
    return found[:most] + ([f"and {len(found) - most} more"] if len(found) > most else [])


def _unfinished(pods: list[Object], state: FleetState) -> list[str]:
    wrong = []
    for pod in pods:
        name, uid, status = pod["metadata"]["name"], pod["metadata"]["uid"], pod["status"]
        ready = {one["type"]: one["status"] for one in status.get("conditions", [])}.get("Ready")
        containers = [(one.get("containerID"), one["restartCount"]) for one in status.get("containerStatuses", [])]
        if "deletionTimestamp" in pod["metadata"]:
            wrong.append(f"pod {name} is still being deleted; its node said {state.told.get(uid)!r}")
        elif (status.get("phase"), ready) != ("Running", "True"):
            where, told = pod["spec"].get("nodeName"), state.told.get(uid)
            wrong.append(f"pod {name} on {where} is {status.get('phase')}, its node said {told!r}")
        elif containers != [(container_id(uid), 0)]:
            wrong.append(f"pod {name} ({uid}) has the containers {containers}")
    known = {pod["metadata"]["uid"] for pod in pods}
    return wrong + [f"a node holds pod {uid}, which is gone" for uid in state.told.keys() - known]


def _on_node(node: str, should: dict[str, Object], stored: Stored) -> list[str]:
    has = {path: entry for path, entry in stored.items() if "/node/" not in path}
    wrong = [f"{node} lacks {path}" for path in should.keys() - has.keys()]
    wrong += [f"{node} still has {path}" for path in has.keys() - should.keys()]
    for path in should.keys() & has.keys():
        uid, version, print_ = has[path]
        meta = should[path]["metadata"]
        if (uid, print_) != (meta["uid"], essence(should[path])):
            there = f"{meta['uid']} in {meta['resourceVersion']}"
            wrong.append(f"{node} has {path} as {uid} in version {version}, the API as {there}")
    return wrong


def _records(should: dict[str, dict[str, Object]], records: list[Object]) -> list[str]:
    """One record per object and node, with the very version of the API."""
    expected = {
        f"{node}.{obj['metadata']['uid']}": (path, obj["metadata"]["resourceVersion"])
        for node, paths in should.items()
        for path, obj in paths.items()
    }
    written = {one["metadata"]["name"]: one for one in records}
    wrong = [f"no record {name} of {expected[name][0]}" for name in expected.keys() - written.keys()]
    wrong += [f"record {name} of {written[name]['spec']} is left" for name in written.keys() - expected.keys()]
    for name in expected.keys() & written.keys():
        version = written[name].get("status", {}).get("objectResourceVersion")
        if version != expected[name][1]:
            wrong.append(f"record {name} of {expected[name][0]} says version {version}, the API {expected[name][1]}")
    return wrong
