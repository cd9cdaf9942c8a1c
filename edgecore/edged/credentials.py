"""Registry credentials out of ``imagePullSecrets``. Pure."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from typing import Final

from edgecore.edged import pods
from edgecore.edged.environment import ConfigError, binary_data
from edgecore.edged.runtime.engine import Credentials
from kube import objects
from kube.objects import Object

_KEYS: Final = (".dockerconfigjson", ".dockercfg")


def secret_names(pod: Object) -> list[str]:
    return [str(s["name"]) for s in pods.items(objects.spec(pod).get("imagePullSecrets")) if s.get("name")]


def from_secrets(secrets: Iterable[Object], image: str) -> list[Credentials]:
    """Those that fit the registry of ``image``, in the order of the secrets; unreadable entries are left out."""
    registry = _registry(image)
    found: list[Credentials] = []
    for secret in secrets:
        for server, entry in _entries(secret).items():
            credentials = _decode(server, entry)
            if credentials and _host(server) == registry:
                found.append(credentials)
    return found


def _entries(secret: Object) -> dict[str, Object]:
    try:
        data = binary_data(secret, "secret")
        text = next((data[key] for key in _KEYS if key in data), b"{}")
        parsed = pods.mapping(json.loads(text))
    except (ConfigError, ValueError, RecursionError):
        return {}
    holder = pods.mapping(parsed.get("auths")) if "auths" in parsed else parsed
    return {str(server): entry for server, entry in holder.items() if isinstance(entry, dict)}


def _decode(server: str, entry: Object) -> Credentials | None:
    user, password = entry.get("username"), entry.get("password")
    if not isinstance(user, str) or not isinstance(password, str):
        try:
            user, _, password = base64.b64decode(str(entry.get("auth") or "")).decode().partition(":")
        except (binascii.Error, ValueError):
            return None
    return Credentials(user, password, _host(server)) if user else None


def _host(server: str) -> str:
    host = server.split("://", 1)[-1].split("/", 1)[0]
    return "docker.io" if host in ("index.docker.io", "registry-1.docker.io") else host


def _registry(image: str) -> str:
    first, slash, _ = image.partition("/")
    return _host(first) if slash and ("." in first or ":" in first or first == "localhost") else "docker.io"
