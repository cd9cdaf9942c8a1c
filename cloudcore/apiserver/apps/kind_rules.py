"""What makes an object of apps/v1 invalid. Kubernetes 1.32: pkg/apis/apps/validation/validation.go."""

from __future__ import annotations

import re
from typing import Any, Final

from cloudcore.apiserver import metadata, pod_rules
from kube import field_errors, selectors
from kube.field_errors import FieldError
from kube.objects import Object, labels

TEMPLATE_GENERATION: Final = "deprecated.daemonset.template.generation"
"""The annotation in which a DaemonSet counts the changes of its template."""
NOT_NEGATIVE: Final = "must be greater than or equal to 0"
_PERCENT: Final = re.compile(r"[0-9]+%")
_PERCENT_RULE: Final = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for "
    "validation is '[0-9]+%')"
)
_MISMATCH: Final = "`selector` does not match template `labels`"


def deployment(obj: Object) -> list[FieldError]:
    spec = obj["spec"]
    found = _not_negative(spec, "replicas")
    found += _selector(spec, "deployment", required=True)
    found += _template(spec, "ReplicaSet")
    found += _deployment_strategy(spec["strategy"])
    found += _not_negative(spec, "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= spec.get("minReadySeconds", 0):
        found.append(field_errors.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))
    return found


def replica_set(obj: Object) -> list[FieldError]:
    spec = obj["spec"]
    found = _not_negative(spec, "replicas", "minReadySeconds")
    found += _selector(spec, "deployment", required=True)
    return found + _template(spec, "ReplicaSet")


def daemon_set(obj: Object) -> list[FieldError]:
    spec = obj["spec"]
    found = _selector(spec, "daemonset", required=False)
    found += _template(spec, "DaemonSet")
    found += _not_negative(spec, "minReadySeconds")
    found += _daemon_strategy(spec["updateStrategy"])
    return found + _not_negative(spec, "revisionHistoryLimit")


def _not_negative(spec: dict[str, Any], *keys: str) -> list[FieldError]:
    return [field_errors.invalid(f"spec.{key}", spec[key], NOT_NEGATIVE) for key in keys if (spec.get(key) or 0) < 0]


def _selector(spec: dict[str, Any], kind: str, *, required: bool) -> list[FieldError]:
    selector = _shown(spec.get("selector"))
    if selector is None:
        return [field_errors.required("spec.selector")] if required else []
    found = _selector_parts(selector)
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        found.append(field_errors.invalid("spec.selector", selector, f"empty selector is invalid for {kind}"))
    return found


def _shown(selector: dict[str, Any] | None) -> dict[str, Any] | None:
    """As messages show it."""
    if not selector or "matchLabels" not in selector:
        return selector
    return {"matchLabels": _ordered(selector["matchLabels"]), **{k: v for k, v in selector.items() if k != "matchLabels"}}


def _ordered(found: dict[str, str]) -> dict[str, str] | None:
    return dict(sorted(found.items())) or None


def _selector_parts(selector: dict[str, Any]) -> list[FieldError]:
    found = metadata.label_problems(selector.get("matchLabels") or {}, "spec.selector.matchLabels")
    for place, expression in enumerate(selector.get("matchExpressions", [])):
        found += _expression(expression, f"spec.selector.matchExpressions[{place}]")
    return found


def _expression(expression: dict[str, Any], path: str) -> list[FieldError]:
    found = []
    operator, values = expression.get("operator", ""), expression.get("values", [])
    if operator in ("In", "NotIn") and not values:
        found.append(field_errors.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in ("Exists", "DoesNotExist") and values:
        text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        found.append(field_errors.forbidden(f"{path}.values", text))
    elif operator not in ("In", "NotIn", "Exists", "DoesNotExist"):
        found.append(field_errors.invalid(f"{path}.operator", operator, "not a valid selector operator"))
    return found + metadata.label_problems({expression.get("key", ""): ""}, f"{path}.key")


def _template(spec: dict[str, Any], kind: str) -> list[FieldError]:
    template, found = spec["template"], []
    selector = _shown(spec.get("selector"))
    if selector is not None and _selector_parts(selector):
        if kind == "ReplicaSet":
            return [field_errors.invalid("spec.selector", selector, "invalid label selector")]
    elif not selectors.from_object(selector).matches(template):
        found.append(field_errors.invalid("spec.template.metadata.labels", _ordered(labels(template)), _MISMATCH))
    found += metadata.label_problems(labels(template), "spec.template.labels")
    for fault in pod_rules.problems(template):
        found.append(FieldError(fault.reason, f"spec.template.{fault.field}", fault.body))
    body = template["spec"]
    if body.get("restartPolicy") != "Always":
        found.append(field_errors.not_supported("spec.template.spec.restartPolicy", body.get("restartPolicy"), ("Always",)))
    if "activeDeadlineSeconds" in body:
        where = "spec.template.spec.activeDeadlineSeconds"
        found.append(field_errors.forbidden(where, f"activeDeadlineSeconds in {kind} is not Supported"))
    return found


def _deployment_strategy(strategy: dict[str, Any]) -> list[FieldError]:
    path = "spec.strategy"
    match strategy.get("type"):
        case "Recreate":
            if "rollingUpdate" in strategy:
                text = "may not be specified when strategy `type` is 'Recreate'"
                return [field_errors.forbidden(f"{path}.rollingUpdate", text)]
            return []
        case "RollingUpdate":
            rolling = strategy["rollingUpdate"]
            found = _amount(rolling, "maxUnavailable", path) + _amount(rolling, "maxSurge", path)
            if not _value(rolling["maxUnavailable"]) and not _value(rolling["maxSurge"]):
                text = "may not be 0 when `maxSurge` is 0"
                found.append(field_errors.invalid(f"{path}.rollingUpdate.maxUnavailable", rolling["maxUnavailable"], text))
            return found + _at_most_all(rolling, "maxUnavailable", path)
        case _:
            return [field_errors.not_supported(path, _internal(strategy), ("Recreate", "RollingUpdate"))]


def _daemon_strategy(strategy: dict[str, Any]) -> list[FieldError]:
    path = "spec.updateStrategy"
    match strategy.get("type"):
        case "OnDelete":
            return []
        case "RollingUpdate":
            rolling = strategy["rollingUpdate"]
            found = [fault for key in ("maxUnavailable", "maxSurge") for fault in _amount(rolling, key, path)]
            found += [fault for key in ("maxUnavailable", "maxSurge") for fault in _at_most_all(rolling, key, path)]
            unavailable, surge = _value(rolling["maxUnavailable"]), _value(rolling["maxSurge"])
            if unavailable and surge:
                text = "may not be set when maxUnavailable is non-zero"
                found.append(field_errors.invalid(f"{path}.rollingUpdate.maxSurge", rolling["maxSurge"], text))
            elif not unavailable and not surge:
                found.append(field_errors.required(f"{path}.rollingUpdate.maxUnavailable", "cannot be 0 when maxSurge is 0"))
            return found
        case _:
            return [field_errors.not_supported(path, _internal(strategy), ("RollingUpdate", "OnDelete"))]


def _internal(strategy: dict[str, Any]) -> dict[str, Any]:
    """A strategy as Kubernetes shows it in this one message."""
    rolling = strategy.get("rollingUpdate")
    if rolling is not None:
        rolling = {"MaxUnavailable": rolling.get("maxUnavailable", 0), "MaxSurge": rolling.get("maxSurge", 0)}
    return {"Type": strategy.get("type"), "RollingUpdate": rolling}


def _amount(rolling: dict[str, Any], key: str, path: str) -> list[FieldError]:
    value, where = rolling[key], f"{path}.rollingUpdate.{key}"
    if isinstance(value, str):
        return [] if _PERCENT.fullmatch(value) else [field_errors.invalid(where, value, _PERCENT_RULE)]
    return [field_errors.invalid(where, value, NOT_NEGATIVE)] if value < 0 else []


def _at_most_all(rolling: dict[str, Any], key: str, path: str) -> list[FieldError]:
    value = rolling[key]
    if isinstance(value, str) and _PERCENT.fullmatch(value) and _value(value) > 100:
        return [field_errors.invalid(f"{path}.rollingUpdate.{key}", value, "must not be greater than 100%")]
    return []


def _value(value: int | str) -> int:
    """The number in a number or in a percentage."""
    if isinstance(value, str):
        return int(value[:-1]) if _PERCENT.fullmatch(value) and len(value) < 12 else 0
    return value
