"""Tokens of service accounts: JWTs signed with a key of our own (HS256), which only this API needs to verify."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from beehive.files import write_atomically
from beehive.supervise import Fatal

ISSUER: Final = "https://kubernetes.default.svc.cluster.local"
_HEADER: Final = {"alg": "HS256", "typ": "JWT"}
_KEY_BYTES: Final = 32
_SHORTEST: Final = 600
_LONGEST: Final = 2**32


class InvalidToken(Exception):
    """Not a token of ours, changed, expired, or for somebody else."""


@dataclass(frozen=True)
class Account:
    """Whom a token speaks for. pod, pod_uid: the pod that it is bound to, if it is."""

    namespace: str
    name: str
    uid: str
    pod: str = ""
    pod_uid: str = ""

    @property
    def user(self) -> str:
        return f"system:serviceaccount:{self.namespace}:{self.name}"


class _Claims(msgspec.Struct):
    sub: str
    exp: int
    iss: str
    aud: list[str]
    kubernetes: dict[str, Any] = msgspec.field(name="kubernetes.io")


class Tokens:
    """Signs and verifies with one key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def load(cls, path: Path) -> Tokens:
        """Blocking. Reads the key file, or makes it (0600).

        Raises OSError, and Fatal for a key that is too short: with an empty one everybody could sign.
        """
        if not path.exists():
            write_atomically(path, secrets.token_bytes(_KEY_BYTES))
        key = path.read_bytes()
        if len(key) < _KEY_BYTES:
            raise Fatal(f"{path} is damaged: {len(key)} bytes, not {_KEY_BYTES}. Restore it, or remove it to have a new one made")
        return cls(key)

    def mint(self, account: Account, *, seconds: int, audiences: list[str], now: float | None = None) -> tuple[str, float]:
        """A token and when it ends, in seconds since the epoch. Kubernetes gives at least ten minutes."""
        begin = int(time.time() if now is None else now)
        end = begin + max(_SHORTEST, min(seconds, _LONGEST))
        identity: dict[str, Any] = {"namespace": account.namespace}
        if account.pod:
            identity["pod"] = {"name": account.pod, "uid": account.pod_uid}
        identity["serviceaccount"] = {"name": account.name, "uid": account.uid}
        claims = {
            "aud": audiences or [ISSUER],
            "exp": end,
            "iat": begin,
            "nbf": begin,
            "iss": ISSUER,
            "jti": str(uuid.uuid4()),
            "sub": account.user,
            "kubernetes.io": identity,
        }
        signed = f"{_encode(msgspec.json.encode(_HEADER))}.{_encode(msgspec.json.encode(claims))}"
        return f"{signed}.{_encode(self._sign(signed))}", float(end)

    def _sign(self, text: str) -> bytes:
        return hmac.new(self._key, text.encode(), hashlib.sha256).digest()

    def verify(self, token: str, *, now: float | None = None, audiences: list[str] | None = None) -> Account:
        """Raises InvalidToken."""
        signed, _, signature = token.rpartition(".")
        header, _, payload = signed.partition(".")
        try:
            if msgspec.json.decode(_decode(header)) != _HEADER:
                raise InvalidToken("not signed by this server")
            if not hmac.compare_digest(_decode(signature), self._sign(signed)):
                raise InvalidToken("not signed by this server")
            claims = msgspec.json.decode(_decode(payload), type=_Claims)
            pod = claims.kubernetes.get("pod")
            account = Account(
                str(claims.kubernetes["namespace"]),
                str(claims.kubernetes["serviceaccount"]["name"]),
                str(claims.kubernetes["serviceaccount"]["uid"]),
                str(pod["name"]) if pod else "",
                str(pod["uid"]) if pod else "",
            )
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InvalidToken("not a token of this server") from error
        if claims.exp <= (time.time() if now is None else now):
            raise InvalidToken("the token has expired")
        if not set(claims.aud) & set(audiences or [ISSUER]):
            raise InvalidToken("the token is meant for another audience")
        return account


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidToken("not a token of this server") from error
