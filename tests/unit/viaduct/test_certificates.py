"""Certificates: what is in them (KubeEdge's values), and what must not be signed."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
from contextlib import suppress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from viaduct.certificates import (
    Authority,
    CertificateError,
    answers_request,
    belong_together,
    certificate_der,
    certificate_pem,
    describe,
    issued_by,
    key_der,
    key_pem,
    new_request,
)

DAY = datetime.timedelta(days=1)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


def load(der: bytes) -> x509.Certificate:
    return x509.load_der_x509_certificate(der)


def usages(certificate: x509.Certificate) -> set[x509.ObjectIdentifier]:
    return set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def test_the_authority_is_kubeedge_s(authority: Authority) -> None:
    certificate = load(authority.certificate_der)
    assert certificate.subject.rfc4514_string() == "CN=KubeEdge"
    assert certificate.issuer == certificate.subject
    assert certificate.serial_number == 1024
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == 36400 * DAY + datetime.timedelta(minutes=5)
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.key_encipherment, usage.digital_signature, usage.key_cert_sign, usage.crl_sign) == (True, True, True, False)
    assert usages(certificate) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    public = certificate.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert public.curve.name == "secp256r1"
    assert authority.fingerprint == hashlib.sha256(authority.certificate_der).hexdigest()
    certificate.verify_directly_issued_by(certificate)


def test_the_key_is_sec1_and_its_bytes_are_kept(authority: Authority) -> None:
    pem = key_pem(authority.key_der)
    assert pem.startswith(b"-----BEGIN EC PRIVATE KEY-----")
    assert key_der(pem) == authority.key_der
    key = serialization.load_der_private_key(authority.key_der, None)
    pkcs8 = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    again = Authority.from_der(authority.certificate_der, pkcs8)
    assert again.key_der == pkcs8  # join tokens are signed with the very bytes of the secret
    assert again.fingerprint == authority.fingerprint


def test_halves_that_do_not_fit(authority: Authority) -> None:
    with pytest.raises(CertificateError, match="do not belong together"):
        Authority.from_der(authority.certificate_der, Authority.create().key_der)
    with pytest.raises(CertificateError, match="not a private key"):
        Authority.from_der(authority.certificate_der, b"x")
    with pytest.raises(CertificateError, match="not a certificate"):
        Authority.from_der(b"", authority.key_der)


def test_a_server_certificate(authority: Authority) -> None:
    pair = authority.issue_server(["cloud.example.org", ""], ["192.0.2.1", "2001:db8::1", ""])
    certificate = load(pair.certificate_der)
    assert certificate.subject.rfc4514_string() == "CN=KubeEdge,O=KubeEdge"
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["cloud.example.org"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("2001:db8::1")]
    assert usages(certificate) == {ExtendedKeyUsageOID.SERVER_AUTH}
    certificate.verify_directly_issued_by(load(authority.certificate_der))
    assert belong_together(pair.certificate_pem, pair.key_pem)
    with pytest.raises(CertificateError, match=r"192\.0\.2\.300"):
        authority.issue_server([], ["192.0.2.300"])
    with pytest.raises(CertificateError, match="ASCII"):
        authority.issue_server(["bücher.example"], [])


def test_a_client_certificate(authority: Authority) -> None:
    pair = authority.issue_client("kubernetes-admin", ["system:masters"], 365)
    info = describe(pair.certificate_pem)
    assert (info.common_name, info.organizations, info.issuer, info.node) == (
        "kubernetes-admin",
        ("system:masters",),
        "KubeEdge",
        "",
    )
    assert usages(load(pair.certificate_der)) == {ExtendedKeyUsageOID.CLIENT_AUTH}


@pytest.mark.parametrize("node", ["edge-1", "a", "n" * 253])
def test_a_request_and_its_certificate(authority: Authority, node: str) -> None:
    key, csr = new_request(node)
    assert key.startswith(b"-----BEGIN EC PRIVATE KEY-----")
    if len(node) < 50:
        subject = x509.load_der_x509_csr(csr).subject
        assert subject.rfc4514_string() == f"CN=system:node:{node},O=system:nodes,L=Hangzhou,ST=Zhejiang,C=CN"
    der = authority.sign_request(csr, node=node)
    info = describe(der)
    assert (info.node, info.organizations) == (node, ("system:nodes",))
    assert info.not_after - info.not_before == 365 * DAY + datetime.timedelta(minutes=5)
    assert info.not_before < datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=4)
    assert 0 < info.serial < 2**63
    assert info.fingerprint == hashlib.sha256(der).hexdigest()
    assert belong_together(der, key)
    assert answers_request(der, csr)
    assert usages(load(der)) == {ExtendedKeyUsageOID.CLIENT_AUTH}
    assert not load(der).extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def request(
    *attributes: tuple[x509.ObjectIdentifier, str], key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, names: bool = False
) -> bytes:
    subject = x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if names:
        alternatives = x509.SubjectAlternativeName([x509.DNSName("cloud.example.org"), x509.RFC822Name("a@example.org")])
        builder = builder.add_extension(alternatives, critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def test_requests_that_must_not_be_signed(authority: Authority) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    nodes, mine = (NameOID.ORGANIZATION_NAME, "system:nodes"), (NameOID.COMMON_NAME, "system:node:edge-1")
    refused = {
        "not for": request(nodes, (NameOID.COMMON_NAME, "system:node:edge-2"), key=key),
        "not for ": request(nodes, (NameOID.COMMON_NAME, "admin"), key=key),
        "organizations": request((NameOID.ORGANIZATION_NAME, "system:masters"), mine, key=key),
        "organizations ": request(nodes, (NameOID.ORGANIZATION_NAME, "system:masters"), mine, key=key),
        "organizations  ": request(mine, key=key),
        "too weak": request(nodes, mine, key=ec.generate_private_key(ec.SECP192R1())),
        "not a certificate request": b"",
        "not a certificate request ": authority.certificate_der,
        "not a certificate request  ": b"\x30\x82" + b"\xff" * 100,
    }
    for text, csr in refused.items():
        with pytest.raises(CertificateError, match=text.strip()):
            authority.sign_request(csr, node="edge-1")
    with pytest.raises(CertificateError, match="no use"):
        authority.sign_request(request(nodes, mine, key=key), node="edge-1", client=False)


def test_a_request_with_a_wrong_signature(authority: Authority) -> None:
    _, csr = new_request("edge-1")
    broken = csr[:-1] + bytes([csr[-1] ^ 1])
    with pytest.raises(CertificateError):
        authority.sign_request(broken, node="edge-1")


def test_only_allowed_extensions_are_kept(authority: Authority) -> None:
    key = rsa.generate_private_key(65537, 2048)
    subject = (NameOID.ORGANIZATION_NAME, "system:nodes"), (NameOID.COMMON_NAME, "system:node:edge-1")
    csr = request(*subject, key=key, names=True)
    client = load(authority.sign_request(csr, node="edge-1"))
    with pytest.raises(x509.ExtensionNotFound):
        client.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert not client.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    both = load(authority.sign_request(csr, node="edge-1", server=True, days=1))
    names = both.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.DNSName("cloud.example.org")]
    assert usages(both) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}


def test_pem_and_der(authority: Authority) -> None:
    assert certificate_der(certificate_pem(authority.certificate_der)) == authority.certificate_der
    assert describe(authority.certificate_pem + b"\ntrailing text\n") == describe(authority.certificate_der)
    rsa_key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(CertificateError, match="elliptic"):
        key_der(rsa_key)


def test_the_issuer_is_known_by_its_key_not_by_its_name(authority: Authority) -> None:
    pair = authority.issue_server(["x"], [])
    assert issued_by(pair.certificate_der, authority.certificate_der)
    assert not issued_by(pair.certificate_der, Authority.create().certificate_der)
    assert not issued_by(pair.certificate_der, Authority.create("another").certificate_der)


@given(st.binary(max_size=300))
def test_no_bytes_do_anything_else_than_being_refused(data: bytes) -> None:
    for function in (describe, certificate_pem, certificate_der, key_pem, key_der):
        with pytest.raises(CertificateError):
            function(data)


@pytest.mark.parametrize("change", [1, 128, 255])
def test_damaged_requests_are_refused(change: int) -> None:
    for where in range(len(CSR)):
        refused_or_the_same(CSR[:where] + bytes([CSR[where] ^ change]) + CSR[where + 1 :])


def refused_or_the_same(damaged: bytes) -> None:
    """Around what is signed there are bits without a meaning (the count of unused ones in the signature)."""
    try:
        SHARED.sign_request(damaged, node="edge-1", server=True)
    except CertificateError:
        return
    signed, original = (x509.load_der_x509_csr(one) for one in (damaged, CSR))
    assert signed.tbs_certrequest_bytes == original.tbs_certrequest_bytes
    assert signed.signature == original.signature


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_damaged_certificates_are_described_or_refused(where: int, change: int) -> None:
    where %= len(CERTIFICATE)
    damaged = CERTIFICATE[:where] + bytes([CERTIFICATE[where] ^ change]) + CERTIFICATE[where + 1 :]
    with suppress(CertificateError):
        describe(damaged)
    with suppress(CertificateError):
        answers_request(damaged, CSR)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_damaged_requests_of_any_kind_are_refused(where: int, change: int) -> None:
    where %= len(CSR)
    refused_or_the_same(CSR[:where] + bytes([CSR[where] ^ change]) + CSR[where + 1 :])


SHARED = Authority.create()
_, CSR = new_request("edge-1")
CERTIFICATE = SHARED.issue_server(["cloud.example.org"], ["192.0.2.1"]).certificate_der
