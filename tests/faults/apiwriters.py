"""Writers and watchers of the embedded API that know, after a kill, what must be there: what was answered, and nothing else.

Each writer has names of its own, so that its answers alone decide their state. A write that was under way when the server died
is in doubt: it may have happened or not, whole.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from faults.model import Revisions

from kube import kubeconfig
from kube.kubeconfig import Connection
from viaduct.tls import client_context

PLURALS = ("configmaps", "secrets")
SPACE = "/api/v1/namespaces/default"
BROKEN = (OSError, http.client.HTTPException, ValueError)
"""What a request to a server that has been killed may raise; half an answer is no JSON."""
NAMES = 12
"""Of each writer: few enough that updates and deletions meet what is there."""


class Door:
    """How the API is reached."""

    def __init__(self, found: Connection) -> None:
        assert found.certificate is not None
        self.port = int(found.server.rpartition(":")[2])
        self.tls = client_context(ca=found.ca, certificate=found.certificate, key=found.key)

    @classmethod
    def of(cls, path: Any) -> Door:
        return cls(kubeconfig.load(path))

    @contextmanager
    def connected(self, timeout: float = 10) -> Iterator[http.client.HTTPSConnection]:
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.tls, timeout=timeout)
        try:
            yield connection
        finally:
            connection.close()


def ask(
    connection: http.client.HTTPSConnection, method: str, path: str, body: object = None, media: str = "application/json"
) -> tuple[int, dict[str, Any]]:
    """Status and answer. Raises what BROKEN names when there is none."""
    data = None if body is None else json.dumps(body)
    connection.request(method, path, body=data, headers={"Content-Type": media} if data else {})
    with connection.getresponse() as answer:
        content = answer.read()
        return answer.status, json.loads(content)


def listed(connection: http.client.HTTPSConnection, plural: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Revision and objects by name."""
    code, found = ask(connection, "GET", f"{SPACE}/{plural}")
    assert code == 200, found
    return int(found["metadata"]["resourceVersion"]), {item["metadata"]["name"]: item for item in found["items"]}


@dataclass
class Ledger:
    """What everybody has seen, over all lives of the server."""

    revisions: Revisions = field(default_factory=Revisions)
    owners: dict[str, str] = field(default_factory=dict)
    """Of each uid: the object's name."""
    newest: int = 0
    acknowledged: int = 0
    in_doubt: int = 0
    problems: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def saw(self, plural: str, obj: dict[str, Any], *, removed: bool = False) -> int:
        meta = obj["metadata"]
        with self.lock:
            revision = self.revisions.saw(obj, removed=removed)
            self.newest = max(self.newest, revision)
            owner = self.owners.setdefault(meta["uid"], f"{plural}/{meta['name']}")
            if owner != f"{plural}/{meta['name']}":
                self.problems.append(f"uid {meta['uid']} belongs to {owner} and to {plural}/{meta['name']}")
        return revision


@dataclass
class _Slot:
    """One name. state: the acknowledged object, None when there is none. doubt: what a write without an answer may have made
    of it (its data; None: a deletion)."""

    state: dict[str, Any] | None = None
    doubtful: bool = False
    doubt: dict[str, str] | None = None
    used: set[str] = field(default_factory=set)


class Writer:
    """Creates, replaces, patches and deletes until the server is gone."""

    def __init__(self, number: int, plural: str, ledger: Ledger, seed: int) -> None:
        self.plural = plural
        self._ledger = ledger
        self._random = random.Random(seed)
        self._slots = {f"w{number}-{place}": _Slot() for place in range(NAMES)}
        self._count = 0

    def work(self, door: Door, floor: int) -> None:
        """Until the connection breaks. floor: no write of this life may get this revision or an older one."""
        try:
            with door.connected() as connection:
                while True:
                    self._step(connection, floor)
        except BROKEN:
            return

    def _step(self, connection: http.client.HTTPSConnection, floor: int) -> None:
        name = self._random.choice(list(self._slots))
        slot = self._slots[name]
        self._count += 1
        data = {"n": f"{self._count}", "fill": "x" * self._random.choice((0, 0, 500, 20_000))}
        verb, code, answer = self._write(connection, name, slot, data)
        assert code in (200, 201), f"{verb} {self.plural}/{name}: {code} {answer}"
        slot.doubtful = False
        with self._ledger.lock:
            self._ledger.acknowledged += 1
        if verb == "DELETE":
            slot.state = None
            return
        revision = self._ledger.saw(self.plural, answer)
        if revision <= floor:
            self._ledger.problems.append(f"{verb} {name} got revision {revision}; {floor} had been seen in an earlier life")
        if slot.state is not None and slot.state["metadata"]["uid"] != answer["metadata"]["uid"]:
            self._ledger.problems.append(f"{verb} changed the uid of {name}")
        if slot.state is None and answer["metadata"]["uid"] in slot.used:
            self._ledger.problems.append(f"{name} has a uid that it had before its deletion")
        slot.used.add(answer["metadata"]["uid"])
        slot.state = answer

    def _write(
        self, connection: http.client.HTTPSConnection, name: str, slot: _Slot, data: dict[str, str]
    ) -> tuple[str, int, dict[str, Any]]:
        slot.doubtful, slot.doubt = True, data
        path = f"{SPACE}/{self.plural}"
        content = {"data": data} if self.plural == "configmaps" else {"stringData": data}
        if slot.state is None:
            return "POST", *ask(connection, "POST", path, {"metadata": {"name": name}, **content})
        verb = self._random.choice(("PUT", "PATCH", "PATCH", "DELETE"))
        if verb == "DELETE":
            slot.doubt = None
            return verb, *ask(connection, verb, f"{path}/{name}")
        if verb == "PUT":
            return verb, *ask(connection, verb, f"{path}/{name}", {"metadata": {"name": name}, **content})
        return verb, *ask(connection, verb, f"{path}/{name}", content, "application/merge-patch+json")

    def judge(self, found: dict[str, dict[str, Any]]) -> None:
        """What is there after the restart: as acknowledged, or, in doubt, as it would be afterwards; then that is the truth."""
        for name, slot in self._slots.items():
            there = found.get(name)
            if _bare(there) != _bare(slot.state) and not (slot.doubtful and self._explains(slot, there)):
                self._ledger.problems.append(f"{self.plural}/{name}: acknowledged {_short(slot.state)}, found {_short(there)}")
            with self._ledger.lock:
                self._ledger.in_doubt += slot.doubtful
            slot.state, slot.doubtful = there, False
            if there is not None:
                slot.used.add(there["metadata"]["uid"])

    def _explains(self, slot: _Slot, there: dict[str, Any] | None) -> bool:
        if slot.doubt is None or there is None:
            return slot.doubt is None and there is None
        if slot.state is not None and slot.state["metadata"]["uid"] != there["metadata"]["uid"]:
            return False
        if slot.state is None and there["metadata"]["uid"] in slot.used:
            return False
        return plain(self.plural, there) == slot.doubt


def plain(plural: str, obj: dict[str, Any]) -> dict[str, str]:
    """The data as it was written."""
    import base64

    data: dict[str, str] = obj.get("data", {})
    return data if plural == "configmaps" else {key: base64.b64decode(value).decode() for key, value in data.items()}


def _bare(obj: dict[str, Any] | None) -> dict[str, Any] | None:
    """The objects in a list do not say of which kind they are."""
    return None if obj is None else {key: value for key, value in obj.items() if key not in ("apiVersion", "kind")}


def _short(obj: dict[str, Any] | None) -> str:
    return "nothing" if obj is None else f"{obj['metadata']} n={obj.get('data', {}).get('n')}"


class Watcher:
    """Follows one kind over all lives of the server, from the last revision that it has seen. What it has heard must be what is
    there, without a fresh list, unless the server says 410."""

    def __init__(self, plural: str, ledger: Ledger) -> None:
        self.plural = plural
        self.events = self.continued = self.relisted = 0
        self._ledger = ledger
        self._revision = 0
        self._known: dict[str, str] = {}
        """Of each object: its revision."""

    def work(self, door: Door) -> None:
        """Until the connection breaks."""
        try:
            with door.connected(timeout=60) as connection:
                if not self._revision:
                    self._list(connection)
                while self._follow(connection):
                    self.relisted += 1
                    self._list(connection)
        except BROKEN:
            return

    def _list(self, connection: http.client.HTTPSConnection) -> None:
        self._revision, found = listed(connection, self.plural)
        self._known = {name: obj["metadata"]["resourceVersion"] for name, obj in found.items()}
        for obj in found.values():
            self._ledger.saw(self.plural, obj)

    def _follow(self, connection: http.client.HTTPSConnection, until: int | None = None) -> bool:
        """True: the server has forgotten what came after our revision. False: it has come to ``until``."""
        connection.request("GET", f"{SPACE}/{self.plural}?watch=1&resourceVersion={self._revision}")
        with connection.getresponse() as answer:
            first = True
            while line := answer.readline():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    assert event["object"]["code"] == 410, event
                    assert answer.read() == b"", "nothing comes after an error"
                    return True
                self.continued += first
                first = False
                self._take(event)
                if until is not None and self._revision >= until:
                    return False
        raise http.client.HTTPException("the watch has ended")

    def _take(self, event: dict[str, Any]) -> None:
        obj, removed = event["object"], event["type"] == "DELETED"
        revision, name = self._ledger.saw(self.plural, obj, removed=removed), obj["metadata"]["name"]
        if revision <= self._revision:
            self._ledger.problems.append(f"watch of {self.plural}: {revision} came after {self._revision}")
        expected = "ADDED" if name not in self._known else "DELETED" if removed else "MODIFIED"
        if event["type"] != expected:
            self._ledger.problems.append(f"watch of {self.plural}: {event['type']} of {name} at {revision}, not {expected}")
        self.events += 1
        self._revision = revision
        if removed:
            self._known.pop(name, None)
        else:
            self._known[name] = obj["metadata"]["resourceVersion"]

    def catch_up(self, door: Door, marker: int, found: dict[str, dict[str, Any]]) -> None:
        """While nobody writes: what it has heard up to the revision ``marker`` is what a list says (``found``)."""
        with door.connected() as connection:
            if not self._revision:
                self._list(connection)
            if self._revision < marker and self._follow(connection, until=marker):
                self.relisted += 1
                self._list(connection)
        there = {name: obj["metadata"]["resourceVersion"] for name, obj in found.items()}
        if there != self._known:
            self._ledger.problems.append(f"{self.plural}: the watch says {self._known}, the list says {there}")
