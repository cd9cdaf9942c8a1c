"""Applies what the cloud sent to the store: the shell around ``rules`` and ``answers`` that runs in the writer's thread."""

from __future__ import annotations

import logging
import sqlite3
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import peewee

from beehive.message import MalformedMessage, Message, Operation
from beehive.resource import MalformedResource, Resource, parse
from edgecore.metamanager import rules, tokens
from edgecore.metamanager.answers import wants_ack
from edgecore.metamanager.client import ObjectKey
from edgecore.store import Store

log = logging.getLogger(__name__)

UPSERTS: Final = (Operation.INSERT, Operation.UPDATE)
_BARE: Final = ("configmap", "secret", "persistentvolume", "persistentvolumeclaim")
_WRAPPED: Final = {"node": "node", "nodepatch": "node", "podpatch": "pod"}
_KINDS: Final = {"node": "Node", "pod": "Pod"}
_REMEMBERED: Final = 1024
LATELY: Final = 30.0
"""Seconds after a deletion in which the same object again is an old message on its way. Later it means that the cloud has gone
back to an older copy of its data, and counts."""


@dataclass(frozen=True)
class Outcome:
    """acknowledge: say so after the commit. error: refuse with this text instead. notify: edged shall look again.
    answer: wake whoever waits for it."""

    acknowledge: bool = False
    error: str = ""
    notify: ObjectKey | None = None
    answer: bool = False


def plural(type_: str) -> str:
    """The resource of a type word, as KubeEdge guesses it (KubeEdge 1.23: pkg/metaserver/util)."""
    if type_ == "endpoints":
        return type_
    if type_.endswith("s"):
        return type_ + "es"
    return type_[:-1] + "ies" if type_.endswith("y") else type_ + "s"


class Intake:
    """Remembers, bounded, which uids were deleted and what was refused; everything else is in the store."""

    def __init__(self, store: Store, node: str, clock: Callable[[], float]) -> None:
        self._store = store
        self._node = node
        self._clock = clock
        self._buried: OrderedDict[str, float] = OrderedDict()
        self.expected: set[str] = set()
        """Pods that may be stored from the answer to a patch although there is no row: the store was lost."""
        self._doubts: OrderedDict[str, rules.Doubt] = OrderedDict()
        self._refused: OrderedDict[str, None] = OrderedDict()

    def apply(self, message: Message) -> Outcome:
        """Blocking; inside a transaction. Bad messages are answered, only a failing database raises."""
        try:
            return self._answer(message) if message.parent_id else self._push(message)
        except (MalformedMessage, MalformedResource) as error:
            if not message.id or message.id not in self._refused:  # the cloud sends it again, every few seconds
                log.warning("refused a message from the cloud: %s", error)
            self._refused[message.id] = None
            _trim(self._refused)
            return Outcome(error=str(error))
        except (peewee.PeeweeException, sqlite3.Error):
            raise
        except Exception as error:  # it must not take the rest of its batch with it
            log.exception("cannot handle %s %s of the cloud", message.operation, message.resource)
            return Outcome(error=f"{type(error).__name__}: {error}", answer=bool(message.parent_id))

    def _stored(self, key: str) -> rules.Version | None:
        value = self._store.get(key)
        if value is None:
            return None
        try:
            return rules.version_of(value)
        except MalformedMessage:
            return rules.Version()

    # -- pushed by the cloud -----------------------------------------------------------------------------------------

    def _push(self, message: Message) -> Outcome:
        if message.operation not in (*UPSERTS, Operation.DELETE):
            log.warning("the cloud asks for %r on %s, which this edge does not know", message.operation, message.resource)
            return Outcome(error=f"operation {message.operation!r} is not supported")
        place = parse(message.resource)
        if not place.name:
            raise MalformedResource(f"resource {message.resource!r} names no object")
        new = rules.arrival(message, place.type, self._node)
        key = str(place)
        effect = rules.decide(
            self._stored(key),
            new,
            buried=self._is_buried(new.version.uid),
            doubt=self._doubts.get(key),
            now=self._clock(),
        )
        if effect.doubt:
            self._remember_doubt(key, new)
            log.info("%s %s ignored: %s", message.operation, key, effect.why)
        elif effect.action is rules.Action.STORE:
            text = _readable(message)
            self._doubts.pop(key, None)
            self._buried.pop(new.version.uid, None)
            self._store.put(key, place.type, text)
        elif effect.action is rules.Action.DELETE:
            self._delete(place, new.version.uid)
        return Outcome(acknowledge=True, notify=_object_key(place) if effect.notify else None)

    def _is_buried(self, uid: str) -> bool:
        since = self._buried.get(uid)
        return since is not None and self._clock() - since < LATELY

    def _remember_doubt(self, key: str, new: rules.Arrival) -> None:
        old = self._doubts.get(key)
        if old is None or old.resource_version != new.version.resource_version:
            self._doubts[key] = rules.Doubt(new.version.resource_version, new.id, self._clock())
        _trim(self._doubts)

    def _delete(self, place: Resource, uid: str) -> None:
        stored = self._stored(str(place))
        uid = uid or (stored.uid if stored else "")
        self._store.delete(str(place))
        self._store.delete_v2(plural(place.type), place.namespace, place.name)
        if place.type in ("pod", "node"):
            self._store.delete(str(Resource(place.namespace, f"{place.type}patch", place.name)))
        if place.type == "pod" and uid:
            for key in self._store.keys(tokens.TYPE):
                if tokens.belongs_to(key, uid):
                    self._store.delete(key)
        if uid:
            self._buried[uid] = self._clock()
            _trim(self._buried)

    # -- asked for by us ---------------------------------------------------------------------------------------------

    def _answer(self, message: Message) -> Outcome:
        news: Resource | None = None
        try:
            news = self._keep_answer(message)
        except (MalformedMessage, MalformedResource) as error:
            log.warning("an answer of the cloud about %s is not stored: %s", message.resource, error)
        return Outcome(acknowledge=wants_ack(message), answer=True, notify=_object_key(news) if news is not None else None)

    def _keep_answer(self, message: Message) -> Resource | None:
        """Stores what was answered. Returns the place of an object of which edged must hear: the answer to a patch of its status
        may be the first that says it is to be deleted, and the push that says so then comes too late to count."""
        if message.operation != Operation.RESPONSE or bytes(message.content).lstrip()[:1] != b"{":
            return None
        place = parse(message.resource)
        if place.type in _BARE:
            content = message.decode(dict[str, Any])
            if "ErrStatus" not in content and isinstance(content.get("metadata"), dict):
                self._keep(place, bytes(message.content), must_exist=False)
        elif place.type in _WRAPPED:
            content = message.decode(dict[str, Any])
            found = content.get("Object")
            if content.get("Err", "missing") is None and isinstance(found, dict) and found.get("metadata"):
                type_ = _WRAPPED[place.type]
                whole = {"kind": _KINDS[type_], "apiVersion": "v1"} | found
                place = place._replace(type=type_)
                before = self._store.get(str(place))
                self._keep(place, msgspec.json.encode(whole), must_exist=type_ == "pod" and str(place) not in self.expected)
                after = self._store.get(str(place))
                return place if before != after and _substance(before) != _substance(after) else None
        return None

    def _keep(self, place: Resource, value: bytes, *, must_exist: bool) -> None:
        version = rules.version_of(value)
        if not version.uid:
            raise MalformedMessage("the object has no uid")
        if place.type == "pod" and rules.node_name_of(value) != self._node:
            raise MalformedMessage("the pod belongs to another node")
        stored = self._stored(str(place))
        if stored == version and version.resource_version:
            return
        if rules.decide_answer(stored, version, must_exist=must_exist, buried=self._is_buried(version.uid)):
            self._store.put(str(place), place.type, value.decode())


def _substance(text: str | None) -> object:
    """What edged acts on: everything but the status, which it writes itself, and bookkeeping."""
    try:
        found = msgspec.json.decode(text or "null", type=dict[str, Any] | None)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if found is None:
        return None
    meta = found.get("metadata")
    kept = {key: meta[key] for key in meta if key not in ("resourceVersion", "managedFields")} if isinstance(meta, dict) else None
    return {key: value for key, value in found.items() if key != "status"} | {"metadata": kept}


def _readable(message: Message) -> str:
    """The content, if it can be read again: what is acknowledged must not turn out to be unreadable later.

    Raises MalformedMessage.
    """
    message.decode(dict[str, Any])
    try:
        return bytes(message.content).decode()
    except UnicodeDecodeError as error:
        raise MalformedMessage(f"content of {message.operation} {message.resource!r}: {error}") from error


def _object_key(place: Resource) -> ObjectKey:
    return ObjectKey(place.type, "" if place.namespace == "null" else place.namespace, place.name)


def _trim(memory: OrderedDict[str, Any]) -> None:
    while len(memory) > _REMEMBERED:
        memory.popitem(last=False)
