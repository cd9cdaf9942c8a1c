"""Resource paths: ``<namespace>/<type>[/<name>]`` on the wire, ``node/<node>/`` in front of it inside the cloud half.

Source of the grammar: KubeEdge 1.23: cloud/pkg/common/messagelayer/util.go, cloud/pkg/cloudhub/common/helper.go.
"""

from __future__ import annotations

from typing import Final, NamedTuple

CLUSTER_SCOPE: Final = "null"
"""What stands for the namespace of an object that has none."""


class MalformedResource(ValueError):
    """A resource path has not the number of parts that its use needs."""


class Resource(NamedTuple):
    """A parsed short path. ``name`` is empty when the path names a whole type."""

    namespace: str
    type: str
    name: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in self if part)


def parse(path: str) -> Resource:
    """Splits a short path.

    Raises MalformedResource unless it has two or three parts, of which none is empty, ``.`` or ``..`` (these would point
    elsewhere once they stand in a URL).
    """
    parts = path.split("/")
    if len(parts) not in (2, 3) or not {"", ".", ".."}.isdisjoint(parts):
        raise MalformedResource(f"resource {path!r} is not <namespace>/<type>[/<name>]")
    return Resource(*parts)


def trim(path: str) -> str:
    """Cloud form to wire form: drops ``node/<node>/`` in front."""
    parts = path.split("/")
    if parts[0].startswith("node") and len(parts) >= 3:
        return "/".join(parts[2:])
    return path


def expand(node: str, path: str) -> str:
    """Wire form to cloud form."""
    return f"node/{node}/{path}"
