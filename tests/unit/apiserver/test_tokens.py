"""Tokens of service accounts."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beehive.supervise import Fatal
from cloudcore.apiserver.tokens import Account, InvalidToken, Tokens

ACCOUNT = Account("default", "robot", "uid-1")
TOKENS = Tokens(b"k" * 32)


def test_a_token_speaks_for_its_account_until_it_ends() -> None:
    token, end = TOKENS.mint(ACCOUNT, seconds=3600, audiences=[], now=1000.0)
    assert end == 4600.0
    assert TOKENS.verify(token, now=4599.0) == ACCOUNT
    with pytest.raises(InvalidToken, match="expired"):
        TOKENS.verify(token, now=4600.0)


def test_ten_minutes_at_least() -> None:
    assert TOKENS.mint(ACCOUNT, seconds=-5, audiences=[], now=0.0)[1] == 600.0


def test_audiences() -> None:
    token, _ = TOKENS.mint(ACCOUNT, seconds=3600, audiences=["vault"])
    assert TOKENS.verify(token, audiences=["vault"]) == ACCOUNT
    with pytest.raises(InvalidToken, match="audience"):
        TOKENS.verify(token)


def test_a_token_of_another_key_or_changed_is_refused() -> None:
    token, _ = Tokens(b"x" * 32).mint(ACCOUNT, seconds=3600, audiences=[])
    with pytest.raises(InvalidToken, match="not signed"):
        TOKENS.verify(token)
    token, _ = TOKENS.mint(ACCOUNT, seconds=3600, audiences=[])
    header, payload, signature = token.split(".")
    for bad in (f"{header}.{payload}.", f"{header}.{payload}x.{signature}", f".{payload}.{signature}", f"{header}.{signature}"):
        with pytest.raises(InvalidToken):
            TOKENS.verify(bad)


@given(st.text(max_size=40))
def test_garbage_is_refused(text: str) -> None:
    with pytest.raises(InvalidToken):
        TOKENS.verify(text)


def test_the_key_stays(tmp_path: Path) -> None:
    path = tmp_path / "sa.key"
    token, _ = Tokens.load(path).mint(ACCOUNT, seconds=3600, audiences=[])
    assert Tokens.load(path).verify(token) == ACCOUNT
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_bound_token_names_its_pod() -> None:
    bound = Account("default", "robot", "uid-1", "web", "uid-2")
    token, _ = TOKENS.mint(bound, seconds=3600, audiences=[])
    assert TOKENS.verify(token) == bound


def test_an_empty_key_is_no_key(tmp_path: Path) -> None:
    path = tmp_path / "sa.key"
    path.write_bytes(b"")
    with pytest.raises(Fatal, match=r"sa\.key is damaged: 0 bytes"):
        Tokens.load(path)
