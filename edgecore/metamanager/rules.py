"""What to do with an object that the cloud sent: a pure decision, no database and no clock of its own.

The table (application-path section 7; every line ends in an acknowledgement, because the cloud has done its part):

========  ===============================================  ======================================================
message   stored                                           effect
========  ===============================================  ======================================================
upsert    a pod of another node                            nothing
upsert    nothing, and its uid was not deleted lately      store
upsert    another uid                                      store
upsert    same uid, RV higher, or one RV not a number      store
upsert    same uid, same RV                                nothing (a resend)
upsert    same uid, RV lower; or uid deleted lately        nothing, unless it insists: same RV again, in another
                                                           message, more than 10 s later (etcd was restored)
delete    nothing                                          nothing (tell edged all the same)
delete    same uid, or either side has no uid              delete
delete    another uid                                      nothing: the new object of that name stays
========  ===============================================  ======================================================

``insert`` and ``update`` mean the same: pods normally arrive as ``update`` (KubeEdge 1.23: edgecontroller downstream).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

import msgspec

from beehive.message import NULL, MalformedMessage, Message, Operation

INSISTS_AFTER: Final = 10.0
"""Seconds after which a repeated lower resource version is believed."""


class _Metadata(msgspec.Struct, rename="camel"):
    uid: str | None = None
    resource_version: str | None = None


class _Spec(msgspec.Struct, rename="camel"):
    node_name: str | None = None


class _Outline(msgspec.Struct):
    """The few fields that decide; the rest of the object stays undecoded."""

    metadata: _Metadata | None = None
    spec: msgspec.Raw = NULL


_outline: Final = msgspec.json.Decoder(_Outline | None)
_spec: Final = msgspec.json.Decoder(_Spec | None)


class Version(msgspec.Struct, frozen=True):
    """Which object, and which version of it. Both may be empty."""

    uid: str = ""
    resource_version: str = ""


def version_of(data: bytes | str | msgspec.Raw) -> Version:
    """Reads uid and resource version.

    Raises MalformedMessage when the text is not a JSON object, or its metadata are not what they must be.
    """
    outline = _decode_outline(data)
    if outline is None or outline.metadata is None:
        return Version()
    return Version(outline.metadata.uid or "", outline.metadata.resource_version or "")


def _decode_outline(data: bytes | str | msgspec.Raw) -> _Outline | None:
    try:
        found: _Outline | None = _outline.decode(data)
        return found
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedMessage(f"not a Kubernetes object: {error}") from error


def node_name_of(data: bytes | str | msgspec.Raw) -> str:
    """``spec.nodeName`` or "".

    Raises MalformedMessage.
    """
    outline = _decode_outline(data)
    if outline is None:
        return ""
    try:
        spec = _spec.decode(outline.spec)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedMessage(f"spec of a pod: {error}") from error
    return (spec.node_name or "") if spec else ""


class Action(Enum):
    """What happens to the row."""

    STORE = "store"
    DELETE = "delete"
    NOTHING = "nothing"


@dataclass(frozen=True)
class Effect:
    """notify: edged shall look at the object again. doubt: the cloud may insist on this later (see Doubt)."""

    action: Action
    notify: bool
    why: str
    doubt: bool = False


@dataclass(frozen=True)
class Doubt:
    """An upsert that was refused: it is believed when it comes again later in another message."""

    resource_version: str
    message_id: str
    at: float


@dataclass(frozen=True)
class Arrival:
    """A message from the cloud, as far as the decision needs it."""

    id: str
    delete: bool
    version: Version
    elsewhere: bool = False


def arrival(message: Message, type_: str, node: str) -> Arrival:
    """Raises MalformedMessage for a content that is no object, and for an upsert without one."""
    delete = message.operation == Operation.DELETE
    outline = _decode_outline(message.content)
    if outline is None and not delete:
        raise MalformedMessage(f"{message.operation} {message.resource!r}: the content is null, an object was expected")
    if (outline is None or outline.metadata is None) and not delete:
        raise MalformedMessage(f"{message.operation} {message.resource!r}: the object has no metadata")
    version = version_of(message.content)
    if not version.resource_version:
        version = Version(version.uid, message.header.resource_version)
    elsewhere = not delete and type_ == "pod" and node_name_of(message.content) != node
    return Arrival(message.id, delete, version, elsewhere)


def is_older(new: str, old: str) -> bool | None:
    """Whether resource version ``new`` lies before ``old``; None when they cannot be compared."""
    if not (new.isascii() and new.isdigit() and old.isascii() and old.isdigit()):
        return None
    return int(new) < int(old)


def decide(stored: Version | None, new: Arrival, *, buried: bool = False, doubt: Doubt | None = None, now: float = 0.0) -> Effect:
    """The table above. buried: this uid was deleted here lately. doubt: the last refusal for this row, if any."""
    if new.delete:
        return _decide_delete(stored, new)
    if new.elsewhere:
        return Effect(Action.NOTHING, notify=False, why="it belongs to another node")
    if stored is None or stored.uid != new.version.uid:
        if buried and not _insists(new, doubt, now):
            return Effect(Action.NOTHING, notify=False, why="this uid was deleted", doubt=True)
        return Effect(Action.STORE, notify=True, why="new")
    return _decide_update(stored.resource_version, new, doubt, now)


def _decide_update(stored: str, new: Arrival, doubt: Doubt | None, now: float) -> Effect:
    older = is_older(new.version.resource_version, stored)
    if older and not _insists(new, doubt, now):
        why = f"resource version {new.version.resource_version} is older than the stored {stored}"
        return Effect(Action.NOTHING, notify=False, why=why, doubt=True)
    if older is not None and new.version.resource_version == stored:
        return Effect(Action.NOTHING, notify=False, why="already stored")
    return Effect(Action.STORE, notify=True, why="changed")


def _insists(new: Arrival, doubt: Doubt | None, now: float) -> bool:
    return (
        doubt is not None
        and doubt.resource_version == new.version.resource_version
        and doubt.message_id != new.id
        and now - doubt.at > INSISTS_AFTER
    )


def _decide_delete(stored: Version | None, new: Arrival) -> Effect:
    if stored is None:
        return Effect(Action.NOTHING, notify=True, why="nothing stored")
    if stored.uid and new.version.uid and stored.uid != new.version.uid:
        return Effect(Action.NOTHING, notify=False, why="a newer object has that name")
    return Effect(Action.DELETE, notify=True, why="deleted")


def decide_answer(stored: Version | None, answer: Version, *, must_exist: bool, buried: bool = False) -> bool:
    """Whether an object that came as the answer to our own request replaces the row.

    must_exist: a status patch never brings back a row that was deleted meanwhile. An older answer never wins.
    """
    if stored is None:
        return not must_exist and not buried
    if stored.uid != answer.uid:
        return not must_exist and not buried
    return is_older(answer.resource_version, stored.resource_version) is not True
