"""Keys and certificates as the files that the TLS library wants: private, and only for a moment."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from beehive.files import write_atomically


@contextmanager
def files(*contents: bytes) -> Iterator[list[Path]]:
    """Writes each content into a file of its own (0600, in a folder 0700) for the length of a with-block."""
    with tempfile.TemporaryDirectory(prefix="cloudcore-") as folder:
        paths = [Path(folder) / f"{index}.pem" for index, _ in enumerate(contents)]
        for path, content in zip(paths, contents, strict=True):
            write_atomically(path, content)
        yield paths
