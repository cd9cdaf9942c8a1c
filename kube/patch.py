"""The three patches of the Kubernetes API. None of them changes its arguments; all return a new document."""

from __future__ import annotations

import copy
from typing import Any

from kube.jsonpatch import json_patch
from kube.patch_errors import MalformedPatch, PatchDoesNotApply, PatchError
from kube.strategicpatch import strategic_merge

__all__ = ["MalformedPatch", "PatchDoesNotApply", "PatchError", "json_patch", "merge_patch", "strategic_merge"]


def merge_patch(document: Any, patch: Any) -> Any:
    """RFC 7386: maps merge, null removes, everything else replaces."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = copy.deepcopy(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result
