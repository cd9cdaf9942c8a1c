"""Tables: what ``kubectl get`` prints. Columns as Kubernetes 1.32: pkg/printers/internalversion/printers.go."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Final

from cloudcore.apiserver.kinds import Kind, Printer
from cloudcore.apiserver.pod_table import POD_COLUMNS, pod_cells
from cloudcore.apiserver.table_parts import age, column, duration
from kube.objects import Object, parse_timestamp

_NAME: Final = column("Name", "Name must be unique within a namespace.", format="name")
_AGE: Final = column("Age", "Time since the object was created.")
_ROLE: Final = "node-role.kubernetes.io/"


def _plain(obj: Object, now: float) -> list[Any]:
    return [obj["metadata"]["name"], age(obj, now)]


def _node(obj: Object, now: float) -> list[Any]:
    metadata, spec, status = obj["metadata"], obj.get("spec", {}), obj.get("status", {})
    ready = next((c for c in status.get("conditions", []) if c.get("type") == "Ready"), None)
    words = [{"True": "Ready"}.get(ready.get("status", ""), "NotReady") if ready else "Unknown"]
    if spec.get("unschedulable"):
        words.append("SchedulingDisabled")
    labels = metadata.get("labels", {})
    roles = {key.removeprefix(_ROLE) for key in labels if key.startswith(_ROLE) and key != _ROLE}
    roles |= {value for key, value in labels.items() if key == "kubernetes.io/role" and value}
    addresses: dict[str, str] = {}
    for address in status.get("addresses", []):
        addresses.setdefault(address.get("type", ""), address.get("address", ""))
    info = status.get("nodeInfo", {})
    return [
        metadata["name"],
        ",".join(words),
        ",".join(sorted(roles)) or "<none>",
        age(obj, now),
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP") or "<none>",
        addresses.get("ExternalIP") or "<none>",
        *(info.get(key) or "<unknown>" for key in ("osImage", "kernelVersion", "containerRuntimeVersion")),
    ]


def _namespace(obj: Object, now: float) -> list[Any]:
    return [obj["metadata"]["name"], obj.get("status", {}).get("phase", ""), age(obj, now)]


def _config_map(obj: Object, now: float) -> list[Any]:
    return [obj["metadata"]["name"], len(obj.get("data", {})) + len(obj.get("binaryData", {})), age(obj, now)]


def _secret(obj: Object, now: float) -> list[Any]:
    return [obj["metadata"]["name"], obj.get("type", ""), len(obj.get("data", {})), age(obj, now)]


def _service_account(obj: Object, now: float) -> list[Any]:
    return [obj["metadata"]["name"], len(obj.get("secrets", [])), age(obj, now)]


def _lease(obj: Object, now: float) -> list[Any]:
    return [obj["metadata"]["name"], obj.get("spec", {}).get("holderIdentity", ""), age(obj, now)]


def _definition(obj: Object, _now: float) -> list[Any]:
    return [obj["metadata"]["name"], obj["metadata"].get("creationTimestamp", "")]


def _event(obj: Object, now: float) -> list[Any]:
    about, source = obj.get("involvedObject", {}), obj.get("source", {})
    first = obj.get("firstTimestamp") or obj.get("eventTime") or ""
    last = obj.get("series", {}).get("lastObservedTime") or obj.get("lastTimestamp") or first
    target = f"{about.get('kind', '').lower()}/{about.get('name', '')}"
    origin = ", ".join(part for part in (source.get("component", ""), source.get("host", "")) if part)
    count = obj.get("series", {}).get("count") or obj.get("count") or 1
    return [
        _since(last, now),
        obj.get("type", ""),
        obj.get("reason", ""),
        target,
        about.get("fieldPath", ""),
        origin or obj.get("reportingComponent", ""),
        obj.get("message", "").strip(),
        _since(first, now),
        count,
        obj["metadata"]["name"],
    ]


def _since(text: str, now: float) -> str:

    try:
        return duration(now - parse_timestamp(text))
    except ValueError:
        return "<unknown>"


_NODE_COLUMNS: Final = (
    _NAME,
    column("Status", "The status of the node"),
    column("Roles", "The roles of the node"),
    _AGE,
    column("Version", "Kubelet Version reported by the node."),
    *(
        column(name, name, wide=True)
        for name in ("Internal-IP", "External-IP", "OS-Image", "Kernel-Version", "Container-Runtime")
    ),
)
_EVENT_COLUMNS: Final = (
    column("Last Seen", "Time of the last occurrence"),
    column("Type", "Type of this event"),
    column("Reason", "Why the event was generated"),
    column("Object", "The object that this event is about"),
    column("Subobject", "The part of the object", wide=True),
    column("Source", "Who reports the event", wide=True),
    column("Message", "A human-readable description"),
    column("First Seen", "Time of the first occurrence", wide=True),
    column("Count", "Number of occurrences", wide=True),
    column("Name", "Name of the event", wide=True, format="name"),
)
_DATA: Final = column("Data", "Number of keys")
_CREATED: Final = column("Created At", "When the definition was made", type="date")
_PRINTERS: Final[dict[str, Printer]] = {
    "pods": (POD_COLUMNS, pod_cells),
    "nodes": (_NODE_COLUMNS, _node),
    "namespaces": ((_NAME, column("Status", "The phase of the namespace"), _AGE), _namespace),
    "configmaps": ((_NAME, _DATA, _AGE), _config_map),
    "secrets": ((_NAME, column("Type", "Type of the secret"), _DATA, _AGE), _secret),
    "serviceaccounts": ((_NAME, column("Secrets", "Number of secrets"), _AGE), _service_account),
    "leases.coordination.k8s.io": ((_NAME, column("Holder", "Who holds the lease"), _AGE), _lease),
    "customresourcedefinitions.apiextensions.k8s.io": ((_NAME, _CREATED), _definition),
    "events": (_EVENT_COLUMNS, _event),
}


def table(
    kind: Kind, objects: Iterable[Object], *, include: str = "Metadata", columns: bool = True, list_metadata: dict[str, Any]
) -> Object:
    """The Table of some objects of one kind. ``include``: None, Metadata or Object, as in the query parameter."""
    definitions, cells = kind.printer or _PRINTERS.get(kind.key, ((_NAME, _AGE), _plain))
    now = time.time()
    rows = []
    for obj in objects:
        row: dict[str, Any] = {"cells": cells(obj, now)}
        if include == "Object":
            row["object"] = obj
        else:
            row["object"] = None if include == "None" else partial(obj)
        rows.append(row)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": list_metadata,
        "columnDefinitions": [dict(definition) for definition in definitions] if columns else None,
        "rows": rows,
    }


def partial(obj: Object) -> Object:
    """The object with its metadata only."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}
