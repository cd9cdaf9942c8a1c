"""What makes a pod invalid. Kubernetes 1.32: pkg/apis/core/validation/validation.go, without what no edge can run anyway."""

# ruff: noqa: PERF401 - a rule per statement reads better than comprehensions

from __future__ import annotations

from typing import Any, Final

from cloudcore.apiserver import names
from kube import field_errors, quantity
from kube.field_errors import FieldError
from kube.objects import Object

_RESTART: Final = ("Always", "OnFailure", "Never")
_PULL: Final = ("Always", "IfNotPresent", "Never")
_DNS: Final = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_PROTOCOLS: Final = ("SCTP", "TCP", "UDP")
_EFFECTS: Final = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_HANDLERS: Final = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_PORT_RULE: Final = "must be between 1 and 65535, inclusive"
_NOT_NEGATIVE: Final = "must be greater than or equal to 0"


def problems(pod: Object) -> list[FieldError]:
    spec = pod["spec"]
    found: list[FieldError] = []
    volumes = _volumes(spec, found)
    if not spec.get("containers"):
        found.append(field_errors.required("spec.containers"))
    seen: set[str] = set()
    for block in ("containers", "initContainers", "ephemeralContainers"):
        for place, container in enumerate(spec.get(block, [])):
            _container(container, f"spec.{block}[{place}]", volumes, seen, found)
    _choice(spec, "restartPolicy", _RESTART, "spec", found)
    _choice(spec, "dnsPolicy", _DNS, "spec", found)
    if spec.get("terminationGracePeriodSeconds", 0) < 0:
        value = spec["terminationGracePeriodSeconds"]
        found.append(field_errors.invalid("spec.terminationGracePeriodSeconds", value, _NOT_NEGATIVE))
    if spec.get("activeDeadlineSeconds", 1) < 1:
        value = spec["activeDeadlineSeconds"]
        found.append(field_errors.invalid("spec.activeDeadlineSeconds", value, "must be between 1 and 2147483647, inclusive"))
    for key in ("hostname", "subdomain"):
        if spec.get(key) and (why := names.label_problem(spec[key])) is not None:
            found.append(field_errors.invalid(f"spec.{key}", spec[key], why))
    if spec.get("nodeName") and (why := names.subdomain_problem(spec["nodeName"])) is not None:
        found.append(field_errors.invalid("spec.nodeName", spec["nodeName"], why))
    _labels(spec.get("nodeSelector", {}), "spec.nodeSelector", found)
    for place, toleration in enumerate(spec.get("tolerations", [])):
        _toleration(toleration, f"spec.tolerations[{place}]", found)
    return found


def _choice(block: dict[str, Any], key: str, known: tuple[str, ...], path: str, found: list[FieldError]) -> None:
    value = block.get(key)
    if value is not None and value not in known:
        found.append(field_errors.not_supported(f"{path}.{key}", value, known))


def _labels(labels: dict[str, str], path: str, found: list[FieldError]) -> None:
    for key, value in labels.items():
        if (why := names.qualified_problem(key)) is not None:
            found.append(field_errors.invalid(path, key, why))
        if (why := names.label_value_problem(value)) is not None:
            found.append(field_errors.invalid(path, value, why))


def _volumes(spec: dict[str, Any], found: list[FieldError]) -> set[str]:
    seen: set[str] = set()
    for place, volume in enumerate(spec.get("volumes", [])):
        path, name = f"spec.volumes[{place}]", volume.get("name", "")
        _label_name(name, f"{path}.name", seen, found)
        sources = [key for key in volume if key != "name"]
        for extra in sources[1:]:
            found.append(field_errors.forbidden(f"{path}.{extra}", "may not specify more than 1 volume type"))
        if "hostPath" in volume and not volume["hostPath"].get("path"):
            found.append(field_errors.required(f"{path}.hostPath.path"))
        if "secret" in volume and not volume["secret"].get("secretName"):
            found.append(field_errors.required(f"{path}.secret.secretName"))
        if "configMap" in volume and not volume["configMap"].get("name"):
            found.append(field_errors.required(f"{path}.configMap.name"))
        for source in ("secret", "configMap"):
            _items(volume.get(source, {}), f"{path}.{source}", found)
    return seen


def _items(source: dict[str, Any], path: str, found: list[FieldError]) -> None:
    mode = source.get("defaultMode", 0)
    if not 0 <= mode <= 0o777:
        found.append(
            field_errors.invalid(f"{path}.defaultMode", mode, "must be a number between 0 and 0777 (octal), both inclusive")
        )
    for place, item in enumerate(source.get("items", [])):
        for key in ("key", "path"):
            if not item.get(key):
                found.append(field_errors.required(f"{path}.items[{place}].{key}"))
        _relative(item.get("path", ""), f"{path}.items[{place}].path", found)


def _relative(value: str, path: str, found: list[FieldError]) -> None:
    if value.startswith("/"):
        found.append(field_errors.invalid(path, value, "must be a relative path"))
    elif ".." in value.split("/"):
        found.append(field_errors.invalid(path, value, "must not contain '..'"))


def _label_name(name: str, path: str, seen: set[str], found: list[FieldError]) -> None:
    if not name:
        found.append(field_errors.required(path))
    elif (why := names.label_problem(name)) is not None:
        found.append(field_errors.invalid(path, name, why))
    elif name in seen:
        found.append(field_errors.duplicate(path, name))
    seen.add(name)


def _container(container: dict[str, Any], path: str, volumes: set[str], seen: set[str], found: list[FieldError]) -> None:
    _label_name(container.get("name", ""), f"{path}.name", seen, found)
    image = container.get("image", "")
    if not image:
        found.append(field_errors.required(f"{path}.image"))
    elif image != image.strip():
        found.append(field_errors.invalid(f"{path}.image", image, "must not have leading or trailing whitespace"))
    _choice(container, "imagePullPolicy", _PULL, path, found)
    _choice(container, "terminationMessagePolicy", ("File", "FallbackToLogsOnError"), path, found)
    _ports(container, path, found)
    _environment(container, path, found)
    _mounts(container, path, volumes, found)
    _resources(container.get("resources", {}), f"{path}.resources", found)
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe in container:
            _probe(container[probe], f"{path}.{probe}", probe != "readinessProbe", found)


def _ports(container: dict[str, Any], path: str, found: list[FieldError]) -> None:
    for place, port in enumerate(container.get("ports", [])):
        at = f"{path}.ports[{place}]"
        if not port.get("containerPort"):
            found.append(field_errors.required(f"{at}.containerPort"))
        elif not 0 < port["containerPort"] < 65536:
            found.append(field_errors.invalid(f"{at}.containerPort", port["containerPort"], _PORT_RULE))
        if not 0 <= port.get("hostPort", 0) < 65536:
            found.append(field_errors.invalid(f"{at}.hostPort", port["hostPort"], _PORT_RULE))
        _choice(port, "protocol", _PROTOCOLS, at, found)


def _environment(container: dict[str, Any], path: str, found: list[FieldError]) -> None:
    for place, variable in enumerate(container.get("env", [])):
        at, name = f"{path}.env[{place}]", variable.get("name", "")
        if not name:
            found.append(field_errors.required(f"{at}.name"))
        elif (why := names.environment_problem(name)) is not None:
            found.append(field_errors.invalid(f"{at}.name", name, why))
        source = variable.get("valueFrom")
        if source is None:
            continue
        if variable.get("value"):
            found.append(field_errors.invalid(f"{at}.valueFrom", "", "may not be specified when `value` is not empty"))
        if len(source) != 1:
            detail = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
            found.append(field_errors.invalid(f"{at}.valueFrom", "", detail))
        for kind in ("configMapKeyRef", "secretKeyRef"):
            if kind in source and not source[kind].get("key"):
                found.append(field_errors.required(f"{at}.valueFrom.{kind}.key"))


def _mounts(container: dict[str, Any], path: str, volumes: set[str], found: list[FieldError]) -> None:
    seen = set()
    for place, mount in enumerate(container.get("volumeMounts", [])):
        at, name, target = f"{path}.volumeMounts[{place}]", mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            found.append(field_errors.required(f"{at}.name"))
        elif name not in volumes:
            found.append(field_errors.not_found(f"{at}.name", name))
        if not target:
            found.append(field_errors.required(f"{at}.mountPath"))
        elif target in seen:
            found.append(field_errors.invalid(f"{at}.mountPath", target, "must be unique"))
        seen.add(target)
        _relative(mount.get("subPath", ""), f"{at}.subPath", found)


def _resources(resources: dict[str, Any], path: str, found: list[FieldError]) -> None:
    parsed: dict[tuple[str, str], quantity.Quantity] = {}
    for block in ("limits", "requests"):
        for name, amount in resources.get(block, {}).items():
            at = f"{path}.{block}[{name}]"
            try:
                parsed[block, name] = quantity.parse(amount)
            except quantity.QuantityError as error:
                found.append(field_errors.invalid(at, amount, str(error)))
                continue
            if parsed[block, name] < quantity.parse("0"):
                found.append(field_errors.invalid(at, amount, _NOT_NEGATIVE))
    for (block, name), amount in parsed.items():
        limit = parsed.get(("limits", name))
        if block == "requests" and limit is not None and amount > limit:
            detail = f"must be less than or equal to {name} limit of {resources['limits'][name]}"
            found.append(field_errors.invalid(f"{path}.requests", resources["requests"][name], detail))


def _probe(probe: dict[str, Any], path: str, one_success: bool, found: list[FieldError]) -> None:
    handlers = [key for key in _HANDLERS if key in probe]
    if not handlers:
        found.append(field_errors.required(path, "must specify a handler type"))
    for extra in handlers[1:]:
        found.append(field_errors.forbidden(f"{path}.{extra}", "may not specify more than 1 handler type"))
    for key in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        if probe.get(key, 0) < 0:
            found.append(field_errors.invalid(f"{path}.{key}", probe[key], _NOT_NEGATIVE))
    if one_success and probe.get("successThreshold", 1) != 1:
        found.append(field_errors.invalid(f"{path}.successThreshold", probe["successThreshold"], "must be 1"))
    if "exec" in probe and not probe["exec"].get("command"):
        found.append(field_errors.required(f"{path}.exec.command"))
    for handler in ("httpGet", "tcpSocket"):
        port = probe.get(handler, {}).get("port")
        if handler in probe and (port is None or (isinstance(port, int) and not 0 < port < 65536)):
            found.append(field_errors.invalid(f"{path}.{handler}.port", port, _PORT_RULE))


def _toleration(toleration: dict[str, Any], path: str, found: list[FieldError]) -> None:
    operator = toleration.get("operator", "Equal")
    if operator not in ("Equal", "Exists"):
        found.append(field_errors.not_supported(f"{path}.operator", operator, ("Equal", "Exists")))
    if not toleration.get("key") and operator != "Exists":
        detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        found.append(field_errors.invalid(f"{path}.operator", operator, detail))
    if toleration.get("effect") and toleration["effect"] not in _EFFECTS:
        found.append(field_errors.not_supported(f"{path}.effect", toleration["effect"], _EFFECTS))
    if toleration.get("tolerationSeconds") is not None and toleration.get("effect") != "NoExecute":
        detail = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        found.append(field_errors.invalid(f"{path}.effect", toleration.get("effect", ""), detail))
