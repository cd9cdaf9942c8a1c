"""Which kind of patch a request carries, and its faults as answers."""

from __future__ import annotations

from typing import Any, Final

from cloudcore.apiserver.kinds import Kind
from kube import patch, status
from kube.objects import Object
from kube.strategies import PLAIN, Strategy, strategy_for

_JSON: Final = "application/json-patch+json"
_MERGE: Final = "application/merge-patch+json"
_STRATEGIC: Final = "application/strategic-merge-patch+json"


def apply_patch(kind: Kind, media: str, present: Object, change: Any) -> Any:
    """What the object looks like after the patch; not checked yet.

    Raises ApiError: an unknown kind of patch (415), a malformed one (400), one that does not fit (422).
    """
    known = (_JSON, _MERGE, _STRATEGIC) if kind.strategic else (_JSON, _MERGE)
    if media not in known:
        raise status.unsupported_media_type(known)
    try:
        if media == _JSON:
            return patch.json_patch(present, change)
        if not isinstance(change, dict):
            raise status.bad_request("the patch must be a JSON object")
        if media == _MERGE:
            return patch.merge_patch(present, change)
        return patch.strategic_merge(present, change, _strategy(kind))
    except patch.PatchDoesNotApply as error:
        details = {"kind": kind.resource.kind, "name": present["metadata"]["name"]}
        raise status.make(422, "Invalid", f"{status.describe(422)}: {error}", details) from error
    except RecursionError as error:
        raise status.bad_request("the patch makes the object nest too deeply") from error
    except patch.PatchError as error:
        raise status.bad_request(str(error)) from error


def _strategy(kind: Kind) -> Strategy:
    return strategy_for(kind.resource.api_version, kind.resource.kind) or PLAIN
