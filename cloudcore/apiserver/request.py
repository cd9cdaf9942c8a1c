"""What a request asks for: its path, query and Accept header taken apart."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import parse_qsl

from kube import selectors, status

Form = Literal["object", "table", "partial"]

_FALSE: Final = ("0", "false")
_TIMEOUT_LIMIT: Final = 3600


@dataclass(frozen=True)
class Target:
    """group, version and plural name a kind; name and subresource may be "". namespace "": all, or none needed."""

    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""


@dataclass(frozen=True)
class Request:
    """One request. Header names are lower case; of repeated query parameters the first counts."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    scope: dict[str, Any] = field(repr=False)

    @classmethod
    def from_scope(cls, scope: dict[str, Any]) -> Request:
        """Raises ApiError (400) when the query is not UTF-8 or has too many parameters."""
        try:
            pairs = parse_qsl(scope["query_string"].decode("ascii"), keep_blank_values=True, max_num_fields=64, errors="strict")
        except (UnicodeDecodeError, ValueError) as error:
            raise status.bad_request(f"the query of the request cannot be read: {error}") from error
        query: dict[str, str] = {}
        for key, value in pairs:
            query.setdefault(key, value)
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        return cls(scope["method"], scope["path"], query, headers, scope)

    @property
    def media_type(self) -> str:
        """Of the body, without parameters; JSON when it does not say."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower() or "application/json"

    def flag(self, name: str) -> bool:
        """Whatever is not false is true."""
        return name in self.query and self.query[name].lower() not in _FALSE

    def integer(self, name: str) -> int | None:
        """Raises ApiError (400) for what is no number."""
        text = self.query.get(name, "")
        if not text:
            return None
        if not text.isascii() or not text.removeprefix("-").isdigit() or len(text) > 18:
            raise status.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
        return int(text)

    @property
    def watch_seconds(self) -> float:
        """How long a watch may last. A client that does not say gets half an hour to an hour, as from kube-apiserver
        (--min-request-timeout): one that has vanished without a word must not keep its connection for ever."""
        seconds = self.integer("timeoutSeconds")
        if seconds and seconds > 0:
            return float(min(seconds, _TIMEOUT_LIMIT))
        return random.uniform(_TIMEOUT_LIMIT / 2, _TIMEOUT_LIMIT)  # noqa: S311 - spreads load, no secret

    @property
    def dry_run(self) -> bool:
        return "dryRun" in self.query

    def selectors(self) -> tuple[selectors.LabelSelector, selectors.FieldSelector]:
        """Raises ApiError (400)."""
        try:
            labels = selectors.parse_labels(self.query.get("labelSelector", ""))
            return labels, selectors.parse_fields(self.query.get("fieldSelector", ""))
        except selectors.SelectorError as error:
            raise status.bad_request(str(error)) from error

    @property
    def form(self) -> Form:
        """In which form the client would best like its answer.

        Raises ApiError (406) when it takes no JSON at all.
        """
        accept = self.headers.get("accept", "") or "*/*"
        for choice in accept.split(","):
            media, *parameters = (part.strip() for part in choice.split(";"))
            if media not in ("application/json", "*/*"):
                continue
            wanted = dict(part.partition("=")[::2] for part in parameters)
            kind = wanted.get("as", "")
            if not kind:
                return "object"
            if wanted.get("g") == "meta.k8s.io" and wanted.get("v") in ("v1", "v1beta1"):
                if kind == "Table":
                    return "table"
                if kind in ("PartialObjectMetadata", "PartialObjectMetadataList"):
                    return "partial"
        raise status.not_acceptable(("application/json",))


def target(path: str) -> Target | None:
    """What a path below /api or /apis names; None when it cannot name an object."""
    parts = path.strip("/").split("/")  # ASGI has taken the escapes away already
    if not all(parts):
        return None
    if parts[0] == "api" and len(parts) >= 3:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) >= 4:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) >= 3 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    if not 1 <= len(rest) <= 3:
        return None
    plural, name, subresource = [*rest, "", ""][:3]
    return Target(group, version, plural, namespace, name, subresource)
