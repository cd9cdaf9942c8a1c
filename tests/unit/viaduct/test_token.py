"""Join tokens: against a golden vector made independently, and against every way to get them wrong."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viaduct.token import JoinToken, TokenError, TokenExpired, bearer, mint, verify

KEY = bytes(range(121))
FINGERPRINT = "ab" * 32
NOW = 1_735_689_600.0


def jwt(claims: object, *, head: object = None, key: bytes = KEY, digest: str = "sha256") -> str:
    """A JWT made from the RFC, not from the code under test."""

    def pack(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    signed = pack(json.dumps(head or {"alg": "HS256", "typ": "JWT"}).encode()) + "." + pack(json.dumps(claims).encode())
    return signed + "." + pack(hmac.new(key, signed.encode(), getattr(hashlib, digest)).digest())


def test_the_token_is_what_golang_jwt_makes() -> None:
    text = mint(KEY, FINGERPRINT, 86400, NOW)
    # the header of golang-jwt is {"alg":"HS256","typ":"JWT"} in this order
    assert text.split(".")[:2] == [FINGERPRINT, "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"]
    assert base64.urlsafe_b64decode(text.split(".")[2] + "==") == b'{"exp":1735776000}'
    parsed = JoinToken.parse(f"  {text}\n")
    assert (parsed.fingerprint, str(parsed)) == (FINGERPRINT, text)
    verify(parsed.jwt, KEY, NOW + 86399)


def test_other_hmac_algorithms_and_fractions_are_accepted_as_golang_jwt_does() -> None:
    verify(jwt({"exp": NOW + 1}, head={"alg": "HS384"}, digest="sha384"), KEY, NOW)
    verify(jwt({"exp": NOW + 1}, head={"alg": "HS512", "typ": "JWT", "kid": "x"}, digest="sha512"), KEY, NOW)
    verify(jwt({"exp": NOW + 0.5, "iat": NOW, "sub": "x"}), KEY, NOW)


def test_the_texts_are_kubeedge_s() -> None:
    good = jwt({"exp": NOW + 60})
    with pytest.raises(TokenExpired) as expired:
        verify(good, KEY, NOW + 60)
    assert str(expired.value) == "token validation failure, err: token has invalid claims: token is expired"
    with pytest.raises(TokenError) as forged:
        verify(good, b"another key", NOW)
    assert str(forged.value) == "token validation failure, err: token signature is invalid: signature is invalid"
    with pytest.raises(TokenError, match=r"^token validation failure, token is empty$"):
        bearer("")
    for header in ("Bearer", "Basic abc", "Bearer a b", good):
        with pytest.raises(TokenError, match=r"^token validation failure, token cannot be split$"):
            bearer(header)
    assert bearer(f"Bearer {good}") == good
    assert bearer(f" bearer  {good} ") == good


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "..",
        "a.b",
        "a.b.c.d",
        "ä.b.c",
        jwt({"exp": NOW + 60}) + "=",
        jwt({"exp": NOW + 60}) + "A",
        jwt({}),
        jwt({"exp": None}),
        jwt({"exp": "tomorrow"}),
        jwt({"exp": [1]}),
        jwt([]),
        jwt(None),
        jwt({"exp": NOW + 60, "nbf": NOW + 30}),
        jwt({"exp": NOW + 60}, head={"alg": "none"}),
        jwt({"exp": NOW + 60}, head={"alg": None}),
        jwt({"exp": NOW + 60}, head={"alg": "RS256"}),
        jwt({"exp": NOW + 60}, head=[1]),
        "." + jwt({"exp": NOW + 60}).partition(".")[2],
        jwt({"exp": NOW + 60, "x": "x" * 10_000}),
    ],
)
def test_what_is_no_token_is_refused(bad: str) -> None:
    with pytest.raises(TokenError):
        verify(bad, KEY, NOW)


def test_alg_none_without_signature_is_refused() -> None:
    unsigned = jwt({"exp": NOW + 60}, head={"alg": "none"}).rpartition(".")[0] + "."
    with pytest.raises(TokenError):
        verify(unsigned, KEY, NOW)


@pytest.mark.parametrize("bad", ["", "abc", "a.b.c", "...", "a.b.c.d", f"{FINGERPRINT}.b.c", "g" * 64 + ".b.c.d", "a.b.c.d.e"])
def test_a_garbled_join_token_says_what_to_do(bad: str) -> None:
    with pytest.raises(TokenError, match="wrong format") as caught:
        JoinToken.parse(bad)
    assert "keadm gettoken" in str(caught.value)


@given(st.text())
def test_no_text_does_anything_else_than_being_refused(text: str) -> None:
    with pytest.raises(TokenError):
        verify(text, KEY, NOW)


@given(st.binary(min_size=1, max_size=200), st.integers(1, 10**6), st.integers(0, 300), st.integers(1, 255))
def test_one_changed_character_is_noticed(key: bytes, lifetime: int, where: int, change: int) -> None:
    token = JoinToken.parse(mint(key, FINGERPRINT, lifetime, NOW)).jwt
    verify(token, key, NOW)
    where %= len(token)
    changed = token[:where] + chr(ord(token[where]) ^ change) + token[where + 1 :]
    with pytest.raises(TokenError):
        # the last character of a base64 text has bits that mean nothing
        verify(changed if where < len(token) - 1 else token[:-2], key, NOW)
