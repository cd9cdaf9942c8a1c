"""Service account tokens: the key of their rows, and when a stored one is still good.

The key is KubeEdge's printf form, but always computed from the request, so that what was stored is found again
(KubeEdge 1.23 stores it under the response's fields and normally misses).
"""

from __future__ import annotations

import json
from enum import Enum
from typing import Final

from kube import objects
from kube.objects import Object

TYPE: Final = "serviceaccounttoken"
_REFRESH_AT: Final = 0.8
"""Share of a token's life after which a new one is fetched (as kubelet's token manager)."""


def key(namespace: str, account: str, request: Object) -> str:
    """``"<account>"/"<namespace>"/[]string{..}/<seconds>/v1.BoundObjectReference{..}``."""
    spec = objects.spec(request)
    audiences = spec.get("audiences")
    listed = ", ".join(_quote(item) for item in audiences) if isinstance(audiences, list) else None
    shown = "[]string(nil)" if listed is None else f"[]string{{{listed}}}"
    bound = spec.get("boundObjectRef")
    bound = bound if isinstance(bound, dict) else {}
    fields = (("Kind", "kind"), ("APIVersion", "apiVersion"), ("Name", "name"), ("UID", "uid"))
    reference = ", ".join(f"{go}:{_quote(bound.get(field))}" for go, field in fields)
    seconds = spec.get("expirationSeconds") or 0
    return f"{_quote(account)}/{_quote(namespace)}/{shown}/{seconds}/v1.BoundObjectReference{{{reference}}}"


def _quote(text: object) -> str:
    return json.dumps("" if text is None else str(text), ensure_ascii=False)


def belongs_to(row_key: str, pod_uid: str) -> bool:
    """Whether a token row was issued for this pod."""
    return row_key.endswith(f"UID:{_quote(pod_uid)}}}")


class Freshness(Enum):
    """What to do with a stored token."""

    GOOD = "good"
    REFRESH = "refresh"
    EXPIRED = "expired"


def freshness(token: Object, now: float) -> Freshness:
    """now: seconds since the epoch. A token without a readable expiry needs a refresh."""
    expiry = objects.status(token).get("expirationTimestamp")
    try:
        end = objects.parse_timestamp(str(expiry))
    except ValueError:
        return Freshness.REFRESH
    if now >= end:
        return Freshness.EXPIRED
    seconds = objects.spec(token).get("expirationSeconds")
    life = float(seconds) if isinstance(seconds, int | float) and seconds > 0 else 3600.0
    return Freshness.GOOD if now < end - (1 - _REFRESH_AT) * life else Freshness.REFRESH
