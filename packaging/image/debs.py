"""The system below Python: a few Debian packages, unpacked file by file. None of their scripts runs, no shell comes in."""

from __future__ import annotations

import io
import os
import posixpath
import re
import subprocess
import tarfile
from collections.abc import Iterable
from pathlib import Path

from problem import Problem
from tree import MERGED, Tree

RELEASE = "bookworm"
QUIETLY = ("-q", "-o", "APT::Sandbox::User=")
PACKAGES = (
    "base-files",
    "ca-certificates",
    "libbz2-1.0",
    "libc6",
    "libexpat1",
    "libffi8",
    "libgcc-s1",
    "liblzma5",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libsqlite3-0",
    "libssl3",
    "libuuid1",
    "python3.11-minimal",
    "tzdata",
    "zlib1g",
)
LEFT_OUT = re.compile(
    r"usr/share/(?!doc/[^/]+/copyright$|zoneinfo/|ca-certificates/|python3)"  # manuals, translations, examples
    r"|usr/share/zoneinfo/(right|posix)/"
    r"|usr/lib/[^/]+/(gconv|perl)/|usr/lib/locale/|usr/s?bin/(?!python3\.11$)"
    r"|usr/lib/python3\.11/(lib2to3|pydoc_data|ensurepip|distutils|test|idlelib|turtledemo|tkinter|curses)/"
    r"|usr/lib/python3\.11/lib-dynload/(readline|_curses|_curses_panel|_dbm|_gdbm|nis|_crypt|ossaudiodev|_test\w*|xxlimited\w*|_ctypes_test)\."
    r"|etc/(?!ssl/|os-release|debian_version|python3|ld\.so)|usr/lib/python3\.11/__pycache__/|var/|root/|home/|lib/systemd/"
)
"""By path in the image. The extension modules are those whose libraries are not taken along; elf.py finds any other."""


def fetch(cache: Path) -> list[Path]:
    """The packages' files, downloaded with apt when they are not in ``cache`` yet. Raises Problem.

    What this machine's apt knows is used first; when it knows too little, or files that are gone, it is asked anew with lists of
    our own: nothing on this machine changes, and root is not needed.
    """
    cache.mkdir(parents=True, exist_ok=True)
    try:
        return _fetch(cache, ())
    except Problem:
        return _fetch(cache, _own_lists(cache))


def _fetch(cache: Path, options: tuple[str, ...]) -> list[Path]:
    names = _newest(options)
    missing = [package for package, name in names.items() if not (cache / name).is_file()]
    if missing:
        _run(["apt-get", *QUIETLY, *options, "download", *missing], "downloading Debian packages", cache)
    return [cache / name for _, name in sorted(names.items())]


def _own_lists(cache: Path) -> tuple[str, ...]:
    lists = cache / "lists"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    kept = ("pkgcache", "srcpkgcache")
    options = ("-o", f"Dir::State::Lists={lists}", *(word for name in kept for word in ("-o", f"Dir::Cache::{name}=")))
    _run(["apt-get", *QUIETLY, *options, "update"], "updating the lists of packages", cache)
    return options


def _newest(options: tuple[str, ...]) -> dict[str, str]:
    """The file name of the newest version of each package; apt knows it without asking the network."""
    argv = ["apt-get", *QUIETLY, *options, "--print-uris", "download", *PACKAGES]
    out = _run(argv, "asking apt for the newest versions", Path.cwd())
    found = {}
    for line in out.splitlines():
        parts = line.split(" ")
        if line.startswith("'") and len(parts) >= 3:
            found[parts[1].split("_")[0]] = parts[1]
    if lacking := sorted(set(PACKAGES) - set(found)):
        raise Problem(f"apt knows no package {', '.join(lacking)}: the image is made on Debian 12 ({RELEASE})")
    return found


def _run(argv: list[str], what: str, cwd: Path) -> str:
    try:
        done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    except FileNotFoundError:
        raise Problem(f"{argv[0]} is missing: the image is made on Debian 12 ({RELEASE})") from None
    if done.returncode:
        raise Problem(f"{what} failed: {done.stderr.strip()} (the image is made on Debian 12, {RELEASE})")
    return done.stdout


def unpack(packages: Iterable[Path], tree: Tree) -> list[str]:
    """Adds what the packages hold, but for LEFT_OUT; returns them as "name version"."""
    for name in MERGED:
        tree.link(name, f"usr/{name}")
    names = []
    for package in packages:
        archive = _bytes(["dpkg-deb", "--fsys-tarfile", str(package)])
        with tarfile.open(fileobj=io.BytesIO(archive)) as content:
            for member in content:
                _add(tree, content, member)
        control = _bytes(["dpkg-deb", "--field", str(package)]).decode()
        fields = dict(re.findall(r"^(Package|Version): (.*)$", control, re.MULTILINE))
        # where scanners of images look for what is installed
        tree.file(f"var/lib/dpkg/status.d/{fields['Package']}", control)
        names.append(f"{fields['Package']} {fields['Version']}")
    return names


def _bytes(argv: list[str]) -> bytes:
    done = subprocess.run(argv, capture_output=True, check=False)
    if done.returncode:
        raise Problem(
            f"{' '.join(argv)} failed: {done.stderr.decode(errors='replace').strip()}; remove the file to have it again"
        )
    return done.stdout


def _add(tree: Tree, content: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    path = posixpath.normpath(member.name)
    if path == "." or path in MERGED:
        return
    inside = f"usr/{path}" if path.split("/")[0] in MERGED else path
    if LEFT_OUT.match(inside) or member.isdir():
        return
    if member.issym():
        tree.link(path, member.linkname)
    elif (source := content.extractfile(member)) is not None:
        tree.file(path, source.read(), 0o755 if member.mode & 0o100 else 0o644)
