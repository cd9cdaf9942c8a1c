"""The join token: ``<sha256 of the CA, hex>.<JWT header>.<JWT payload>.<JWT signature>``.

The JWT is HS256 under the DER bytes of the CA's private key and carries nothing but ``exp``.
Source: KubeEdge 1.23: pkg/security/token/token.go.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import time
from dataclasses import dataclass
from typing import Final

import msgspec

_DIGESTS: Final = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}
_HEADER: Final = b'{"alg":"HS256","typ":"JWT"}'
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}")
_LONGEST: Final = 8192


class TokenError(Exception):
    """A token is not accepted. The text of a failed verification is the body of KubeEdge's 401 answer."""


class TokenExpired(TokenError):
    """The token was good once."""


class _Head(msgspec.Struct):
    alg: str


class _Claims(msgspec.Struct):
    exp: float | None = None
    nbf: float | None = None


@dataclass(frozen=True)
class JoinToken:
    """The two halves of a join token.

    fingerprint: lower-case hex SHA-256 of the cluster's CA certificate (DER). jwt: what the cloud verifies.
    """

    fingerprint: str
    jwt: str

    @classmethod
    def parse(cls, text: str) -> JoinToken:
        """Splits the text that ``keadm gettoken`` printed.

        Raises TokenError that says which part is not as it should be.
        """
        parts = text.strip().split(".")
        advice = "copy the whole line that `keadm gettoken` prints on the cloud"
        if len(parts) != 4 or not all(parts):
            raise TokenError(f"the token is in the wrong format: it has {len(parts)} part(s) between dots, not 4; {advice}")
        fingerprint = parts[0].lower()
        if not _FINGERPRINT.fullmatch(fingerprint):
            raise TokenError(f"the token is in the wrong format: its first part is not a hash of 64 hex digits; {advice}")
        return cls(fingerprint, ".".join(parts[1:]))

    def __str__(self) -> str:
        return f"{self.fingerprint}.{self.jwt}"


def mint(authority_key_der: bytes, fingerprint: str, lifetime_seconds: float, now: float | None = None) -> str:
    """A join token that expires ``lifetime_seconds`` from now (seconds since the epoch)."""
    expires = int((time.time() if now is None else now) + lifetime_seconds)
    signed = f"{_pack(_HEADER)}.{_pack(msgspec.json.encode({'exp': expires}))}"
    signature = hmac.digest(authority_key_der, signed.encode("ascii"), "sha256")
    return f"{fingerprint}.{signed}.{_pack(signature)}"


def bearer(authorization: str) -> str:
    """The token inside an ``Authorization`` header.

    Raises TokenError when there is none.
    """
    if not authorization.strip():
        raise TokenError("token validation failure, token is empty")
    kind, _, value = authorization.strip().partition(" ")
    if kind.lower() != "bearer" or not value.strip() or " " in value.strip():
        raise TokenError("token validation failure, token cannot be split")
    return value.strip()


def verify(jwt: str, key_der: bytes, now: float | None = None) -> None:
    """Checks signature first, then time.

    Raises TokenExpired or TokenError.
    """
    seconds_left(jwt, key_der, now)


def seconds_left(jwt: str, key_der: bytes, now: float | None = None) -> float:
    """For how long a good token stays good. Raises TokenExpired or TokenError."""
    parts = jwt.split(".")
    if len(jwt) > _LONGEST or len(parts) != 3:
        raise _failure("token is malformed: token contains an invalid number of segments")
    try:
        head = msgspec.json.decode(_unpack(parts[0]), type=_Head)
        claims = msgspec.json.decode(_unpack(parts[1]), type=_Claims)
        signature = _unpack(parts[2])
    except (msgspec.DecodeError, binascii.Error, ValueError, RecursionError) as error:
        raise _failure("token is malformed: could not be decoded") from error
    digest = _DIGESTS.get(head.alg)
    if digest is None:
        raise _failure("token is unverifiable: error while executing keyfunc: unexpected signing method")
    expected = hmac.new(key_der, f"{parts[0]}.{parts[1]}".encode("ascii"), digest).digest()
    if not hmac.compare_digest(expected, signature):
        raise _failure("token signature is invalid: signature is invalid")
    return _check_time(claims, time.time() if now is None else now)


def _check_time(claims: _Claims, now: float) -> float:
    if claims.exp is None:
        raise _failure("token has invalid claims: token is missing required claim: exp claim is required")
    if now >= claims.exp:
        raise TokenExpired("token validation failure, err: token has invalid claims: token is expired")
    if claims.nbf is not None and now < claims.nbf:
        raise _failure("token has invalid claims: token is not valid yet")
    return claims.exp - now


def _failure(detail: str) -> TokenError:
    return TokenError(f"token validation failure, err: {detail}")


def _pack(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _unpack(text: str) -> bytes:
    data = text.encode("ascii")
    if b"=" in data:
        raise ValueError("a JWT has no padding")
    return base64.b64decode(data + b"=" * (-len(data) % 4), altchars=b"-_", validate=True)
