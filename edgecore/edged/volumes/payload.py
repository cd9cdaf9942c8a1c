"""What stands in the files of configMap, secret, downwardAPI and projected volumes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from edgecore.edged import environment, pods
from edgecore.edged.environment import ConfigError, Facts, Sources
from kube import objects
from kube.objects import Object

DEFAULT_MODE: Final = 0o644
PROJECTED: Final = ("configMap", "secret", "downwardAPI", "projected")


@dataclass(frozen=True)
class File:
    data: bytes
    mode: int = DEFAULT_MODE


@dataclass(frozen=True)
class TokenWish:
    """A service account token that a projected volume asks for."""

    audience: str = ""
    seconds: int = 3600


@dataclass(frozen=True)
class Material:
    """Everything that payloads are made of."""

    sources: Sources = field(default_factory=Sources)
    facts: Facts = field(default_factory=Facts)
    tokens: Mapping[TokenWish, str] = field(default_factory=dict)


def kind_of(volume: Object) -> str:
    """``configMap``, ``emptyDir``, ``hostPath``, ...; "" when no source is set (the API server makes that an emptyDir)."""
    return next((key for key, value in volume.items() if key != "name" and value is not None), "")


def payload(pod: Object, volume: Object, material: Material) -> dict[str, File]:
    """The files of a volume by relative path.

    Raises ConfigError when something non-optional is missing or a path leads outside.
    """
    kind = kind_of(volume)
    source = pods.mapping(volume.get(kind))
    default = _mode(source.get("defaultMode"), DEFAULT_MODE)
    if kind == "projected":
        found: dict[str, File] = {}
        for part in pods.items(source.get("sources")):
            for inner, body in part.items():
                if inner in _BUILDERS:
                    found |= _BUILDERS[inner](pod, pods.mapping(body), default, material)
                elif body is not None:
                    raise ConfigError(f"projected source {inner} is not supported")
        return _checked(found)
    return _checked(_BUILDERS[kind](pod, source, default, material))


def wishes(pod: Object) -> list[TokenWish]:
    """The tokens that the volumes of a pod need."""
    parts = [pods.items(pods.mapping(volume.get("projected")).get("sources")) for volume in pods.volumes(pod)]
    asked = [pods.mapping(part.get("serviceAccountToken")) for sources in parts for part in sources]
    return [_wish(token) for token in asked if token]


def _wish(source: Object) -> TokenWish:
    return TokenWish(str(source.get("audience") or ""), int(pods.number(source.get("expirationSeconds")) or 3600))


def _mode(value: object, default: int) -> int:
    found = pods.number(value)
    return default if found is None or not 0 <= found <= 0o777 else int(found)


def _checked(files: dict[str, File]) -> dict[str, File]:
    for path in files:
        parts = PurePosixPath(path).parts
        if not path or path.startswith("/") or ".." in parts or (parts and parts[0].startswith("..")):
            raise ConfigError(f"path {path!r} in a volume must be relative and must not start with or contain '..'")
    return files


def _keys(source: Object, values: Mapping[str, bytes], default: int, what: str) -> dict[str, File]:
    """All entries, or those of ``items`` under their new paths."""
    wanted = pods.items(source.get("items"))
    if not wanted:
        return {key: File(value, default) for key, value in values.items()}
    found: dict[str, File] = {}
    for item in wanted:
        key, path = str(item.get("key") or ""), str(item.get("path") or "")
        if key in values:
            found[path] = File(values[key], _mode(item.get("mode"), default))
        elif source.get("optional") is not True:
            raise ConfigError(f"{what} references non-existent config key: {key}")
    return found


def _config_map(pod: Object, source: Object, default: int, material: Material) -> dict[str, File]:
    name = str(source.get("name") or "")
    found = material.sources.find("configmap", name, optional=source.get("optional") is True)
    return _keys(source, environment.binary_data(found, "configmap"), default, f'configmap "{name}"') if found else {}


def _secret(pod: Object, source: Object, default: int, material: Material) -> dict[str, File]:
    name = str(source.get("secretName") or source.get("name") or "")
    found = material.sources.find("secret", name, optional=source.get("optional") is True)
    return _keys(source, environment.binary_data(found, "secret"), default, f'secret "{name}"') if found else {}


def _downward(pod: Object, source: Object, default: int, material: Material) -> dict[str, File]:
    found: dict[str, File] = {}
    for item in pods.items(source.get("items")):
        where = pods.mapping(item.get("fieldRef"))
        amount = pods.mapping(item.get("resourceFieldRef"))
        if where:
            text = environment.field_value(pod, str(where.get("fieldPath") or ""), material.facts)
        else:
            text = environment.resource_value(pod, {}, amount, material.facts)
        found[str(item.get("path") or "")] = File(text.encode("utf-8", "surrogatepass"), _mode(item.get("mode"), default))
    return found


def _token(pod: Object, source: Object, default: int, material: Material) -> dict[str, File]:
    wish = _wish(source)
    if wish not in material.tokens:
        account = objects.spec(pod).get("serviceAccountName") or "default"
        raise ConfigError(f'no token for service account "{account}" yet')
    mode = default if default != DEFAULT_MODE else 0o600
    # A process that runs as another user must be able to read it, as with kubelet's fsGroup rule.
    shared = pods.mapping(objects.spec(pod).get("securityContext"))
    mode = 0o644 if shared.get("runAsUser") or any(_own_user(c) for c in pods.containers(pod)) else mode
    return {str(source.get("path") or "token"): File(material.tokens[wish].encode(), mode)}


def _own_user(container: Object) -> bool:
    return bool(pods.mapping(container.get("securityContext")).get("runAsUser"))


_Builder = Callable[[Object, Object, int, Material], dict[str, File]]
_BUILDERS: Final[Mapping[str, _Builder]] = {
    "configMap": _config_map,
    "secret": _secret,
    "downwardAPI": _downward,
    "serviceAccountToken": _token,
}
