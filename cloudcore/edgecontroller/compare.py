"""What to tell a node about one object: its desired state against what the node is recorded to have. Pure.

Level-triggered: the same question may be asked at any time and any number of times; the answer depends on the two states only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from beehive.message import Operation
from beehive.resource import Resource
from cloudcore.edgecontroller.location import CLUSTER, CONFIG_MAP, NODE, POD, SECRET
from kube import objects
from kube.objects import Object

KINDS: Final[Mapping[str, tuple[str, str]]] = {
    POD: ("v1", "Pod"),
    NODE: ("v1", "Node"),
    CONFIG_MAP: ("v1", "ConfigMap"),
    SECRET: ("v1", "Secret"),
}
"""Word of the resource path -> apiVersion and kind."""


UNSENT: Final = "0"
"""The version of a record whose object was never acknowledged (KubeEdge's own word for it)."""


@dataclass(frozen=True)
class Recorded:
    """One object that a node has, as the node last confirmed it. version: its resourceVersion, "0" when only sent."""

    uid: str
    version: str


@dataclass(frozen=True)
class Decision:
    """One message to send. uid and version say what is recorded once it is acknowledged."""

    operation: str
    content: Object
    uid: str
    version: str
    fingerprint: bytes


def path_of(type_: str, obj: Object) -> Resource:
    return Resource(objects.namespace(obj) or CLUSTER, type_, objects.name(obj))


def trimmed(type_: str, obj: Object) -> Object:
    """The object as it travels: kind and apiVersion filled in, ``managedFields`` left out (nobody at the edge reads them)."""
    api_version, kind = KINDS[type_]
    kept = {key: value for key, value in objects.metadata(obj).items() if key != "managedFields"}
    return {"kind": kind, "apiVersion": api_version} | obj | {"metadata": kept}


def fingerprint(type_: str, obj: Object) -> bytes:
    """Equal for two versions that differ in nothing that the node has to hear.

    Not heard: bookkeeping of the API; the status of a pod, which the node itself writes and which would come back as an echo
    (KubeEdge 1.23: cloud/pkg/edgecontroller/controller/downstream.go, isPodUpdated), but for one thing that another writes
    there; the times of a node's heartbeats.
    """
    view = dict(obj)
    view["metadata"] = {
        key: value
        for key, value in objects.metadata(obj).items()
        if key not in ("managedFields", "resourceVersion", "generation")
    }
    if type_ == POD:
        view.pop("status", None)
        view["doubted"] = _doubted(objects.status(obj))
    elif type_ == NODE:
        view["status"] = _without_heartbeats(objects.status(obj))
    text = msgspec.json.encode(view, order="sorted")
    return hashlib.blake2b(text, digest_size=16).digest()


def _doubted(status: dict[str, Any]) -> bool:
    """The node lifecycle controller of Kubernetes says of the pods of a silent node that they are not Ready, whatever their
    containers do (pkg/controller/util/node/controller_utils.go, MarkPodsNotReady), and never takes it back: only the node does,
    and it has to hear of it. A pod whose readiness gates are closed looks alike but for the reason."""
    ready, containers = _condition(status, "Ready"), _condition(status, "ContainersReady")
    return ready.get("status") == "False" and containers.get("status") == "True" and not ready.get("reason")


def _condition(status: dict[str, Any], type_: str) -> dict[str, Any]:
    conditions = status.get("conditions")
    known = conditions if isinstance(conditions, list) else []
    return next((one for one in known if isinstance(one, dict) and one.get("type") == type_), {})


def _without_heartbeats(status: dict[str, Any]) -> dict[str, Any]:
    conditions = status.get("conditions")
    if not isinstance(conditions, list):
        return status
    return status | {
        "conditions": [
            {key: value for key, value in one.items() if key != "lastHeartbeatTime"} if isinstance(one, dict) else one
            for one in conditions
        ]
    }


def tombstone(type_: str, path: Resource, uid: str) -> Object:
    """The body of a deletion when the object itself is no longer known (protocol message D8, here with its kind)."""
    api_version, kind = KINDS.get(type_, ("v1", ""))
    meta = {"name": path.name, "uid": uid}
    if path.namespace != CLUSTER:
        meta["namespace"] = path.namespace
    return {"kind": kind, "apiVersion": api_version, "metadata": meta}


def decide(
    path: Resource,
    wanted: Object | None,
    recorded: Mapping[str, Recorded],
    sent: tuple[str, bytes] | None,
    last: Object | None = None,
) -> Decision | None:
    """The next message about ``path``, or None when the node has what it should have, or is being told.

    recorded: by uid, everything that the node has under this path. sent: uid and fingerprint of what this session sent last
    (fingerprint empty: a deletion), None if nothing. last: the newest known version of a deleted object, for the body of its
    deletion. A pod that was deleted and made again under the same name gives the deletion first; ask again when it is
    acknowledged. The deletion of a node is never sent (protocol message D6): its session ends instead.
    """
    uid = objects.uid(wanted) if wanted is not None else ""
    strangers = [one for one in recorded if one != uid]
    if strangers and (path.type == POD or (wanted is None and path.type != NODE)):
        return _deletion(path, strangers[0], sent, last)
    return _version(path, wanted, recorded.get(uid), sent) if wanted is not None else None


def _deletion(path: Resource, uid: str, sent: tuple[str, bytes] | None, last: Object | None) -> Decision | None:
    if sent == (uid, b""):
        return None
    body = last if last is not None and objects.uid(last) == uid else None
    content = trimmed(path.type, body) if body is not None else tombstone(path.type, path, uid)
    return Decision(Operation.DELETE, content, uid, objects.resource_version(content), b"")


def _version(path: Resource, wanted: Object, known: Recorded | None, sent: tuple[str, bytes] | None) -> Decision | None:
    uid, version, mark = objects.uid(wanted), objects.resource_version(wanted), fingerprint(path.type, wanted)
    if sent == (uid, mark) or (sent is None and known is not None and known.version == version):
        return None
    new = known is None or known.version == UNSENT
    operation = Operation.INSERT if new and path.type in (POD, CONFIG_MAP) else Operation.UPDATE
    return Decision(operation, trimmed(path.type, wanted), uid, version, mark)
