"""Bytecode for a root file system that nobody can write: compiled now, never looked at again."""

from __future__ import annotations

import importlib.util
import marshal
import posixpath

from tree import Tree

_UNCHECKED = 0b01
"""PEP 552: the bytecode counts whatever the source says."""
_CACHE = "cpython-311"


def compile_all(tree: Tree, below: str) -> None:
    """Adds the bytecode of every module below that folder. What cannot be compiled (templates) is left as it is."""
    for path, source in list(tree.files(below)):
        if not path.endswith(".py"):
            continue
        try:
            code = compile(source, "/" + path, "exec", dont_inherit=True, optimize=0)
        except (SyntaxError, ValueError):
            continue
        head = importlib.util.MAGIC_NUMBER + _UNCHECKED.to_bytes(4, "little") + importlib.util.source_hash(source)
        folder, name = posixpath.split(path)
        # version 2 has no references, whose number depends on what this process has done before
        tree.file(f"{folder}/__pycache__/{name.removesuffix('.py')}.{_CACHE}.pyc", head + marshal.dumps(code, 2))
