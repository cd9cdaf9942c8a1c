"""Which ConfigMaps and Secrets a pod needs: what an edge must have before the pod can start there.

KubeEdge 1.23 forgets init and ephemeral containers (cloud/pkg/edgecontroller/controller: LocationCache); here they count.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from kube.objects import Object, spec


class References(NamedTuple):
    """Names within the pod's own namespace."""

    config_maps: frozenset[str]
    secrets: frozenset[str]


def pod_references(pod: Object) -> References:
    """Every ConfigMap and Secret that the pod names, optional ones too. Odd shapes count as absent."""
    body = spec(pod)
    found = [*_of_volumes(body), *_of_containers(body)]
    found += [("secret", _text(entry, "name")) for entry in _maps(body, "imagePullSecrets")]
    return References(
        frozenset(name for kind, name in found if kind == "configMap" and name),
        frozenset(name for kind, name in found if kind == "secret" and name),
    )


def containers(pod: Object) -> Iterator[dict[str, Any]]:
    """Init, plain and ephemeral containers."""
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from _maps(spec(pod), field)


_SECRET_REF_VOLUMES = ("cephfs", "cinder", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos")
_CSI_AND_AZURE = (("csi", "nodePublishSecretRef", "name"), ("azureFile", "", "secretName"))


def _of_volumes(body: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for volume in _maps(body, "volumes"):
        yield "configMap", _text(_map(volume, "configMap"), "name")
        yield "secret", _text(_map(volume, "secret"), "secretName")
        for source in _maps(_map(volume, "projected"), "sources"):
            yield "configMap", _text(_map(source, "configMap"), "name")
            yield "secret", _text(_map(source, "secret"), "name")
        for driver in _SECRET_REF_VOLUMES:
            yield "secret", _text(_map(_map(volume, driver), "secretRef"), "name")
        for driver, inner, field in _CSI_AND_AZURE:
            holder = _map(volume, driver)
            yield "secret", _text(_map(holder, inner) if inner else holder, field)


def _of_containers(body: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for container in containers({"spec": body}):
        for source in _maps(container, "envFrom"):
            yield "configMap", _text(_map(source, "configMapRef"), "name")
            yield "secret", _text(_map(source, "secretRef"), "name")
        for variable in _maps(container, "env"):
            value = _map(variable, "valueFrom")
            yield "configMap", _text(_map(value, "configMapKeyRef"), "name")
            yield "secret", _text(_map(value, "secretKeyRef"), "name")


def _map(holder: dict[str, Any], field: str) -> dict[str, Any]:
    found = holder.get(field)
    return found if isinstance(found, dict) else {}


def _maps(holder: dict[str, Any], field: str) -> Iterator[dict[str, Any]]:
    found = holder.get(field)
    yield from (entry for entry in (found if isinstance(found, list) else ()) if isinstance(entry, dict))


def _text(holder: dict[str, Any], field: str) -> str:
    found = holder.get(field)
    return found if isinstance(found, str) else ""
