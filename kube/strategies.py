"""How a strategic merge patch treats the lists of the core types.

Source: the ``patchStrategy`` and ``patchMergeKey`` tags of Kubernetes 1.32: staging/src/k8s.io/api/core/v1/types.go and
apimachinery/pkg/apis/meta/v1/types.go. A list that is not named here is replaced as a whole: tolerations and taints too
(kubectl sends the whole list of taints; merging them would make ``kubectl taint node n key-`` do nothing).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True)
class Strategy:
    """What holds for one field. ``merge_key``: a list of objects told apart by this field. ``primitives``: a list of plain
    values used as a set. Neither: maps merge, lists are replaced. ``fields``: what holds further inside (of each element)."""

    fields: Mapping[str, Strategy] = field(default_factory=lambda: MappingProxyType({}))
    merge_key: str = ""
    primitives: bool = False

    @property
    def merges_lists(self) -> bool:
        return bool(self.merge_key) or self.primitives

    def of(self, name: str) -> Strategy:
        """The strategy of a field inside."""
        return self.fields.get(name, PLAIN)


PLAIN: Final = Strategy()
"""What holds for free-form maps and for custom resources."""


def _by(key: str, **fields: Strategy) -> Strategy:
    return Strategy(fields, merge_key=key)


_SET: Final = Strategy(primitives=True)
_METADATA: Final = Strategy({"ownerReferences": _by("uid"), "finalizers": _SET})
_CONTAINER: Final = _by(
    "name", ports=_by("containerPort"), env=_by("name"), volumeMounts=_by("mountPath"), volumeDevices=_by("devicePath")
)
_POD_SPEC: Final = Strategy(
    {
        "volumes": _by("name"),
        "initContainers": _CONTAINER,
        "containers": _CONTAINER,
        "ephemeralContainers": _CONTAINER,
        "imagePullSecrets": _by("name"),
        "hostAliases": _by("ip"),
        "topologySpreadConstraints": _by("topologyKey"),
        "schedulingGates": _by("name"),
        "resourceClaims": _by("name"),
    }
)
_POD_STATUS: Final = Strategy(
    {"conditions": _by("type"), "podIPs": _by("ip"), "hostIPs": _by("ip"), "resourceClaimStatuses": _by("name")}
)
_OTHER: Final = Strategy({"metadata": _METADATA})
_TEMPLATED: Final = Strategy(
    {
        "metadata": _METADATA,
        "spec": Strategy({"template": Strategy({"metadata": _METADATA, "spec": _POD_SPEC})}),
        "status": Strategy({"conditions": _by("type")}),
    }
)

_KINDS: Final[Mapping[tuple[str, str], Strategy]] = {
    ("v1", "Pod"): Strategy({"metadata": _METADATA, "spec": _POD_SPEC, "status": _POD_STATUS}),
    ("v1", "Node"): Strategy(
        {
            "metadata": _METADATA,
            "spec": Strategy({"podCIDRs": _SET}),
            "status": Strategy({"conditions": _by("type"), "addresses": _by("type")}),
        }
    ),
    ("v1", "Namespace"): Strategy({"metadata": _METADATA, "status": Strategy({"conditions": _by("type")})}),
    ("v1", "Service"): Strategy(
        {"metadata": _METADATA, "spec": Strategy({"ports": _by("port")}), "status": Strategy({"conditions": _by("type")})}
    ),
    ("v1", "ServiceAccount"): Strategy({"metadata": _METADATA, "secrets": _by("name")}),
    ("v1", "ConfigMap"): _OTHER,
    ("v1", "Secret"): _OTHER,
    ("v1", "Event"): _OTHER,
    ("coordination.k8s.io/v1", "Lease"): _OTHER,
    ("apps/v1", "Deployment"): _TEMPLATED,
    ("apps/v1", "DaemonSet"): _TEMPLATED,
    ("apps/v1", "ReplicaSet"): _TEMPLATED,
    ("apps/v1", "StatefulSet"): _TEMPLATED,
    ("apps/v1", "ControllerRevision"): _OTHER,
    ("batch/v1", "Job"): _TEMPLATED,
}


def strategy_for(api_version: str, kind: str) -> Strategy | None:
    """The strategy of a builtin kind; None where a strategic merge patch is not supported (custom resources: code 415)."""
    return _KINDS.get((api_version, kind))
