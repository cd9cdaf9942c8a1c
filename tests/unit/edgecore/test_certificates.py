from __future__ import annotations

import datetime
import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecore.edgehub import certificates, validity
from edgecore.edgehub.certificates import Files, Need, NotReady, judge, replace_pair
from edgecore.edgehub.validity import UnreadableCertificate, Validity
from viaduct.certificates import Authority, certificate_pem, describe

GOOD = Validity("system:node:edge-1", 1000.0, 2000.0)


@pytest.mark.parametrize(
    ("found", "now", "need"),
    [
        (GOOD, 1500.0, Need.NOTHING),
        (GOOD, 500.0, Need.NOTHING),  # the cloud judges our certificate by its own clock
        (GOOD, 2000.0, Need.ENROL),
        (Validity("system:node:other", 1000.0, 2000.0), 1500.0, Need.ENROL),
        (None, 1500.0, Need.ENROL),
    ],
)
def test_what_a_start_needs(found: Validity | None, now: float, need: Need) -> None:
    assert judge(found, why_none="none", node="edge-1", now=now, has_token=True)[0] is need
    if need is Need.ENROL:
        with pytest.raises(NotReady, match="keadm gettoken"):
            judge(found, why_none="none", node="edge-1", now=now, has_token=False)


def test_times_are_said() -> None:
    _, text = judge(GOOD, why_none="", node="edge-1", now=500.0, has_token=False)
    assert "1970-01-01T00:08:20Z" in text
    assert "1970-01-01T00:16:40Z" in text
    with pytest.raises(NotReady, match=r"expired at 1970-01-01T00:33:20Z.*1970-01-01T00:36:40Z"):
        judge(GOOD, why_none="", node="edge-1", now=2200.0, has_token=False)


def test_the_small_reader_agrees_with_the_library() -> None:
    authority = Authority.create()
    pair = authority.issue_client("system:node:edge-1", ["system:nodes"], 365)
    for der in (pair.certificate_der, authority.certificate_der):
        expected = describe(der)
        for data in (der, certificate_pem(der)):
            found = validity.read(data)
            assert found.common_name == expected.common_name
            assert datetime.datetime.fromtimestamp(found.not_before, datetime.UTC) == expected.not_before
            assert datetime.datetime.fromtimestamp(found.not_after, datetime.UTC) == expected.not_after


DER = Authority.create().certificate_der


@given(st.binary(max_size=200) | st.integers(0, len(DER)).map(lambda n: DER[:n]))
def test_nothing_breaks_the_small_reader(data: bytes) -> None:
    try:
        validity.read(data)
    except UnreadableCertificate:
        return
    assert data == DER


@given(st.integers(0, len(DER) - 1), st.integers(0, 255))
def test_a_flipped_byte_does_not_break_it(at: int, byte: int) -> None:
    data = bytearray(DER)
    data[at] = byte
    try:
        validity.read(bytes(data))
    except UnreadableCertificate:
        pass


def make_files(folder: Path) -> Files:
    (folder / "server.key").write_bytes(b"old key")
    (folder / "server.crt").write_bytes(b"old certificate")
    return Files(folder / "ca.crt", folder / "server.crt", folder / "server.key")


def pair_of(files: Files) -> tuple[bytes, bytes]:
    return files.certificate.read_bytes(), files.key.read_bytes()


def test_both_files_change(tmp_path: Path) -> None:
    files = make_files(tmp_path)
    replace_pair(files, b"new certificate", b"new key")
    assert pair_of(files) == (b"new certificate", b"new key")
    assert files.key.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["server.crt", "server.key"]


@pytest.mark.parametrize(
    ("new_key", "new_certificate", "key", "expected"),
    [
        (True, False, b"old key", (b"old certificate", b"old key")),
        (True, True, b"old key", (b"new certificate", b"new key")),
        (False, True, b"new key", (b"new certificate", b"new key")),
    ],
)
def test_a_crash_while_replacing_heals(
    tmp_path: Path, new_key: bool, new_certificate: bool, key: bytes, expected: tuple[bytes, bytes]
) -> None:
    files = make_files(tmp_path)
    files.key.write_bytes(key)
    if new_key:
        (tmp_path / "server.key.new").write_bytes(b"new key")
    if new_certificate:
        (tmp_path / "server.crt.new").write_bytes(b"new certificate")
    certificates.finish_replacing(files)
    assert pair_of(files) == expected
    assert not list(tmp_path.glob("*.new"))


@pytest.mark.parametrize(
    ("token", "other"), [("a" * 64 + ".x.y.z", True), ("nonsense", False), ("", False), ("g" * 64 + ".x", False)]
)
def test_what_is_no_token_takes_no_certificate_out_of_use(tmp_path: Path, token: str, other: bool) -> None:
    authority = tmp_path / "ca.crt"
    authority.write_bytes(certificate_pem(Authority.create().certificate_der))
    files = Files(authority, tmp_path / "crt", tmp_path / "key")
    found = certificates.Certificates(files, server="https://x", node="edge-1", token=lambda: token, enrolled=lambda: None)
    assert found._is_for_another_cluster(token) is other


def test_a_crash_between_pair_and_authority_leaves_the_token_something_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next start would erase the token, with an old CA or an old certificate beside a new one."""
    files = make_files(tmp_path)
    old, new = (certificate_pem(Authority.create().certificate_der) for _ in range(2))
    files.authority.write_bytes(old)
    token = hashlib.sha256(validity.der(new)).hexdigest() + ".x.y.z"
    erased: list[bool] = []
    found = certificates.Certificates(
        files, server="https://x", node="edge-1", token=lambda: token, enrolled=lambda: erased.append(True)
    )
    true_write = certificates.write_atomically
    for fails_at in range(1, 4):
        left = fails_at

        def write(path: Path, data: bytes, *, mode: int = 0o600) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise OSError("killed")
            true_write(path, data, mode=mode)

        monkeypatch.setattr(certificates, "write_atomically", write)
        with pytest.raises(OSError, match="killed"):
            found._write(b"new certificate", b"new key", new)
        assert found._is_for_another_cluster(token)
    assert not erased
