"""Image names, as docker understands them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgecore.edged.runtime.engine import ImagePullFailed

DEFAULT_REGISTRY = "docker.io"

_PATH = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*")
_DOMAIN = re.compile(
    r"(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9])"
    r"(?:\.(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9]))*(?::[0-9]+)?"
)
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}")
_IDENTIFIER = re.compile(r"(?:sha256:)?[0-9a-f]{64}")
_LONGEST = 255


@dataclass(frozen=True)
class ImageName:
    """A complete name: ``nginx`` is registry docker.io, path library/nginx, tag latest. digest wins over tag when pulling."""

    registry: str
    path: str
    tag: str
    digest: str = ""

    @property
    def repository(self) -> str:
        return f"{self.registry}/{self.path}"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return self.repository + tag + (f"@{self.digest}" if self.digest else "")


def parse_image(name: str) -> ImageName:
    """Raises ImagePullFailed with reason InvalidImageName (distribution/reference: the grammar of names)."""
    if _IDENTIFIER.fullmatch(name):
        raise _invalid(name, "an image id cannot be pulled; use a name")
    rest, at, digest = name.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise _invalid(name, f"{digest!r} is no digest (sha256:<64 hex digits>)")
    registry, path = _split_registry(rest)
    path, colon, tag = path.partition(":")
    if colon and not _TAG.fullmatch(tag):
        raise _invalid(name, f"{tag!r} is no tag")
    if not _DOMAIN.fullmatch(registry):
        raise _invalid(name, f"{registry!r} is no registry address")
    if path != path.lower():
        raise _invalid(name, "repository names are lower case")
    if not _PATH.fullmatch(path) or len(path) + len(registry) + 1 > _LONGEST:
        raise _invalid(name, f"{path!r} is no repository name")
    if registry == DEFAULT_REGISTRY and "/" not in path:
        path = f"library/{path}"
    return ImageName(registry, path, tag or ("" if digest else "latest"), digest)


def is_name(name: str) -> bool:
    """Whether docker may be asked for it: a name, or an image's id."""
    if _IDENTIFIER.fullmatch(name):
        return True
    try:
        parse_image(name)
    except ImagePullFailed:
        return False
    return True


def _split_registry(rest: str) -> tuple[str, str]:
    first, slash, remainder = rest.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        return (DEFAULT_REGISTRY if first == "index.docker.io" else first), remainder
    return DEFAULT_REGISTRY, rest


def _invalid(name: str, why: str) -> ImagePullFailed:
    return ImagePullFailed(f"image name {name!r} is invalid: {why}", reason="InvalidImageName")
