"""Which ConfigMaps and Secrets a pod needs: what an edge must have before the pod can start there.

KubeEdge 1.23 forgets init and ephemeral containers (cloud/pkg/edgecontroller/controller: LocationCache); here they count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from kube.objects import Object, spec


class References(NamedTuple):
    """Names within the pod's own namespace."""

    config_maps: frozenset[str]
    secrets: frozenset[str]


def pod_references(pod: Object) -> References:
    """Every ConfigMap and Secret that the pod names, optional ones too. Odd shapes count as absent."""
    return _by_kind(_all(pod))


def required_references(pod: Object) -> References:
    """Those that the pod cannot start without: at least one of the places that name them is not ``optional``."""
    return _by_kind(found for found in _all(pod) if not found.optional)


class _Found(NamedTuple):
    kind: str
    name: str
    optional: bool = False


def _all(pod: Object) -> Iterator[_Found]:
    body = spec(pod)
    yield from _of_volumes(body)
    yield from _of_containers(body)
    yield from (_Found("secret", _text(entry, "name")) for entry in _maps(body, "imagePullSecrets"))


def _by_kind(found: Iterable[_Found]) -> References:
    named = [one for one in found if one.name]
    return References(
        frozenset(one.name for one in named if one.kind == "configMap"),
        frozenset(one.name for one in named if one.kind == "secret"),
    )


def containers(pod: Object) -> Iterator[dict[str, Any]]:
    """Init, plain and ephemeral containers."""
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from _maps(spec(pod), field)


_SECRET_REF_VOLUMES = ("cephfs", "cinder", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos")
_CSI_AND_AZURE = (("csi", "nodePublishSecretRef", "name"), ("azureFile", "", "secretName"))


def _of_volumes(body: dict[str, Any]) -> Iterator[_Found]:
    for volume in _maps(body, "volumes"):
        yield _named("configMap", _map(volume, "configMap"), "name")
        yield _named("secret", _map(volume, "secret"), "secretName")
        for source in _maps(_map(volume, "projected"), "sources"):
            yield _named("configMap", _map(source, "configMap"), "name")
            yield _named("secret", _map(source, "secret"), "name")
        for driver in _SECRET_REF_VOLUMES:
            yield _Found("secret", _text(_map(_map(volume, driver), "secretRef"), "name"))
        for driver, inner, field in _CSI_AND_AZURE:
            holder = _map(volume, driver)
            yield _Found("secret", _text(_map(holder, inner) if inner else holder, field))


def _of_containers(body: dict[str, Any]) -> Iterator[_Found]:
    for container in containers({"spec": body}):
        for source in _maps(container, "envFrom"):
            yield _named("configMap", _map(source, "configMapRef"), "name")
            yield _named("secret", _map(source, "secretRef"), "name")
        for variable in _maps(container, "env"):
            value = _map(variable, "valueFrom")
            yield _named("configMap", _map(value, "configMapKeyRef"), "name")
            yield _named("secret", _map(value, "secretKeyRef"), "name")


def _named(kind: str, holder: dict[str, Any], field: str) -> _Found:
    return _Found(kind, _text(holder, field), holder.get("optional") is True)


def _map(holder: dict[str, Any], field: str) -> dict[str, Any]:
    found = holder.get(field)
    return found if isinstance(found, dict) else {}


def _maps(holder: dict[str, Any], field: str) -> Iterator[dict[str, Any]]:
    found = holder.get(field)
    yield from (entry for entry in (found if isinstance(found, list) else ()) if isinstance(entry, dict))


def _text(holder: dict[str, Any], field: str) -> str:
    found = holder.get(field)
    return found if isinstance(found, str) else ""
