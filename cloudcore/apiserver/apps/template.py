"""Pods from templates, and whether two templates are the same."""

from __future__ import annotations

import copy
import hashlib
from typing import Any, Final

import msgspec

from kube import objects
from kube.objects import Object, labels, name
from kube.ownership import controller_reference

HASH: Final = "pod-template-hash"
"""The label by which a Deployment tells its ReplicaSets and their pods apart."""
_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"


def pod(owner: Object) -> Object:
    """A new pod of ``owner``, which manages it."""
    template = owner["spec"]["template"]
    metadata: dict[str, Any] = {"generateName": f"{name(owner)}-", "ownerReferences": [controller_reference(owner)]}
    for key, found in (("labels", labels(template)), ("annotations", objects.annotations(template))):
        if found:
            metadata[key] = dict(found)
    if finalizers := template.get("metadata", {}).get("finalizers"):
        metadata["finalizers"] = list(finalizers)
    return {"metadata": metadata, "spec": copy.deepcopy(template["spec"])}


def digest(template: Object, collisions: int = 0) -> str:
    """A short name for a template, the same for the same content for ever. ``collisions``: how often it was taken."""
    text = msgspec.json.encode(template, order="deterministic")
    if collisions:
        text += str(collisions).encode()
    number = int.from_bytes(hashlib.sha256(text).digest()[:4], "big")
    return "".join(_LETTERS[ord(digit) % len(_LETTERS)] for digit in str(number))


def same(one: Object, other: Object) -> bool:
    """Whether two templates make the same pods, the hash label aside."""
    return _without_hash(one) == _without_hash(other)


def _without_hash(template: Object) -> Object:
    metadata = dict(template.get("metadata", {}))
    found = {key: value for key, value in labels(template).items() if key != HASH}
    metadata.pop("labels", None)
    return {**template, "metadata": {**metadata, **({"labels": found} if found else {})}}
