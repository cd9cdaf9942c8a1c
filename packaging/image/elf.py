"""Which libraries the programs and libraries of a tree need, read from their ELF headers: nothing must be missing."""

from __future__ import annotations

import posixpath
import struct
from collections.abc import Iterator

from problem import Problem
from tree import Tree

_DYNAMIC, _NEEDED, _STRTAB, _LOAD = 2, 1, 5, 1


def check(*trees: Tree) -> None:
    """Raises Problem naming every library that something needs and none of the trees has."""
    there, missing = set(), set()
    for tree in trees:
        there |= {posixpath.basename(path) for path in tree.entries}
    for tree in trees:
        for path, data in tree.files():
            missing |= {f"{library} (for /{path})" for library in needed(data) if library not in there}
    if missing:
        raise Problem("the image would lack " + ", ".join(sorted(missing)) + "; add the packages that hold them to debs.PACKAGES")


def needed(data: bytes) -> list[str]:
    """The names of the shared libraries that a 64 bit little-endian ELF file asks for; none for anything else."""
    if data[:6] != b"\x7fELF\x02\x01":
        return []
    segments = list(_segments(data))
    for kind, offset, _, size in segments:
        if kind == _DYNAMIC:
            table = list(struct.iter_unpack("<QQ", data[offset : offset + size]))
            strings = next(value for tag, value in table if tag == _STRTAB)
            start = next(at + strings - where for type_, at, where, length in segments if _covers(type_, where, length, strings))
            return [_text(data, start + value) for tag, value in table if tag == _NEEDED]
    return []


def _segments(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Type, place in the file, address, size in the file."""
    (first,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    for number in range(count):
        kind, _, offset, address, _, length = struct.unpack_from("<IIQQQQ", data, first + number * size)
        yield kind, offset, address, length


def _covers(kind: int, address: int, length: int, wanted: int) -> bool:
    return kind == _LOAD and address <= wanted < address + length


def _text(data: bytes, start: int) -> str:
    return data[start : data.index(b"\0", start)].decode()
