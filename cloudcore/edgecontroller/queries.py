"""What a node asks for: ConfigMaps, Secrets, tokens, volumes, signed certificates (protocol messages U14..U17)."""

from __future__ import annotations

import base64
from typing import Final

from beehive.resource import Resource as Path
from cloudcore.edgecontroller import ownership
from cloudcore.edgecontroller.compare import trimmed
from cloudcore.edgecontroller.location import CONFIG_MAP
from cloudcore.edgecontroller.request import Request, World
from kube import objects
from kube.objects import Object
from kube.references import required_references
from kube.resources import CONFIG_MAPS, SECRETS, SERVICE_ACCOUNTS, Resource
from kube.status import ApiError, bad_request
from viaduct.certificates import CertificateError, check_request

PERSISTENT_VOLUMES: Final = Resource("", "v1", "PersistentVolume", "persistentvolumes", "persistentvolume", False)
CLAIMS: Final = Resource("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", "persistentvolumeclaim", True)
ATTACHMENTS: Final = Resource("storage.k8s.io", "v1", "VolumeAttachment", "volumeattachments", "volumeattachment", False)

SERVING: Final = "kubernetes.io/kubelet-serving"
SIGNING_REQUESTS: Final = Resource(
    "certificates.k8s.io",
    "v1",
    "CertificateSigningRequest",
    "certificatesigningrequests",
    "certificatesigningrequest",
    False,
)


class MayBeAbsent(ApiError):
    """Not found, and every pod of the node that names it calls it optional."""


async def referenced(world: World, request: Request) -> Object:
    """U14: a ConfigMap or Secret that a pod of the node refers to, from memory or, as memory may lag, from the API."""
    path = request.path
    resource = CONFIG_MAPS if path.type == CONFIG_MAP else SECRETS
    if not world.cluster.location.holds(request.node, path):
        raise ownership.refuse(request.node, resource, path.name, f"has no pod that refers to it in namespace {path.namespace!r}")
    found = world.cluster.get(path)
    if found is None:
        try:
            found = await world.client.get(resource, path.name, namespace=path.namespace)
        except ApiError as error:
            if error.code == 404 and not _is_required(world, request.node, path):
                raise MayBeAbsent(error.code, error.reason, error.message, error.details) from error
            raise
    return trimmed(path.type, found)


def _is_required(world: World, node: str, path: Path) -> bool:
    """Whether a pod of the node cannot start without it."""
    pods = (world.cluster.get(pod) for pod in world.cluster.location.pods(node) if pod.namespace == path.namespace)
    needed = [required_references(pod) for pod in pods if pod is not None]
    return any(path.name in (found.config_maps if path.type == CONFIG_MAP else found.secrets) for found in needed)


async def token(world: World, request: Request) -> Object:
    """U15: a token for a pod of the node."""
    path, wanted = request.path, request.object()
    ownership.token_request(request.node, SERVICE_ACCOUNTS, path, wanted, world.known_pod)
    kind = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1"}
    body = kind | {"metadata": {}, "spec": objects.spec(wanted)}
    where = SERVICE_ACCOUNTS.path(path.namespace, path.name, "token")
    return await world.client.request("POST", where, body=body) | kind


async def claim(world: World, request: Request) -> Object:
    """U16: a PersistentVolumeClaim that a pod of the node uses."""
    path = request.path
    if (path.namespace, path.name) not in _claims(world, request.node):
        raise ownership.refuse(request.node, CLAIMS, path.name, f"has no pod that uses it in namespace {path.namespace!r}")
    found = await world.client.get(CLAIMS, path.name, namespace=path.namespace)
    return {"kind": CLAIMS.kind, "apiVersion": CLAIMS.api_version} | found


async def volume(world: World, request: Request) -> Object:
    """U16: a PersistentVolume that is bound to such a claim."""
    found = await world.client.get(PERSISTENT_VOLUMES, request.path.name)
    owner = objects.spec(found).get("claimRef")
    key = (str(owner.get("namespace")), str(owner.get("name"))) if isinstance(owner, dict) else ("", "")
    if key not in _claims(world, request.node):
        raise ownership.refuse(request.node, PERSISTENT_VOLUMES, request.path.name, "has no pod that uses it")
    return {"kind": PERSISTENT_VOLUMES.kind, "apiVersion": PERSISTENT_VOLUMES.api_version} | found


async def attachment(world: World, request: Request) -> Object:
    """U16: a VolumeAttachment of the node; its path says namespace ``default`` although it has none."""
    found = await world.client.get(ATTACHMENTS, request.path.name)
    if objects.spec(found).get("nodeName") != request.node:
        raise ownership.refuse(request.node, ATTACHMENTS, request.path.name, "may only access attachments to itself")
    return {"kind": ATTACHMENTS.kind, "apiVersion": ATTACHMENTS.api_version} | found


async def create_signing_request(world: World, request: Request) -> Object:
    """U17: a serving certificate for the node. The API sees cloudcore as the requester, so no other signer is let through."""
    wanted = request.object()
    request.named(wanted)
    if objects.spec(wanted).get("signerName") != SERVING:
        raise ownership.refuse(request.node, SIGNING_REQUESTS, request.path.name, f"may only ask the signer {SERVING}")
    _check_requester(request.node, objects.spec(wanted).get("request"))
    body = {"kind": SIGNING_REQUESTS.kind, "apiVersion": SIGNING_REQUESTS.api_version} | wanted
    return await world.client.create(SIGNING_REQUESTS, body)


def _check_requester(node: str, sent: object) -> None:
    """The subject inside must be the node, which an approver would read as who asks. Raises ApiError."""
    try:
        check_request(base64.b64decode(sent if isinstance(sent, str) else "", validate=True), node)
    except (CertificateError, ValueError) as error:  # binascii.Error is a ValueError
        raise bad_request(f"spec.request: {error}") from error


async def signing_request(world: World, request: Request) -> Object:
    """U17: whether it was signed. Kubernetes lets every node read all of them."""
    return await world.client.get(SIGNING_REQUESTS, request.path.name)


def _claims(world: World, node: str) -> set[tuple[str, str]]:
    """(namespace, name) of every claim that a pod of the node names."""
    out = set()
    for path in world.cluster.location.pods(node):
        pod = world.cluster.get(path)
        volumes = objects.spec(pod).get("volumes") if pod is not None and not ownership.is_mirror(pod) else None
        for one in volumes if isinstance(volumes, list) else []:
            source = one.get("persistentVolumeClaim") if isinstance(one, dict) else None
            if isinstance(source, dict):
                out.add((path.namespace, str(source.get("claimName"))))
    return out
