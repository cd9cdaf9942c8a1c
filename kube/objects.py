"""A Kubernetes object is a plain dictionary, exactly what the API sent. These functions read it without surprises."""

from datetime import UTC, datetime
from typing import Any, TypeAlias

Object: TypeAlias = dict[str, Any]


def metadata(obj: Object) -> dict[str, Any]:
    """The metadata block, or an empty one: null and wrong types count as absent."""
    found = obj.get("metadata")
    return found if isinstance(found, dict) else {}


def name(obj: Object) -> str:
    return str(metadata(obj).get("name") or "")


def namespace(obj: Object) -> str:
    """ "" for a cluster-scoped object."""
    return str(metadata(obj).get("namespace") or "")


def uid(obj: Object) -> str:
    return str(metadata(obj).get("uid") or "")


def resource_version(obj: Object) -> str:
    return str(metadata(obj).get("resourceVersion") or "")


def is_older(version: str, than: str) -> bool:
    """Whether one resourceVersion comes before another one of the same object. False when it cannot be told: Kubernetes promises
    that they are numbers since 1.35, and has never given others."""
    return version.isdecimal() and than.isdecimal() and int(version) < int(than)


def labels(obj: Object) -> dict[str, str]:
    found = metadata(obj).get("labels")
    return found if isinstance(found, dict) else {}


def annotations(obj: Object) -> dict[str, str]:
    found = metadata(obj).get("annotations")
    return found if isinstance(found, dict) else {}


def is_deleting(obj: Object) -> bool:
    return bool(metadata(obj).get("deletionTimestamp"))


def spec(obj: Object) -> dict[str, Any]:
    found = obj.get("spec")
    return found if isinstance(found, dict) else {}


def status(obj: Object) -> dict[str, Any]:
    found = obj.get("status")
    return found if isinstance(found, dict) else {}


def timestamp(seconds: float | None = None) -> str:
    """RFC 3339 in UTC to the second, as metav1.Time is written; now when ``seconds`` (since the epoch) is None."""
    moment = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_timestamp(seconds: float | None = None) -> str:
    """The same to the microsecond, as metav1.MicroTime is written (lease renewTime)."""
    moment = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_timestamp(text: str) -> float:
    """Seconds since the epoch.

    Raises ValueError.
    """
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
