"""The environment of a container, purely from the pod and from the ConfigMaps and Secrets that it names.

Order and rules: Kubernetes 1.32: pkg/kubelet/kubelet_pods.go (makeEnvironmentVariables), third_party/forked/golang/expansion.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from edgecore.edged import pods, qos
from kube import objects
from kube.objects import Object
from kube.quantity import QuantityError, parse

ENV_NAME: Final = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
_SUBSCRIPT: Final = re.compile(r"(metadata\.(?:labels|annotations))\['(.*)'\]")


class ConfigError(Exception):
    """A container cannot be configured (waiting reason CreateContainerConfigError). The text names what is missing."""


@dataclass(frozen=True)
class Sources:
    """What could be read of the objects that a pod names. missing: why an object is not there, by (kind, name)."""

    config_maps: Mapping[str, Object] = field(default_factory=dict)
    secrets: Mapping[str, Object] = field(default_factory=dict)
    missing: Mapping[tuple[str, str], str] = field(default_factory=dict)
    absent: frozenset[tuple[str, str]] = frozenset()
    """Those of ``missing`` that surely do not exist; only these may count as optional."""

    def find(self, kind: str, name: str, *, optional: bool) -> Object | None:
        """The object, or None when it is optional and does not exist.

        Raises ConfigError.
        """
        known = self.config_maps if kind == "configmap" else self.secrets
        if name in known:
            return known[name]
        if optional and (kind, name) in self.absent:
            return None
        raise ConfigError(self.missing.get((kind, name)) or f'{kind} "{name}" not found')


@dataclass(frozen=True)
class Facts:
    """What is known only on the node: addresses, and the resources that an unset limit stands for."""

    host_ip: str = ""
    pod_ip: str = ""
    allocatable: Mapping[str, str] = field(default_factory=dict)


def text_data(obj: Object, kind: str) -> dict[str, str]:
    """The entries of a ConfigMap or Secret as text; undecodable ones are left out."""
    found = binary_data(obj, kind)
    return {key: value.decode("utf-8", "surrogateescape") for key, value in found.items()}


def binary_data(obj: Object, kind: str) -> dict[str, bytes]:
    """The entries of a ConfigMap (data and binaryData) or Secret (data) as bytes.

    Raises ConfigError for base64 that is none.
    """
    plain = pods.mapping(obj.get("data")) if kind == "configmap" else {}
    coded = pods.mapping(obj.get("binaryData" if kind == "configmap" else "data"))
    found = {str(key): str(value).encode("utf-8", "surrogatepass") for key, value in plain.items()}
    for key, value in coded.items():
        try:
            found[str(key)] = base64.b64decode(str(value or ""), validate=True)
        except (binascii.Error, ValueError) as error:
            raise ConfigError(f'{kind} "{objects.name(obj)}": the value of {key} is no base64: {error}') from error
    return found


def expand(text: str, values: Mapping[str, str]) -> str:
    """``$(NAME)`` becomes its value, an unknown one stays as it is, ``$$`` becomes ``$``."""
    out: list[str] = []
    at = 0
    while at < len(text):
        if text[at] != "$" or at + 1 == len(text):
            out.append(text[at])
            at += 1
        elif text[at + 1] == "$":
            out.append("$")
            at += 2
        elif text[at + 1] == "(" and (end := text.find(")", at)) > 0:
            name = text[at + 2 : end]
            out.append(values.get(name, f"$({name})"))
            at = end + 1
        else:
            out.append(text[at : at + 2])
            at += 2
    return "".join(out)


def field_value(pod: Object, path: str, facts: Facts) -> str:
    """The value of a ``fieldRef``.

    Raises ConfigError for a path that is not supported.
    """
    if found := _SUBSCRIPT.fullmatch(path):
        holder = objects.labels(pod) if found[1] == "metadata.labels" else objects.annotations(pod)
        return str(holder.get(found[2], ""))
    simple = {
        "metadata.name": objects.name(pod),
        "metadata.namespace": objects.namespace(pod),
        "metadata.uid": objects.uid(pod),
        "metadata.labels": format_map(objects.labels(pod)),
        "metadata.annotations": format_map(objects.annotations(pod)),
        "spec.nodeName": pods.node_name(pod),
        "spec.serviceAccountName": str(objects.spec(pod).get("serviceAccountName") or ""),
        "status.hostIP": facts.host_ip,
        "status.hostIPs": facts.host_ip,
        "status.podIP": facts.pod_ip,
        "status.podIPs": facts.pod_ip,
    }
    if path not in simple:
        raise ConfigError(f"unsupported fieldPath: {path}")
    return simple[path]


def format_map(values: Mapping[str, str]) -> str:
    """Lines ``key="value"``, sorted, as the downward API writes labels."""
    escaped = {key: str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for key, value in values.items()}
    return "\n".join(f'{key}="{escaped[key]}"' for key in sorted(escaped))


def resource_value(pod: Object, container: Object, ref: Object, facts: Facts) -> str:
    """The value of a ``resourceFieldRef``: rounded up to whole divisors; an unset limit is what the node can give.

    Raises ConfigError.
    """
    named = ref.get("containerName")
    every = pods.containers(pod) + pods.init_containers(pod)
    holder = next((c for c in every if c["name"] == named), None) if named else container
    kind, _, resource = str(ref.get("resource") or "").partition(".")
    if holder is None or kind not in ("limits", "requests") or not resource:
        raise ConfigError(f"unsupported resourceFieldRef: {ref.get('resource')} of container {named}")
    amount = qos.amount(holder, kind, resource)
    try:
        if not amount and kind == "limits" and resource in facts.allocatable:
            amount = parse(facts.allocatable[resource]).nanos / 1e9
        divisor = parse(ref.get("divisor") or "1").nanos / 1e9 or 1.0
    except QuantityError as error:
        raise ConfigError(f"resourceFieldRef {ref.get('resource')}: {error}") from error
    return str(math.ceil(round((amount or 0.0) / divisor, 9)))


def build(pod: Object, container: Object, sources: Sources, facts: Facts) -> dict[str, str]:
    """envFrom first, then env, each seeing what came before it.

    Raises ConfigError.
    """
    result: dict[str, str] = {}
    for source in pods.items(container.get("envFrom")):
        result |= _env_from(source, sources)
    for entry in pods.items(container.get("env")):
        name = entry.get("name")
        if not isinstance(name, str) or not name:
            continue
        reference = pods.mapping(entry.get("valueFrom"))
        if not reference:
            result[name] = expand(str(entry.get("value") or ""), result)
        elif (value := _referenced(pod, container, reference, sources, facts)) is not None:
            result[name] = value
    return result


def _env_from(source: Object, sources: Sources) -> dict[str, str]:
    prefix = str(source.get("prefix") or "")
    for field_name, kind in (("configMapRef", "configmap"), ("secretRef", "secret")):
        reference = pods.mapping(source.get(field_name))
        if reference:
            found = sources.find(kind, str(reference.get("name") or ""), optional=reference.get("optional") is True)
            values = text_data(found, kind) if found else {}
            return {prefix + key: value for key, value in values.items() if ENV_NAME.fullmatch(prefix + key)}
    return {}


def _referenced(pod: Object, container: Object, reference: Object, sources: Sources, facts: Facts) -> str | None:
    """None: an optional source that is not there."""
    if where := pods.mapping(reference.get("fieldRef")):
        return field_value(pod, str(where.get("fieldPath") or ""), facts)
    if where := pods.mapping(reference.get("resourceFieldRef")):
        return resource_value(pod, container, where, facts)
    for field_name, kind in (("configMapKeyRef", "configmap"), ("secretKeyRef", "secret")):
        if where := pods.mapping(reference.get(field_name)):
            return _key(where, kind, sources, objects.namespace(pod))
    raise ConfigError(f"unsupported valueFrom: {', '.join(reference)}")


def _key(where: Object, kind: str, sources: Sources, namespace: str) -> str | None:
    name, key, optional = str(where.get("name") or ""), str(where.get("key") or ""), where.get("optional") is True
    found = sources.find(kind, name, optional=optional)
    values = text_data(found, kind) if found else {}
    if key in values:
        return values[key]
    if optional:
        return None
    shown = "ConfigMap" if kind == "configmap" else "Secret"
    raise ConfigError(f"couldn't find key {key} in {shown} {namespace}/{name}")
