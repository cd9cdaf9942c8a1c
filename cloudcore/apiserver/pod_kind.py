"""Pods: creation, what an update may change, graceful deletion."""

from __future__ import annotations

import copy
import ipaddress
from typing import Final

from cloudcore.apiserver import pod_defaults, pod_rules
from cloudcore.apiserver.kinds import Kind
from kube import field_errors
from kube.field_errors import FieldError
from kube.objects import Object

_IMMUTABLE: Final = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


_IP_RULE: Final = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


class PodKind(Kind):
    has_status = True
    counts_generations = True
    returns_deleted = True
    fields = frozenset(
        {f"spec.{key}" for key in ("nodeName", "restartPolicy", "schedulerName", "serviceAccountName", "hostNetwork")}
        | {"status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName"}
    )

    def defaults(self, obj: Object) -> None:
        pod_defaults.apply(obj)

    def prepare_create(self, obj: Object) -> None:
        spec = obj["spec"]
        spec["serviceAccountName"] = spec["serviceAccount"] = spec.get("serviceAccountName") or "default"
        obj["status"] = {"phase": "Pending", "qosClass": pod_defaults.qos_class(obj["spec"])}

    def prepare_status(self, new: Object, old: Object) -> None:
        super().prepare_status(new, old)
        status = new.setdefault("status", {})
        status.setdefault("phase", old.get("status", {}).get("phase", "Pending"))
        status.setdefault("qosClass", pod_defaults.qos_class(old["spec"]))
        if address := status.get("podIP"):
            status["podIPs"] = [{"ip": address}, *status.get("podIPs", [])[1:]]
        for condition in status.get("conditions", []):
            for key in ("lastProbeTime", "lastTransitionTime"):
                condition.setdefault(key, None)

    def status_problems(self, new: Object, old: Object) -> list[FieldError]:
        return [
            field_errors.invalid(f"status.podIPs[{place}]", entry.get("ip", ""), _IP_RULE)
            for place, entry in enumerate(new["status"].get("podIPs", []))
            if not _is_address(entry.get("ip", ""))
        ]

    def problems(self, obj: Object) -> list[FieldError]:
        return pod_rules.problems(obj)

    def update_problems(self, new: Object, old: Object) -> list[FieldError]:
        names = [[container.get("name") for container in pod["spec"].get("containers", [])] for pod in (new, old)]
        if len(names[0]) != len(names[1]) or set(names[0]) != set(names[1]):
            return [field_errors.forbidden("spec.containers", "pod updates may not add or remove containers")]
        if fault := _deadline_problem(new["spec"].get(_DEADLINE), old["spec"].get(_DEADLINE)):
            return [fault]
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


_DEADLINE: Final = "activeDeadlineSeconds"


def _deadline_problem(wanted: int | None, present: int | None) -> FieldError | None:
    if present is None:
        return None
    if wanted is None:
        return field_errors.invalid(f"spec.{_DEADLINE}", None, "must not update from a positive integer to nil value")
    if wanted > present:
        return field_errors.invalid(f"spec.{_DEADLINE}", wanted, "must be less than or equal to previous value")
    return None


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
