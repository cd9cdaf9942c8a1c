"""Pods: creation, what an update may change, graceful deletion."""

from __future__ import annotations

import copy
from typing import Final

from cloudcore.apiserver import pod_defaults, pod_rules
from cloudcore.apiserver.kinds import Kind
from kube import field_errors
from kube.field_errors import FieldError
from kube.objects import Object, timestamp

_IMMUTABLE: Final = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


class PodKind(Kind):
    has_status = True
    counts_generations = True
    returns_deleted = True
    fields = frozenset(
        {f"spec.{key}" for key in ("nodeName", "restartPolicy", "schedulerName", "serviceAccountName", "hostNetwork")}
        | {"status.phase", "status.podIP", "status.nominatedNodeName"}
    )

    def defaults(self, obj: Object) -> None:
        pod_defaults.apply(obj)

    def prepare_create(self, obj: Object) -> None:
        obj["status"] = {"phase": "Pending", "qosClass": pod_defaults.qos_class(obj["spec"])}
        if obj["spec"].get("nodeName"):
            # Nobody binds it, so nobody else would say that it has its place.
            condition = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": timestamp()}
            obj["status"]["conditions"] = [condition]

    def prepare_status(self, new: Object, old: Object) -> None:
        super().prepare_status(new, old)
        status = new.setdefault("status", {})
        status.setdefault("phase", old.get("status", {}).get("phase", "Pending"))
        status.setdefault("qosClass", pod_defaults.qos_class(old["spec"]))

    def problems(self, obj: Object) -> list[FieldError]:
        return pod_rules.problems(obj)

    def update_problems(self, new: Object, old: Object) -> list[FieldError]:
        wanted, present = _comparable(new), _comparable(old)
        before, after = old["spec"].get("tolerations", []), new["spec"].get("tolerations", [])
        if wanted == present and all(toleration in after for toleration in before):
            return []
        return [field_errors.forbidden("spec", _IMMUTABLE)]

    def grace(self, obj: Object, wanted: int | None) -> int:
        spec, status = obj["spec"], obj.get("status", {})
        if not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
            return 0
        grace = spec.get("terminationGracePeriodSeconds", 30) if wanted is None else wanted
        return int(grace) if grace >= 0 else 1


def _comparable(pod: Object) -> Object:
    """The spec without what may change."""
    spec: Object = copy.deepcopy(pod["spec"])
    for container in spec.get("containers", []) + spec.get("initContainers", []):
        container.pop("image", None)
    for key in ("activeDeadlineSeconds", "tolerations"):
        spec.pop(key, None)
    if spec.get("terminationGracePeriodSeconds", 0) < 0:
        spec["terminationGracePeriodSeconds"] = 1
    return spec
