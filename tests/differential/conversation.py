"""An API as a scenario sees it: requests in, answers out, and everything that was said is kept."""

from __future__ import annotations

import http.client
import json
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kube import kubeconfig

PATIENCE = 60.0
"""Seconds within which every answer, and every event that a scenario waits for, must be there."""
PATCHES = {"json": "application/json-patch+json", "merge": "application/merge-patch+json"}
PATCHES |= {"strategic": "application/strategic-merge-patch+json", "apply": "application/apply-patch+yaml"}
HEADERS = ("content-type", "warning", "retry-after", "www-authenticate", "cache-control", "allow", "location")
"""Those that tell a client something; the others are about the connection."""
NOT_YET = "storage is (re)initializing"
"""With 429 it says that Kubernetes does not have a new resource in memory yet: no answer, but when to ask again."""
_VERSION = re.compile(r"v\d+((alpha|beta)\d+)?")


@dataclass
class Step:
    """What was asked, in words, and what was answered: code, headers, body, all as JSON values.

    differs: known differences of this step, by the path in the answer ("" is all of it) to the id in docs/api-differences.md.
    raw: managedFields are compared, too.
    """

    asked: str
    answer: dict[str, Any]
    differs: Mapping[str, str] = field(default_factory=dict)
    raw: bool = False


@dataclass(frozen=True)
class Answer:
    """As it came. A body that is not JSON is text."""

    code: int
    headers: dict[str, Any]
    body: Any

    def __getitem__(self, key: str) -> Any:
        return self.body[key]

    @property
    def uid(self) -> str:
        return str(self.body["metadata"]["uid"])

    @property
    def version(self) -> str:
        return str(self.body["metadata"]["resourceVersion"])


class Server:
    """One API server, reached as the administrator of a kubeconfig."""

    def __init__(self, name: str, path: Path, folder: Path) -> None:
        found = kubeconfig.load(path)
        self.name, self.kubeconfig, self.url = name, path, found.server
        self._address = urlsplit(found.server)
        self._tls = ssl.create_default_context(cadata=found.ca.decode() if found.ca else None)
        self._anonymous_tls = ssl.create_default_context(cadata=found.ca.decode() if found.ca else None)
        certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
        certificate.write_bytes(found.certificate or b"")
        key.write_bytes(found.key or b"")
        self._tls.load_cert_chain(certificate, key)
        self._kept: http.client.HTTPSConnection | None = None

    def connect(self, *, anonymous: bool = False) -> http.client.HTTPSConnection:
        tls = self._anonymous_tls if anonymous else self._tls
        return http.client.HTTPSConnection(self._address.hostname or "", self._address.port, context=tls, timeout=PATIENCE)

    def exchange(
        self, method: str, path: str, data: bytes | None, headers: dict[str, str], *, anonymous: bool = False
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """One request over the kept connection; once more over a fresh one when the server has closed that."""
        if anonymous:
            connection = self.connect(anonymous=True)
            try:
                return _send(connection, method, path, data, headers)
            finally:
                connection.close()
        if self._kept is not None:
            try:
                return _send(self._kept, method, path, data, headers)
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                self._kept.close()
        self._kept = self.connect()
        return _send(self._kept, method, path, data, headers)

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()


def _send(
    connection: http.client.HTTPSConnection, method: str, path: str, data: bytes | None, headers: dict[str, str]
) -> tuple[http.client.HTTPResponse, bytes]:
    connection.request(method, path, body=data, headers=headers)
    answer = connection.getresponse()
    return answer, answer.read()


class Api:
    """What a scenario talks to. ``namespace`` is the scenario's own; cluster-scoped names should begin with it.

    A path that does not begin with a slash lies in that namespace: ``configmaps/a``, ``apps/v1/deployments/web/status``.
    """

    def __init__(self, server: Server, namespace: str) -> None:
        self.server, self.namespace = server, namespace
        self.steps: list[Step] = []

    def path(self, path: str) -> str:
        """The whole path of one in the scenario's namespace."""
        if path.startswith("/"):
            return path
        first, _, rest = path.partition("/")
        version, _, below = rest.partition("/")
        if _VERSION.fullmatch(version):
            return f"/apis/{first}/{version}/namespaces/{self.namespace}/{below}"
        return f"/api/v1/namespaces/{self.namespace}/{path}"

    # -- requests ----------------------------------------------------------------------------------------------------

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        media: str | None = "application/json",
        accept: str = "application/json",
        headers: Mapping[str, str] | None = None,
        differs: str | Mapping[str, str] = "",
        raw: bool = False,
        keep: bool = True,
        anonymous: bool = False,
    ) -> Answer:
        """body: bytes go as they are, everything else as JSON. keep: whether it is a step of the conversation."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {"Accept": accept, **({"Content-Type": media} if media and data is not None else {}), **(headers or {})}
        deadline = time.monotonic() + PATIENCE
        while True:
            found, content = self.server.exchange(method, self.path(path), data, sent, anonymous=anonymous)
            if found.status != 429 or NOT_YET.encode() not in content or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        answer = Answer(found.status, _headers(found), _value(content, found.headers.get("content-type", "")))
        if keep:
            self._keep(f"{method} {path}{_shown(body)}", answer, differs, raw)
        return answer

    def _keep(self, asked: str, answer: Answer, differs: str | Mapping[str, str], raw: bool = False) -> None:
        known = {"": differs} if isinstance(differs, str) else differs
        step = {"code": answer.code, "headers": answer.headers, "body": answer.body}
        self.steps.append(Step(asked, step, known if differs else {}, raw))

    def get(self, path: str, **options: Any) -> Answer:
        return self.request("GET", path, **options)

    def post(self, path: str, body: Any, **options: Any) -> Answer:
        return self.request("POST", path, body, **options)

    def put(self, path: str, body: Any, **options: Any) -> Answer:
        return self.request("PUT", path, body, **options)

    def patch(self, path: str, body: Any, kind: str = "merge", **options: Any) -> Answer:
        """kind: json, merge, strategic, apply, or a media type."""
        return self.request("PATCH", path, body, media=PATCHES.get(kind, kind), **options)

    def delete(self, path: str, body: Any = None, **options: Any) -> Answer:
        return self.request("DELETE", path, body, **options)

    def until(self, path: str, condition: Callable[[Answer], Any], *, keep: bool = True, **options: Any) -> Answer:
        """Asks until ``condition`` holds of the answer; only this answer is a step. For what controllers do in their time.

        The condition must name all of the answer that they still write, or what one has written halfway is compared.
        """
        deadline = time.monotonic() + PATIENCE
        place = len(self.steps)
        while not _holds(condition, found := self.get(path, **options)):
            del self.steps[place:]
            if time.monotonic() > deadline:
                self.note(f"waiting for {path}", "what was waited for has not come")
                return found
            time.sleep(0.03)
        if not keep:
            del self.steps[place:]
        return found

    def note(self, asked: str, found: Any, differs: str | Mapping[str, str] = "") -> None:
        """A step that is no request: something that the scenario has found out."""
        self._keep(asked, Answer(0, {}, found), differs)

    # -- watches -----------------------------------------------------------------------------------------------------

    @contextmanager
    def watch(self, path: str, *, accept: str = "application/json", differs: str | Mapping[str, str] = "") -> Iterator[Watching]:
        """A watch (``watch=1`` stands in the path already) on a connection of its own; it is a step when it is left."""
        place = len(self.steps)
        connection, watching = self._begin(path, accept)
        try:
            yield watching
            self._keep(f"GET {path}", Answer(watching.code, watching.headers, watching.seen), differs)
            self.steps.insert(place, self.steps.pop())  # it began there
        finally:
            connection.close()

    def _begin(self, path: str, accept: str) -> tuple[http.client.HTTPSConnection, Watching]:
        deadline = time.monotonic() + PATIENCE
        while True:
            connection = self.server.connect()
            connection.request("GET", self.path(path), headers={"Accept": accept})
            watching = Watching(connection.getresponse())
            if watching.code != 429 or NOT_YET not in str(watching.seen) or time.monotonic() > deadline:
                return connection, watching
            connection.close()
            time.sleep(0.1)


class Watching:
    """The events of a watch. What is read, is compared; bookmarks only when asked for, for they come as the server likes."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.code, self.headers = answer.status, _headers(answer)
        self._answer = answer
        self.seen: Any = []
        if answer.status != 200:
            self.seen = _value(answer.read(), answer.headers.get("content-type", ""))

    def next(self, *, bookmarks: bool = False) -> dict[str, Any]:
        """The next event, or one of type END or TIMEOUT."""
        while True:
            event = self._read()
            if event["type"] != "BOOKMARK" or bookmarks:
                self.seen.append(event)
                return event

    def take(self, number: int, *, bookmarks: bool = False) -> list[dict[str, Any]]:
        """The next so many events; fewer when there are no more."""
        found = []
        for _ in range(number):
            found.append(self.next(bookmarks=bookmarks))
            if found[-1]["type"] in ("END", "TIMEOUT"):
                break
        return found

    def rest(self, *, bookmarks: bool = False) -> None:
        """Everything until the server ends the watch."""
        while self.next(bookmarks=bookmarks)["type"] not in ("END", "TIMEOUT"):
            pass

    def _read(self) -> dict[str, Any]:
        try:
            line = self._answer.readline()
        except TimeoutError:
            return {"type": "TIMEOUT"}
        except (http.client.HTTPException, OSError) as error:
            return {"type": "END", "object": type(error).__name__}
        return dict(json.loads(line)) if line else {"type": "END"}


def _holds(condition: Callable[[Answer], Any], answer: Answer) -> bool:
    try:
        return bool(condition(answer))
    except (KeyError, IndexError, TypeError):
        return False


def _headers(answer: http.client.HTTPResponse) -> dict[str, Any]:
    return {name: answer.headers.get_all(name) for name in HEADERS if name in answer.headers}


def _value(content: bytes, media: str) -> Any:
    if "json" in media:
        try:
            return json.loads(content)
        except ValueError:
            pass
    return content.decode(errors="backslashreplace")


def _shown(body: Any) -> str:
    if body is None:
        return ""
    text = repr(body) if isinstance(body, bytes) else json.dumps(body)
    return " " + (text if len(text) < 300 else f"{text[:300]}... ({len(text)} characters)")
