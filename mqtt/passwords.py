"""Password files as ``mosquitto_passwd`` writes them: ``name:$7$iterations$salt$hash`` (PBKDF2) and ``name:$6$salt$hash``.

Format 6 is SHA-512 of the password and the salt, format 7 PBKDF2 with HMAC-SHA-512; salt and hash are in base64.
Source: files written by mosquitto_passwd 2.0.11.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mqtt.accessfile import AccessFileError, read_lines

ITERATIONS: Final = 50_000
"""Of hashes that are made here: each guess costs 35 ms of a server's core, and more of a small computer's."""
MOST_ITERATIONS: Final = 5_000_000
"""More would hold up all who log in for seconds."""
_HASH_BYTES: Final = 64
_SALT_BYTES: Final = 12


@dataclass(frozen=True, slots=True)
class Hashed:
    """A password that is not known. iterations: 0 for one round of SHA-512 (format 6)."""

    salt: bytes
    digest: bytes
    iterations: int

    def verify(self, password: bytes) -> bool:
        """Takes as long for a wrong password as for the right one, and long on purpose: not for an event loop.

        In format 7 zero bytes at the end do not count, in mosquitto neither: HMAC fills its key up with them (RFC 2104, 2).
        """
        if self.iterations:
            found = hashlib.pbkdf2_hmac("sha512", password, self.salt, self.iterations, len(self.digest))
        else:
            found = hashlib.sha512(password + self.salt).digest()
        return hmac.compare_digest(found, self.digest)


def hashed(password: bytes, iterations: int = ITERATIONS) -> str:
    """What stands behind ``name:`` in a password file, in format 7."""
    salt = secrets.token_bytes(_SALT_BYTES)
    digest = hashlib.pbkdf2_hmac("sha512", password, salt, iterations, _HASH_BYTES)
    return f"$7${iterations}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def load(path: Path) -> dict[str, Hashed]:
    """Users and their passwords. Raises AccessFileError, which never shows what stands where a hash should."""
    return parse(read_lines(path), str(path))


def parse(lines: list[str], origin: str) -> dict[str, Hashed]:
    """Like :func:`load`, for lines; ``origin`` names them in errors."""
    users: dict[str, Hashed] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, secret = line.partition(":")
        if not colon:
            # It is not shown: it may be a password.
            raise AccessFileError(origin, number, "a line is `name:hash`, and here is no colon")
        if not name:
            raise AccessFileError(origin, number, "a line is `name:hash`, and here is no name")
        if name in users:
            raise AccessFileError(origin, number, f"user `{name}` stands in the file twice")
        if not secret.strip():
            raise AccessFileError(origin, number, f"user `{name}` has no password; nobody is let in without one")
        try:
            users[name] = _parse_hash(secret.strip())
        except _Unusable as error:
            raise AccessFileError(origin, number, f"user `{name}`: {error}") from None
    return users


class _Unusable(Exception):
    pass


def _parse_hash(text: str) -> Hashed:
    match text.split("$"):
        case ["", "6", salt, digest]:
            return Hashed(_decode(salt), _digest(digest), 0)
        case ["", "7", iterations, salt, digest]:
            if not (iterations.isascii() and iterations.isdigit() and 0 < int(iterations[:12]) <= MOST_ITERATIONS):
                raise _Unusable(f"the number of iterations must be 1 to {MOST_ITERATIONS}")
            return Hashed(_decode(salt), _digest(digest), int(iterations))
        case ["", "6" | "7", *_]:
            raise _Unusable("the hash has not the form that mosquitto_passwd writes")
    if text.startswith("$"):
        raise _Unusable("this kind of hash is not known; those of mosquitto_passwd are ($6$ and $7$)")
    raise _Unusable("the password stands there readable; write the file with mosquitto_passwd or `edgecore broker --add-user`")


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _Unusable("salt and hash must be base64") from None


def _digest(text: str) -> bytes:
    digest = _decode(text)
    if len(digest) != _HASH_BYTES:
        raise _Unusable(f"the hash has {len(digest)} bytes instead of {_HASH_BYTES}")
    return digest
