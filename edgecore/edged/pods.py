"""Reading a pod without surprises: null, absent and wrong types count as empty."""

from __future__ import annotations

import re
from typing import Any, Final

from edgecore.edged.runtime.engine import PodIdentity
from kube import objects
from kube.objects import Object

DEFAULT_GRACE: Final = 30.0
_HUGE: Final = 2.0**63
TERMINAL: Final = ("Succeeded", "Failed")


def items(value: Any) -> list[Object]:
    """The dictionaries of a list; everything else is left out."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def number(value: Any) -> float | None:
    """A JSON number that is of use, else None."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if abs(value) < _HUGE else None


def _named(value: Any) -> list[Object]:
    return [item for item in items(value) if isinstance(item.get("name"), str) and item["name"]]


def words(value: Any) -> list[str]:
    """A list of texts; everything else in it is left out."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def identity(pod: Object) -> PodIdentity:
    return PodIdentity(objects.namespace(pod), objects.name(pod), objects.uid(pod))


def containers(pod: Object) -> list[Object]:
    """The main containers that have a name."""
    return _named(objects.spec(pod).get("containers"))


def init_containers(pod: Object) -> list[Object]:
    return _named(objects.spec(pod).get("initContainers"))


def is_sidecar(init_container: Object) -> bool:
    return init_container.get("restartPolicy") == "Always"


def volumes(pod: Object) -> list[Object]:
    return _named(objects.spec(pod).get("volumes"))


def restart_policy(pod: Object) -> str:
    return str(objects.spec(pod).get("restartPolicy") or "Always")


def node_name(pod: Object) -> str:
    return str(objects.spec(pod).get("nodeName") or "")


def uses_host_network(pod: Object) -> bool:
    return objects.spec(pod).get("hostNetwork") is True


def phase(pod: Object) -> str:
    return str(objects.status(pod).get("phase") or "")


def is_terminal(pod: Object) -> bool:
    return phase(pod) in TERMINAL


def grace(pod: Object) -> float:
    """Seconds between TERM and KILL: what the delete request said, else the pod's own, else 30."""
    for found in (
        objects.metadata(pod).get("deletionGracePeriodSeconds"),
        objects.spec(pod).get("terminationGracePeriodSeconds"),
    ):
        seconds = number(found)
        if seconds is not None:
            return max(1.0, seconds)
    return DEFAULT_GRACE


def described(pod: Object) -> str:
    """How log lines name a pod."""
    return f"pod {objects.namespace(pod)}/{objects.name(pod)} ({objects.uid(pod)})"


_PATH_SAFE: Final = re.compile(r"[A-Za-z0-9][-A-Za-z0-9._]{0,252}")


def unsafe(pod: Object) -> str | None:
    """Why the pod must not be touched: its names become names of directories and containers. None when they are sound."""
    return _bad_name([("uid", objects.uid(pod)), ("name", objects.name(pod)), ("namespace", objects.namespace(pod))])


def malformed(pod: Object) -> str | None:
    """Why the spec cannot be carried out as it is (an API server would not have let it pass). None when it can."""
    every = [str(c["name"]) for c in containers(pod) + init_containers(pod)]
    known = [str(v["name"]) for v in volumes(pod)]
    if why := _bad_name([("container", name) for name in every] + [("volume", name) for name in known]):
        return why
    if not containers(pod):
        return "it has no containers"
    for what, names in (("container", every), ("volume", known)):
        if twice := next((name for name in names if names.count(name) > 1), None):
            return f"it has two {what}s named {twice!r}"
    return None


def _bad_name(parts: list[tuple[str, str]]) -> str | None:
    return next((f"its {what} {text!r} is no valid name" for what, text in parts if not _PATH_SAFE.fullmatch(text)), None)
