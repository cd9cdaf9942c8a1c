"""Users of the broker: writes password files, as mosquitto_passwd does."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path

from beehive.files import write_atomically
from mqtt import passwords
from mqtt.accessfile import AccessFileError, read_lines


def add_user(path: Path, name: str) -> None:
    """Asks for a password and writes it, hashed, in place of the one that the user had. The file may be new: then it is for who
    runs this alone. Raises AccessFileError."""
    if not name or ":" in name or name.startswith("#") or not name.strip() or not name.isprintable():
        raise AccessFileError(
            str(path),
            None,
            f"`{name}` cannot be the name of a user: it is empty, begins with #, has a colon or does not print",
        )
    lines = read_lines(path) if path.exists() else []
    passwords.parse(lines, str(path))
    password = _ask(name)
    if not password.rstrip(b"\0"):  # zero bytes alone are to HMAC what nothing is
        raise AccessFileError(str(path), None, f"nothing has changed: the password of `{name}` must not be empty")
    entry = f"{name}:{passwords.hashed(password)}"
    kept = [line for line in lines if line.strip() and line.partition(":")[0] != name]
    try:
        _write(path, "\n".join([*kept, entry, ""]).encode())
    except OSError as error:
        raise AccessFileError(str(path), None, f"cannot be written: {error.strerror}") from error


def _ask(name: str) -> bytes:
    """From the terminal, twice; or the first line of standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.buffer.readline(65536).rstrip(b"\r\n")
    first = getpass.getpass(f"Password of {name}: ")
    return first.encode() if getpass.getpass("Again: ") == first else b""


def _write(path: Path, data: bytes) -> None:
    if not path.exists():
        write_atomically(path, data)
        return
    before = path.stat()
    write_atomically(path, data, mode=before.st_mode & 0o777)
    after = path.stat()
    if (after.st_uid, after.st_gid) != (before.st_uid, before.st_gid):
        # Root adds a user to a file that the broker must go on reading.
        os.chown(path, before.st_uid, before.st_gid)
