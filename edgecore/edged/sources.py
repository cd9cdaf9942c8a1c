"""Fetches what a pod names: ConfigMaps, Secrets, service account tokens. It decides nothing; what is missing is noted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from beehive.sqlite import StoreError
from edgecore.edged.environment import Sources
from edgecore.edged.volumes.payload import TokenWish, wishes
from edgecore.metamanager.client import MetaClient, MetaError, NotFound, ObjectKey, Offline
from kube import objects
from kube.objects import Object
from kube.references import pod_references


def keys(pod: Object) -> frozenset[ObjectKey]:
    """The objects whose change matters to this pod."""
    found, namespace = pod_references(pod), objects.namespace(pod)
    return frozenset(
        [ObjectKey("configmap", namespace, name) for name in found.config_maps]
        + [ObjectKey("secret", namespace, name) for name in found.secrets]
    )


async def gather(pod: Object, meta: MetaClient) -> Sources:
    """All of them. An object that cannot be asked for without the cloud counts as absent where it is optional: a pod that
    ran without it must come up again without the cloud."""
    config_maps: dict[str, Object] = {}
    secrets: dict[str, Object] = {}
    missing: dict[tuple[str, str], str] = {}
    absent: set[tuple[str, str]] = set()
    for key in sorted(keys(pod)):
        is_map = key.type == "configmap"
        fetch: Callable[[str, str], Awaitable[Object]] = meta.config_map if is_map else meta.secret
        try:
            (config_maps if is_map else secrets)[key.name] = await fetch(key.namespace, key.name)
        except (NotFound, Offline) as error:
            absent.add((key.type, key.name))
            missing[key.type, key.name] = _text(key, error)
        except (MetaError, StoreError) as error:
            missing[key.type, key.name] = _text(key, error)
    return Sources(config_maps, secrets, missing, frozenset(absent))


def _text(key: ObjectKey, error: MetaError | StoreError) -> str:
    shown = f'{key.type} "{key.name}"'
    if isinstance(error, NotFound):
        return f"{shown} not found"
    if isinstance(error, Offline):
        return f"{shown} is not stored on this node and the cloud cannot be asked now: {error}"
    return f"{shown}: {error}"


async def tokens(pod: Object, meta: MetaClient) -> tuple[dict[TokenWish, str], str]:
    """The service account tokens that the volumes need, and why the last missing one is missing."""
    found: dict[TokenWish, str] = {}
    trouble = ""
    account = str(objects.spec(pod).get("serviceAccountName") or "default")
    for wish in wishes(pod):
        try:
            answer = await meta.service_account_token(objects.namespace(pod), account, token_request(pod, wish))
        except (MetaError, StoreError) as error:
            trouble = f'token for service account "{account}": {error}'
            continue
        token = objects.status(answer).get("token")
        if isinstance(token, str) and token:
            found[wish] = token
    return found, trouble


def token_request(pod: Object, wish: TokenWish) -> Object:
    """A TokenRequest bound to the pod (KubeEdge 1.23: protocol message U15)."""
    return {
        "metadata": {"creationTimestamp": None},
        "spec": {
            "audiences": [wish.audience] if wish.audience else None,
            "expirationSeconds": wish.seconds,
            "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": objects.name(pod), "uid": objects.uid(pod)},
        },
        "status": {"token": "", "expirationTimestamp": None},
    }
