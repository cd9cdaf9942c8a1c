"""Password files of mosquitto_passwd, and what is refused in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mqtt.accessfile import AccessFileError
from mqtt.passwords import hashed, load, parse

# Written by mosquitto_passwd 2.0.11 (-H sha512 for bob).
ANN = "ann:$7$101$xoHtJ+0QvM5Lxbmr$98LX54CQPQsWn7wk4Ota1v/4WEr7EYJsErIhRqFdPV5Mydm5kAvfxCiFXp0EYsdbwcs/O5pHlQuui9TZBrgj8w=="
BOB = "bob:$6$f2D7Yt1JZRAMnqit$Co7/L3cVJko5jjZDGpM1NjYb9uAXzhgnWriXZtRVFIDs2VsVtBDHk4TkugyeK88aAKunOyrEGVnsX8Hu/gWW4g=="


def test_files_of_mosquitto_passwd(tmp_path: Path) -> None:
    file = tmp_path / "passwords"
    file.write_bytes(f"# people\n\n{ANN}\r\n{BOB}\n".encode())
    users = load(file)
    assert list(users) == ["ann", "bob"]
    assert users["ann"].verify(b"secret")
    assert users["bob"].verify(b"hunter2")
    for wrong in (b"", b"Secret", b"secret ", b"hunter2\0"):
        assert not users["ann"].verify(wrong)
        assert not users["bob"].verify(wrong)


@given(st.binary(max_size=40), st.binary(max_size=40))
@example(b"secret", b"secret\0")
def test_what_is_hashed_here_is_known_again(password: bytes, other: bytes) -> None:
    """Format 7 pads passwords with zero bytes: by definition it cannot tell how many of them a password ends with."""
    users = parse([f"x:{hashed(password, 2)}"], "file")
    assert users["x"].verify(password)
    assert users["x"].verify(other) == (other.rstrip(b"\0") == password.rstrip(b"\0"))


def test_a_salt_is_used_once() -> None:
    assert hashed(b"x", 1) != hashed(b"x", 1)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("eve:sesame", "user `eve`: the password stands there readable"),
        ("eve sesame", "here is no colon"),
        ("eve:", "user `eve` has no password"),
        (":$7$1$AAAA$AAAA", "here is no name"),
        (ANN, "user `ann` stands in the file twice"),
        ("eve:$1$abc$def", "this kind of hash is not known"),
        ("eve:$argon2id$v=19$m=1$x$y", "this kind of hash is not known"),
        ("eve:$7$101$AAAA", "has not the form"),
        ("eve:$7$0$AAAA$AAAA", "iterations must be 1 to"),
        ("eve:$7$99999999999999999999$AAAA$AAAA", "iterations must be 1 to"),
        ("eve:$7$-1$AAAA$AAAA", "iterations must be 1 to"),
        ("eve:$6$AAAA$AAAA", "the hash has 3 bytes instead of 64"),
        ("eve:$6$!$AAAA", "must be base64"),
        ("eve:$6$AAAA$A", "must be base64"),
    ],
)
def test_what_is_refused_names_its_line_and_shows_no_password(line: str, problem: str) -> None:
    with pytest.raises(AccessFileError) as refused:
        parse(["", ANN, line], "people")
    assert str(refused.value).startswith("people: line 3: ")
    assert problem in str(refused.value)
    assert "sesame" not in str(refused.value)


@given(st.text(max_size=80))
def test_any_line_is_taken_or_refused_with_its_number(line: str) -> None:
    try:
        users = parse([line], "people")
    except AccessFileError as error:
        assert "line 1" in str(error)
    else:
        assert len(users) <= 1


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(AccessFileError, match="absent: cannot be read: No such file"):
        load(tmp_path / "absent")
    (tmp_path / "latin").write_bytes(ANN.encode() + b"\n\xe4:x\n")
    with pytest.raises(AccessFileError, match="line 2: is not UTF-8"):
        load(tmp_path / "latin")
