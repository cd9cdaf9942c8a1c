"""The columns of apps/v1. Kubernetes 1.32: pkg/printers/internalversion/printers.go."""

from __future__ import annotations

from typing import Any, Final

from cloudcore.apiserver.kinds import Printer
from cloudcore.apiserver.table_parts import Column, age, column
from kube import selectors
from kube.objects import Object, metadata, spec, status
from kube.ownership import controller_of

_NAME: Final = column("Name", "Name must be unique within a namespace.", format="name")
_AGE: Final = column("Age", "Time since the object was created.")
_WIDE: Final = (
    column("Containers", "Names of each container in the template.", wide=True),
    column("Images", "Images referenced by each container in the template.", wide=True),
    column("Selector", "Which pods belong to it.", wide=True),
)


def _counts(*names: str) -> tuple[Column, ...]:
    return tuple(column(name, f"Number of pods: {name.lower()}.", type="integer") for name in names)


_DEPLOYMENT_COLUMNS: Final = (
    _NAME,
    column("Ready", "Number of the pod with ready state"),
    column("Up-to-date", "Number of pods with the present template."),
    column("Available", "Number of pods that have been ready for minReadySeconds."),
    _AGE,
    *_WIDE,
)
_REPLICA_SET_COLUMNS: Final = (_NAME, *_counts("Desired", "Current", "Ready"), _AGE, *_WIDE)
_DAEMON_SET_COLUMNS: Final = (
    _NAME,
    *_counts("Desired", "Current", "Ready", "Up-to-date", "Available"),
    column("Node Selector", "Labels that a node must have."),
    _AGE,
    *_WIDE,
)
_REVISION_COLUMNS: Final = (
    _NAME,
    column("Controller", "Controller of the object"),
    column("Revision", "Number of the revision"),
    _AGE,
)


def _wide(obj: Object) -> list[Any]:
    containers = obj["spec"]["template"]["spec"].get("containers", [])
    return [
        ",".join(container.get("name", "") for container in containers),
        ",".join(container.get("image", "") for container in containers),
        _selector(obj),
    ]


def _selector(obj: Object) -> str:
    try:
        return str(selectors.from_object(obj["spec"].get("selector")))
    except selectors.SelectorError:
        return "<invalid>"


def _numbers(obj: Object, *keys: str) -> list[Any]:
    return [status(obj).get(key, 0) for key in keys]


def _deployment(obj: Object, now: float) -> list[Any]:
    found = status(obj)
    ready = f"{found.get('readyReplicas', 0)}/{spec(obj).get('replicas', 1)}"
    return [metadata(obj)["name"], ready, *_numbers(obj, "updatedReplicas", "availableReplicas"), age(obj, now), *_wide(obj)]


def _replica_set(obj: Object, now: float) -> list[Any]:
    return [
        metadata(obj)["name"],
        spec(obj).get("replicas", 1),
        *_numbers(obj, "replicas", "readyReplicas"),
        age(obj, now),
        *_wide(obj),
    ]


def _daemon_set(obj: Object, now: float) -> list[Any]:
    wanted = obj["spec"]["template"]["spec"].get("nodeSelector", {})
    return [
        metadata(obj)["name"],
        *_numbers(obj, "desiredNumberScheduled", "currentNumberScheduled", "numberReady"),
        *_numbers(obj, "updatedNumberScheduled", "numberAvailable"),
        ",".join(f"{key}={value}" for key, value in sorted(wanted.items())) or "<none>",
        age(obj, now),
        *_wide(obj),
    ]


def _revision(obj: Object, now: float) -> list[Any]:
    owner = controller_of(obj)
    holder = "<none>"
    if owner is not None:
        group = owner.get("apiVersion", "").rpartition("/")[0]
        holder = f"{owner.get('kind', '').lower()}{'.' if group else ''}{group}/{owner.get('name', '')}"
    return [metadata(obj)["name"], holder, obj.get("revision", 0), age(obj, now)]


DEPLOYMENT: Final[Printer] = (_DEPLOYMENT_COLUMNS, _deployment)
REPLICA_SET: Final[Printer] = (_REPLICA_SET_COLUMNS, _replica_set)
DAEMON_SET: Final[Printer] = (_DAEMON_SET_COLUMNS, _daemon_set)
REVISION: Final[Printer] = (_REVISION_COLUMNS, _revision)
