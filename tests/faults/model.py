"""What a client may expect of a cluster, from nothing but the answers that it got. Pure: no processes, no clocks.

An answer is yes, no, or nothing ("unknown": the connection broke, so the write may or may not have happened). After an unknown
answer both outcomes stay acceptable until a later certain answer tells.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Answer = Literal["yes", "no", "unknown"]
NO_ANSWER: Final = ("was refused", "connection refused", "failed to download openapi")
"""kubectl never reached the API with its write: nothing has happened."""
A_CLEAR_NO: Final = ("Error from server (AlreadyExists)", "Error from server (NotFound)", "Error from server (Conflict)")
A_CLEAR_NO_TO_APPLY: Final = ("Error from server (Invalid)", "Error from server (Forbidden)")


def answer_of(returncode: int, stderr: str) -> Answer:
    """What kubectl's exit says about one write."""
    if returncode == 0:
        return "yes"
    clear = any(text in stderr for text in (*NO_ANSWER, *A_CLEAR_NO, *A_CLEAR_NO_TO_APPLY))
    return "no" if clear else "unknown"


@dataclass
class Text:
    """The text in a ConfigMap, a Secret or a label: every value that it may have now."""

    values: set[str] = field(default_factory=set)

    def wrote(self, value: str, answer: Answer) -> None:
        if answer == "yes":
            self.values = {value}
        elif answer == "unknown":
            self.values.add(value)


@dataclass
class Pod:
    """One name. present: None when nobody can know. leaving: a graceful deletion was accepted. uids: those it may have."""

    name: str
    once: bool = False
    present: bool | None = False
    leaving: bool = False
    uid: str = ""
    label: Text = field(default_factory=Text)
    containers: int = 1
    settings: str = ""
    hidden: str = ""
    injured: int = 0

    def created(self, answer: Answer, uid: str, label: str) -> None:
        if answer == "no":
            return
        certain = answer == "yes"
        before = set() if certain or self.present is False else self.label.values
        self.present, self.uid, self.leaving = (True if certain else None), (uid if certain else ""), False
        self.label = Text({label} | before)
        self.injured = 0

    def deleted(self, answer: Answer, *, force: bool, missing: bool) -> None:
        if missing:
            assert self.present is not True or self.leaving, f"pod {self.name} was acknowledged and is not there"
            self.present, self.leaving = False, False
        elif answer == "yes":
            self.present, self.leaving = (False, False) if force else (self.present, True)
        elif answer == "unknown":
            self.present = None

    def complaint(self, found: dict[str, Any] | None) -> str:
        """Why the state in the API contradicts the answers; empty when it does not."""
        if found is None:
            return "" if self.present is not True or self.leaving else "acknowledged, and not in the API"
        uid = found["metadata"]["uid"]
        if self.present is False:
            return f"its deletion was acknowledged, and it is in the API as {uid}"
        if self.leaving and self.uid in ("", uid):
            return f"its graceful deletion does not end ({uid})"
        if self.uid and self.uid != uid:
            return f"acknowledged as {self.uid}, and in the API as {uid}"
        label = found["metadata"].get("labels", {}).get("value", "")
        return "" if label in self.label.values else f"label {label!r}, acknowledged {sorted(self.label.values)}"


class Revisions:
    """Every resourceVersion that anybody has seen: one belongs to one state of one object, for ever."""

    def __init__(self) -> None:
        self.seen: dict[int, str] = {}
        self.problems: list[str] = []

    def saw(self, obj: dict[str, Any], *, removed: bool = False) -> int:
        meta = obj.get("metadata", {})
        revision = int(meta.get("resourceVersion") or 0)
        if not revision:
            return 0
        state = json.dumps([removed, _essence(obj)], sort_keys=True)
        before = self.seen.setdefault(revision, state)
        if before != state:
            self.problems.append(f"resourceVersion {revision} stands for two states:\n  {before}\n  {state}")
        return revision


def _essence(obj: dict[str, Any]) -> dict[str, Any]:
    """managedFields and what kubectl itself fills in are left out."""
    meta = {key: value for key, value in obj.get("metadata", {}).items() if key not in ("managedFields", "selfLink")}
    return {key: obj.get(key) for key in ("spec", "status", "data")} | {"metadata": meta}
