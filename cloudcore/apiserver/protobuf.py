"""Reads the few kinds that kubectl sends as protobuf (``kubectl create configmap``, ``create namespace``, ``auth`` ...).

Answers are JSON always, which every client takes. Field numbers: Kubernetes 1.32: the ``generated.proto`` files.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from kube.objects import Object, timestamp

MEDIA_TYPE: Final = "application/vnd.kubernetes.protobuf"
_MAGIC: Final = b"k8s\x00"
_DEPTH: Final = 16

# Types: s string, i integer, b boolean, t time, m map of strings, mb map of bytes, [x] repeated, or another message.
_MESSAGES: Final = """
Unknown: 1 typeMeta=TypeMeta 2 raw=raw
TypeMeta: 1 apiVersion=s 2 kind=s
ObjectMeta: 1 name=s 2 generateName=s 3 namespace=s 5 uid=s 6 resourceVersion=s 7 generation=i 8 creationTimestamp=t
ObjectMeta: 9 deletionTimestamp=t 10 deletionGracePeriodSeconds=i 11 labels=m 12 annotations=m
ObjectMeta: 13 ownerReferences=[OwnerReference] 14 finalizers=[s]
OwnerReference: 1 kind=s 3 name=s 4 uid=s 5 apiVersion=s 6 controller=b 7 blockOwnerDeletion=b
ObjectReference: 1 kind=s 2 namespace=s 3 name=s 4 uid=s 5 apiVersion=s 6 resourceVersion=s 7 fieldPath=s
LocalObjectReference: 1 name=s
ConfigMap: 1 metadata=ObjectMeta 2 data=m 3 binaryData=mb 4 immutable=b
Secret: 1 metadata=ObjectMeta 2 data=mb 3 type=s 4 stringData=m 5 immutable=b
Namespace: 1 metadata=ObjectMeta 2 spec=NamespaceSpec
NamespaceSpec: 1 finalizers=[s]
ServiceAccount: 1 metadata=ObjectMeta 2 secrets=[ObjectReference] 3 imagePullSecrets=[LocalObjectReference]
ServiceAccount: 4 automountServiceAccountToken=b
DeleteOptions: 1 gracePeriodSeconds=p 2 preconditions=Preconditions 3 orphanDependents=b 4 propagationPolicy=s 5 dryRun=[s]
Preconditions: 1 uid=s 2 resourceVersion=s
Eviction: 1 metadata=ObjectMeta 2 deleteOptions=DeleteOptions
Binding: 1 metadata=ObjectMeta 2 target=ObjectReference
Lease: 1 metadata=ObjectMeta 2 spec=LeaseSpec
LeaseSpec: 1 holderIdentity=s 2 leaseDurationSeconds=i 3 acquireTime=t 4 renewTime=t 5 leaseTransitions=i
TokenRequest: 1 metadata=ObjectMeta 2 spec=TokenRequestSpec
TokenRequestSpec: 1 audiences=[s] 3 boundObjectRef=BoundObjectReference 4 expirationSeconds=i
BoundObjectReference: 1 kind=s 2 apiVersion=s 3 name=s 4 uid=s
Deployment: 1 metadata=ObjectMeta 2 spec=DeploymentSpec 3 status=DeploymentStatus
DeploymentSpec: 1 replicas=p 2 selector=LabelSelector 3 template=PodTemplateSpec 4 strategy=DeploymentStrategy 5 minReadySeconds=i
DeploymentSpec: 6 revisionHistoryLimit=p 7 paused=b 9 progressDeadlineSeconds=p
DeploymentStrategy: 1 type=s
DeploymentStatus: 1 observedGeneration=i
LabelSelector: 1 matchLabels=m 2 matchExpressions=[LabelSelectorRequirement]
LabelSelectorRequirement: 1 key=s 2 operator=s 3 values=[s]
PodTemplateSpec: 1 metadata=ObjectMeta 2 spec=PodSpec
PodSpec: 2 containers=[Container] 3 restartPolicy=s 4 terminationGracePeriodSeconds=p 6 dnsPolicy=s 7 nodeSelector=m
PodSpec: 8 serviceAccountName=s 9 serviceAccount=s 10 nodeName=s 11 hostNetwork=b 15 imagePullSecrets=[LocalObjectReference]
Container: 1 name=s 2 image=s 3 command=[s] 4 args=[s] 5 workingDir=s 6 ports=[ContainerPort] 7 env=[EnvVar]
Container: 8 resources=ResourceRequirements 14 imagePullPolicy=s
ContainerPort: 1 name=s 2 hostPort=i 3 containerPort=i 4 protocol=s 5 hostIP=s
EnvVar: 1 name=s 2 value=s
ResourceRequirements: 99 none=s
SelfSubjectReview: 1 metadata=ObjectMeta
SelfSubjectAccessReview: 1 metadata=ObjectMeta 2 spec=SelfSubjectAccessReviewSpec
SelfSubjectAccessReviewSpec: 1 resourceAttributes=ResourceAttributes 2 nonResourceAttributes=NonResourceAttributes
ResourceAttributes: 1 namespace=s 2 verb=s 3 group=s 4 version=s 5 resource=s 6 subresource=s 7 name=s
NonResourceAttributes: 1 path=s 2 verb=s
"""


_WHOLE: Final = frozenset(
    {"DeploymentSpec", "DeploymentStrategy", "PodTemplateSpec", "PodSpec", "Container", "ContainerPort", "EnvVar"}
    | {"LabelSelector", "ResourceRequirements"}
)
"""Of these a field that is not known here is refused: a pod without its volumes is not the pod that was asked for."""


class ProtobufError(ValueError):
    """Not protobuf, or a kind that is accepted as JSON only."""


@cache
def _messages() -> dict[str, dict[int, tuple[str, str]]]:
    found: dict[str, dict[int, tuple[str, str]]] = {}
    for line in _MESSAGES.strip().splitlines():
        name, _, rest = line.partition(": ")
        words = rest.split()
        for number, field in zip(words[::2], words[1::2], strict=True):
            key, _, kind = field.partition("=")
            found.setdefault(name, {})[int(number)] = (key, kind)
    return found


def decode(data: bytes) -> Object:
    """The object as JSON would have it; empty fields are absent.

    Raises ProtobufError.
    """
    if not data.startswith(_MAGIC):
        raise ProtobufError("the body does not begin as Kubernetes' protobuf does")
    envelope = _message("Unknown", data[len(_MAGIC) :], 0)
    identity = envelope.get("typeMeta", {})
    kind = identity.get("kind", "")
    if kind not in _messages() or kind in ("Unknown", "TypeMeta"):
        raise ProtobufError(f"objects of kind {kind!r} are accepted as JSON only")
    return {"apiVersion": identity.get("apiVersion", ""), "kind": kind, **_message(kind, envelope.get("raw", b""), 0)}


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ProtobufError("the body ends in the middle of a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        value: int | bytes
        if wire == 0:
            value, at = _varint(data, at)
        else:
            size = {1: 8, 5: 4}.get(wire, -1)
            if wire == 2:
                size, at = _varint(data, at)
            if size < 0 or at + size > len(data):
                raise ProtobufError("the body is cut short or not protobuf")
            value = data[at : at + size]
            at += size
        yield number, value


def _message(name: str, data: bytes, depth: int) -> Object:
    if depth > _DEPTH:
        raise ProtobufError("the body is nested too deeply")
    known = _messages()[name]
    found: Object = {}
    for number, value in _fields(data):
        if number not in known:
            if name in _WHOLE and value:
                raise ProtobufError(f"field {number} of a {name} is accepted as JSON only")
            continue
        key, kind = known[number]
        if kind in ("m", "mb"):
            found.setdefault(key, {}).update([_pair(_bytes(value), binary=kind == "mb")])
        elif kind.startswith("["):
            found.setdefault(key, []).append(_value(kind[1:-1], value, depth))
        elif (decoded := _value(kind, value, depth)) or kind in ("p", "b"):
            found[key] = decoded
    return found


def _value(kind: str, value: int | bytes, depth: int) -> Any:
    match kind:
        case "s":
            return _text(_bytes(value))
        case "i" | "p":
            number = _number(value)
            return number - 2**64 if number >= 2**63 else number
        case "b":
            return bool(_number(value))
        case "t":
            return _time(_bytes(value))
        case "raw":
            return _bytes(value)
    return _message(kind, _bytes(value), depth + 1)


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ProtobufError("a number stands where bytes are expected")
    return value


def _number(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise ProtobufError("bytes stand where a number is expected")
    return value


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ProtobufError(f"a string is not UTF-8: {error}") from error


def _pair(data: bytes, *, binary: bool) -> tuple[str, str]:
    parts = dict(_fields(data))
    key, value = _text(_bytes(parts.get(1, b""))), _bytes(parts.get(2, b""))
    return key, base64.b64encode(value).decode() if binary else _text(value)


def _time(data: bytes) -> str:
    seconds = _number(dict(_fields(data)).get(1, 0))
    try:
        return timestamp(seconds) if seconds else ""
    except (OverflowError, ValueError, OSError) as error:
        raise ProtobufError(f"{seconds} is not a time") from error
