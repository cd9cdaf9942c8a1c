"""Takes away what must differ between two servers: identities, times, versions. Their order and their form stay."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

from differential.conversation import Step

from kube.objects import parse_timestamp

_UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_AGE = re.compile(r"\d+[smhdy](\d+[smhd])?")
_VERSION_IN_TEXT = re.compile(
    r"(?i)(resource ?version(?: in record| in the precondition)?[^0-9\"]{0,3}[(:= ]+\"?)(\d+)((?: \()(\d+)\))?"
)
_PREFIX = re.compile(r'"generateName": "([^"]+)"')
_SUFFIX = "[bcdfghjklmnpqrstvwxz2456789]{5}"
_HASH_LABELS = ("pod-template-hash", "controller-revision-hash")
_HASH = re.compile(r"[bcdfghjklmnpqrstvwxz2456789]{6,10}")
_OF_SET = re.compile(r'(?i)(replica ?set "[a-z0-9-]+?-)[bcdfghjklmnpqrstvwxz2456789]{6,10}"')
_JUST_NOW = 3600.0


def normalised(steps: list[Step], server: str) -> list[Any]:
    """The answers of a conversation with ``server`` (its URL), comparable with those of another server."""
    return _Names(steps, server).of_steps()


class _Names:
    """The names that stand for what the server has made up, in the order in which it was seen first."""

    def __init__(self, steps: list[Step], server: str) -> None:
        self._steps, self._server = steps, server
        self._uids: dict[str, str] = {}
        prefixes = sorted({prefix for step in steps for prefix in _PREFIX.findall(step.asked)}, key=len, reverse=True)
        self._made_up = [(re.compile(f"({re.escape(prefix)}){_SUFFIX}"), prefix + "<letters>") for prefix in prefixes]
        self._versions: dict[str, list[int]] = {}
        self._hashes: set[str] = set()
        found = [metadata for step in steps for metadata in _metadata_in(step.answer)]
        for metadata in found:
            self._learn_hash(metadata)
        for metadata in found:
            self._learn(metadata)
        self._order = {uid: {str(v): i + 1 for i, v in enumerate(sorted(set(vs)))} for uid, vs in self._versions.items()}

    def _learn_hash(self, metadata: dict[str, Any]) -> None:
        for label in _HASH_LABELS:
            if _HASH.fullmatch(found := str((metadata.get("labels") or {}).get(label))):
                self._hashes.add(found)

    def _learn(self, metadata: dict[str, Any]) -> None:
        uid, version = metadata.get("uid"), metadata.get("resourceVersion")
        if isinstance(uid, str) and uid:
            if uid not in self._uids:
                name = self._text(str(metadata.get("name", "")))
                before = sum(one.startswith(f"<uid of {name} ") for one in self._uids.values())
                self._uids[uid] = f"<uid of {name} {before + 1}>"
            if isinstance(version, str) and version.isdigit():
                self._versions.setdefault(uid, []).append(int(version))

    def of_steps(self) -> list[Any]:
        return [self._of(step.answer, step.raw) for step in self._steps]

    def _of(self, value: Any, raw: bool) -> Any:
        if isinstance(value, dict):
            return {key: self._field(value, key, raw) for key in value if raw or key != "managedFields"}
        if isinstance(value, list):
            return [self._of(item, raw) for item in value]
        return self._text(value) if isinstance(value, str) else value

    def _field(self, parent: dict[str, Any], key: str, raw: bool) -> Any:
        value = parent[key]
        if key == "resourceVersion" and isinstance(value, str) and value not in ("", "0"):
            place = self._order.get(parent.get("uid", ""), {}).get(value)
            return f"<version {place}>" if place else "<version>"
        if key == "continue" and value:
            return "<continue>"
        if key == "token" and isinstance(value, str) and value.count(".") == 2:
            return "<token>"
        if key == "cells" and isinstance(value, list):
            return ["<age>" if isinstance(cell, str) and _AGE.fullmatch(cell) else self._of(cell, raw) for cell in value]
        return self._of(value, raw)

    def _text(self, text: str) -> str:
        for name, stand_in in self._made_up:
            text = name.sub(stand_in, text)
        text = _OF_SET.sub(r'\1<hash>"', text)
        for found in self._hashes:
            text = re.sub(f"{found}(-{_SUFFIX})?(?![a-z0-9])", lambda hit: "<hash>" + ("-<letters>" if hit[1] else ""), text)
        text = _UID.sub(lambda found: self._uids.get(found[0], "<uid>"), text)
        text = _VERSION_IN_TEXT.sub(lambda found: f"{found[1]}<version>" + (" (<version>)" if found[3] else ""), text)
        text = re.sub(r"current: \d+", "current: <version>", text)
        text = _TIME.sub(_recent, text)
        return text.replace(self._server, "<server>")


def _recent(found: re.Match[str]) -> str:
    """A time that a scenario has written itself is compared; one of right now is not."""
    if abs(parse_timestamp(found[0]) - time.time()) > _JUST_NOW:
        return found[0]
    return f"<time{'.' + str(len(found[1]) - 1) if found[1] else ''}>"


def _metadata_in(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if isinstance(metadata := value.get("metadata"), dict):
            yield metadata
        for item in value.values():
            yield from _metadata_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from _metadata_in(item)
