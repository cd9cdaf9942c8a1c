"""The files of an image, held in memory, and the layers that they become: the same input gives the same bytes."""

from __future__ import annotations

import io
import posixpath
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field

MTIME = 946684800
"""1 January 2000: a layer changes when its content does, never because time has passed."""
MERGED = ("bin", "sbin", "lib", "lib64", "lib32", "libx32")
"""Folders of the root that are links into usr."""


@dataclass(frozen=True)
class Entry:
    """A file (data), a link (target) or a folder (neither)."""

    mode: int
    data: bytes | None = None
    target: str | None = None

    @property
    def is_folder(self) -> bool:
        return self.data is None and self.target is None


@dataclass
class Tree:
    """Entries by path without the leading slash; everything belongs to root."""

    entries: dict[str, Entry] = field(default_factory=dict)

    def file(self, path: str, data: bytes | str, mode: int = 0o644) -> None:
        self._put(path, Entry(mode, data.encode() if isinstance(data, str) else data))

    def link(self, path: str, target: str) -> None:
        self._put(path, Entry(0o777, target=target))

    def folder(self, path: str, mode: int = 0o755) -> None:
        self._put(path, Entry(mode))

    def _put(self, path: str, entry: Entry) -> None:
        """With its folders. What is put later takes the place of what was there."""
        path = merged(path)
        self.entries[path] = entry
        while path := posixpath.dirname(path):
            self.entries.setdefault(path, Entry(0o755))

    def remove(self, *paths: str) -> None:
        """Files, or folders with what is below them."""
        for gone in paths:
            for path in [path for path in self.entries if path == gone or path.startswith(gone + "/")]:
                del self.entries[path]

    def files(self, below: str = "") -> Iterator[tuple[str, bytes]]:
        for path, entry in sorted(self.entries.items()):
            if entry.data is not None and (not below or path.startswith(below + "/")):
                yield path, entry.data

    def layer(self) -> bytes:
        """As an uncompressed tar archive."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for path, entry in sorted(self.entries.items()):
                info = tarfile.TarInfo(path)
                info.mode, info.mtime = entry.mode, MTIME
                info.uname = info.gname = "root"
                if entry.target is not None:
                    info.type, info.linkname = tarfile.SYMTYPE, entry.target
                elif entry.data is None:
                    info.type = tarfile.DIRTYPE
                else:
                    info.size = len(entry.data)
                archive.addfile(info, io.BytesIO(entry.data) if entry.data is not None else None)
        return buffer.getvalue()


def merged(path: str) -> str:
    """Where ``path`` of a package belongs in a root whose /lib and /bin are links."""
    path = posixpath.normpath(path.lstrip("/"))
    return f"usr/{path}" if path.split("/")[0] in MERGED and "/" in path else path
