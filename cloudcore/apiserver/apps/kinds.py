"""Deployments, ReplicaSets, DaemonSets and ControllerRevisions as objects.

Kubernetes 1.32: pkg/apis/apps/v1/defaults.go, pkg/registry/apps/*/strategy.go.
"""

from __future__ import annotations

from typing import ClassVar

from cloudcore.apiserver import pod_defaults
from cloudcore.apiserver.apps import kind_rules, tables
from cloudcore.apiserver.kinds import Kind, ScalePaths
from kube import field_errors, objects
from kube.field_errors import FieldError
from kube.objects import Object, metadata

_IMMUTABLE = "field is immutable"
_ROLLING = "RollingUpdate"


class _Templated(Kind):
    """A kind that makes pods from a template."""

    has_status = True
    counts_generations = True
    initial_status: ClassVar[dict[str, int]] = {}
    """What the status says even when it is zero."""

    def defaults(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        template = spec.setdefault("template", {})
        template.setdefault("metadata", {})
        pod_defaults.apply_spec(template.setdefault("spec", {}))

    def prepare_create(self, obj: Object) -> None:
        obj["status"] = dict(self.initial_status)

    def prepare_status(self, new: Object, old: Object) -> None:
        super().prepare_status(new, old)
        new["status"] = {**self.initial_status, **new.get("status", {})}

    def update_problems(self, new: Object, old: Object) -> list[FieldError]:
        wanted = new["spec"].get("selector")
        if wanted != old["spec"].get("selector"):
            return [field_errors.invalid("spec.selector", wanted, _IMMUTABLE)]
        return []


class DeploymentKind(_Templated):
    printer = tables.DEPLOYMENT
    scale = ScalePaths()

    def defaults(self, obj: Object) -> None:
        super().defaults(obj)
        spec = obj["spec"]
        spec.setdefault("replicas", 1)
        spec.setdefault("revisionHistoryLimit", 10)
        spec.setdefault("progressDeadlineSeconds", 600)
        strategy = spec.setdefault("strategy", {})
        if not strategy.get("type"):
            strategy["type"] = _ROLLING
        if strategy["type"] == _ROLLING:
            rolling = strategy.setdefault("rollingUpdate", {})
            rolling.setdefault("maxUnavailable", "25%")
            rolling.setdefault("maxSurge", "25%")

    def problems(self, obj: Object) -> list[FieldError]:
        return kind_rules.deployment(obj)

    def next_generation(self, new: Object, old: Object) -> bool:
        """Annotations of a Deployment count, too: they go down to its ReplicaSet."""
        return super().next_generation(new, old) or objects.annotations(new) != objects.annotations(old)


class ReplicaSetKind(_Templated):
    printer = tables.REPLICA_SET
    scale = ScalePaths()
    initial_status: ClassVar[dict[str, int]] = {"replicas": 0}
    fields = frozenset({"status.replicas"})

    def defaults(self, obj: Object) -> None:
        super().defaults(obj)
        obj["spec"].setdefault("replicas", 1)

    def problems(self, obj: Object) -> list[FieldError]:
        return kind_rules.replica_set(obj)


class DaemonSetKind(_Templated):
    printer = tables.DAEMON_SET
    initial_status: ClassVar[dict[str, int]] = {
        "currentNumberScheduled": 0,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 0,
        "numberReady": 0,
    }

    def defaults(self, obj: Object) -> None:
        super().defaults(obj)
        spec = obj["spec"]
        spec.setdefault("revisionHistoryLimit", 10)
        strategy = spec.setdefault("updateStrategy", {})
        if not strategy.get("type"):
            strategy["type"] = _ROLLING
        if strategy["type"] == _ROLLING:
            rolling = strategy.setdefault("rollingUpdate", {})
            rolling.setdefault("maxUnavailable", 1)
            rolling.setdefault("maxSurge", 0)

    def prepare_create(self, obj: Object) -> None:
        super().prepare_create(obj)
        metadata(obj).setdefault("annotations", {})[kind_rules.TEMPLATE_GENERATION] = "1"

    def prepare_update(self, new: Object, old: Object) -> None:
        super().prepare_update(new, old)
        count = int(objects.annotations(old).get(kind_rules.TEMPLATE_GENERATION, "1"))
        if new["spec"].get("template") != old["spec"].get("template"):
            count += 1
        metadata(new).setdefault("annotations", {})[kind_rules.TEMPLATE_GENERATION] = str(count)

    def problems(self, obj: Object) -> list[FieldError]:
        return kind_rules.daemon_set(obj)

    def changed_problems(self, new: Object, old: Object) -> list[FieldError]:
        return [*self.update_problems(new, old), *self.problems(new)]


class ControllerRevisionKind(Kind):
    printer = tables.REVISION

    def defaults(self, obj: Object) -> None:
        obj.setdefault("revision", 0)

    def problems(self, obj: Object) -> list[FieldError]:
        found = []
        if obj["revision"] < 0:
            found.append(field_errors.invalid("revision", obj["revision"], kind_rules.NOT_NEGATIVE))
        if "data" not in obj:
            found.append(field_errors.required("data", "data is mandatory"))
        return found

    def update_problems(self, new: Object, old: Object) -> list[FieldError]:
        if new.get("data") != old.get("data"):
            return [field_errors.invalid("data", new.get("data"), _IMMUTABLE)]
        return []
