"""The cluster's own certificate authority, requests for certificates, and what a certificate says.

Algorithms, names and lifetimes are KubeEdge's (1.23: pkg/security/certs, cloud/pkg/cloudhub/servers/httpserver,
edge/pkg/edgehub/certificate), so that a Go cloudcore or edgecore can go on with what we made. Import this module only
where certificates are issued or rotated: the library under it is large.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_DAYS: Final = 36400
"""Lifetime of the CA and of the cloud's server certificate."""

NODE_DAYS: Final = 365

BACK_DATED: Final = datetime.timedelta(minutes=5)
"""A certificate is valid from a little before its issue, for the sake of edges whose clock is a little behind."""

NODES_GROUP: Final = "system:nodes"
NODE_PREFIX: Final = "system:node:"

_CA_SERIAL: Final = 1024

_UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    InvalidSignature,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What the library raises about bytes that it cannot read; much of it only when a part is looked at."""

_Usage: TypeAlias = x509.ObjectIdentifier


class CertificateError(ValueError):
    """A certificate, key or request cannot be read, or must not be signed. The text says why."""


@dataclass(frozen=True)
class KeyPair:
    """A certificate and its private key (SEC1 form), both DER."""

    certificate_der: bytes
    key_der: bytes = field(repr=False)

    @property
    def certificate_pem(self) -> bytes:
        return certificate_pem(self.certificate_der)

    @property
    def key_pem(self) -> bytes:
        return key_pem(self.key_der)


@dataclass(frozen=True)
class CertificateInfo:
    """What a certificate says, for people and for decisions. Times are aware (UTC); serial is a number."""

    common_name: str
    organizations: tuple[str, ...]
    issuer: str
    not_before: datetime.datetime
    not_after: datetime.datetime
    serial: int
    fingerprint: str
    dns_names: tuple[str, ...]
    ip_addresses: tuple[str, ...]

    @property
    def node(self) -> str:
        """The node whose certificate this is, or ""."""
        named = self.common_name.startswith(NODE_PREFIX) and NODES_GROUP in self.organizations
        return self.common_name.removeprefix(NODE_PREFIX) if named else ""


class Authority:
    """A certificate authority: its certificate and the key that signs."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, key_der: bytes | None = None) -> None:
        self._certificate = certificate
        self._key = key
        self._key_der = key_der or _sec1(key)

    @classmethod
    def create(cls, common_name: str = "KubeEdge") -> Authority:
        """A new self-signed authority."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        builder = (
            _builder(name, key.public_key(), AUTHORITY_DAYS, serial=_CA_SERIAL)
            .issuer_name(name)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_key_usage(sign_certificates=True), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
            )
        )
        return cls(builder.sign(key, hashes.SHA256()), key)

    @classmethod
    def from_der(cls, certificate_der: bytes, key_der: bytes) -> Authority:
        """An authority that exists already; the key is SEC1 or PKCS#8.

        Raises CertificateError, also when the two do not belong together.
        """
        certificate = _load_certificate(certificate_der)
        key = _load_key(key_der)
        if not belong_together(certificate_der, key_der):
            raise CertificateError("the CA certificate and the CA key do not belong together")
        return cls(certificate, key, key_der)

    @property
    def certificate_der(self) -> bytes:
        return self._certificate.public_bytes(serialization.Encoding.DER)

    @property
    def certificate_pem(self) -> bytes:
        return certificate_pem(self.certificate_der)

    @property
    def key_der(self) -> bytes:
        """The key, byte for byte as it was given (SEC1 when made here): these bytes also sign the join tokens."""
        return self._key_der

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 of the certificate: first part of a join token."""
        return hashlib.sha256(self.certificate_der).hexdigest()

    def issue_server(
        self, dns: Iterable[str], ips: Iterable[str], days: int = AUTHORITY_DAYS, *, common_name: str = "KubeEdge"
    ) -> KeyPair:
        """A server certificate for these names and addresses.

        Raises CertificateError for an address that is none.
        """
        names = [x509.DNSName(_ascii_name(name)) for name in dns if name]
        try:
            addresses = [x509.IPAddress(ipaddress.ip_address(ip)) for ip in ips if ip]
        except ValueError as error:
            raise CertificateError(f"cannot issue a server certificate: {error}") from error
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _subject(common_name, [common_name])
        builder = _builder(subject, key.public_key(), days)
        if names or addresses:
            builder = builder.add_extension(x509.SubjectAlternativeName([*names, *addresses]), critical=False)
        return KeyPair(self._sign(builder, [ExtendedKeyUsageOID.SERVER_AUTH]), _sec1(key))

    def issue_client(self, common_name: str, organizations: Sequence[str], days: int) -> KeyPair:
        """A client certificate with a fresh key."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_subject(common_name, organizations), key.public_key(), days)
        return KeyPair(self._sign(builder, [ExtendedKeyUsageOID.CLIENT_AUTH]), _sec1(key))

    def sign_request(
        self, csr_der: bytes, *, node: str, days: int = NODE_DAYS, client: bool = True, server: bool = False
    ) -> bytes:
        """The certificate (DER) for a node's request.

        The request must prove that its sender has the key, and must be for this node and nothing else. Subject
        alternative names are kept only for a server certificate.
        Raises CertificateError.
        """
        with _reading("certificate request"):
            request = _load_request(csr_der)
            _check_subject(_subject_of(request), node)
            key = _allowed_key(request)
            names = _alternative_names(request) if server else None
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH] * client + [ExtendedKeyUsageOID.SERVER_AUTH] * server
        if not usages:
            raise CertificateError(f"the request of node {node!r} asks for no use that can be granted")
        builder = _builder(_subject(NODE_PREFIX + node, [NODES_GROUP]), key, days)
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        return self._sign(builder, usages)

    def _sign(self, builder: x509.CertificateBuilder, usages: list[_Usage]) -> bytes:
        issuer = self._certificate.public_key()
        if not isinstance(issuer, ec.EllipticCurvePublicKey):
            raise CertificateError("the CA key is not an elliptic curve key")
        certificate = (
            builder.issuer_name(self._certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(sign_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.DER)


def new_request(node: str) -> tuple[bytes, bytes]:
    """A fresh key (PEM, SEC1) and a request (DER) for a node's client certificate, as KubeEdge's edge makes it."""
    key = ec.generate_private_key(ec.SECP256R1())
    place = [
        x509.NameAttribute(NameOID.COUNTRY_NAME, "CN"),
        x509.NameAttribute(NameOID.STATE_OR_PROVINCE_NAME, "Zhejiang"),
        x509.NameAttribute(NameOID.LOCALITY_NAME, "Hangzhou"),
    ]
    subject = x509.Name([*place, *_subject(NODE_PREFIX + node, [NODES_GROUP])])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return key_pem(_sec1(key)), request.public_bytes(serialization.Encoding.DER)


def describe(pem_or_der: bytes) -> CertificateInfo:
    """What the (first) certificate in ``pem_or_der`` says.

    Raises CertificateError.
    """
    with _reading("certificate"):
        certificate = _load_certificate(pem_or_der)
        try:
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            names = x509.SubjectAlternativeName([])
        return CertificateInfo(
            common_name=_attribute(_subject_of(certificate), NameOID.COMMON_NAME),
            organizations=_attributes(_subject_of(certificate), NameOID.ORGANIZATION_NAME),
            issuer=_attribute(certificate.issuer, NameOID.COMMON_NAME),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            serial=certificate.serial_number,
            fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
            dns_names=tuple(names.get_values_for_type(x509.DNSName)),
            ip_addresses=tuple(str(address) for address in names.get_values_for_type(x509.IPAddress)),
        )


def certificate_pem(der: bytes) -> bytes:
    """DER to PEM.

    Raises CertificateError when it is no certificate.
    """
    return _load_certificate(der).public_bytes(serialization.Encoding.PEM)


def certificate_der(pem_or_der: bytes) -> bytes:
    """The first certificate as DER.

    Raises CertificateError.
    """
    return _load_certificate(pem_or_der).public_bytes(serialization.Encoding.DER)


def key_pem(der_or_pem: bytes) -> bytes:
    """A private key as PEM ("EC PRIVATE KEY").

    Raises CertificateError.
    """
    key = _load_key(der_or_pem)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def key_der(pem_or_der: bytes) -> bytes:
    """A private key as SEC1 DER.

    Raises CertificateError.
    """
    return _sec1(_load_key(pem_or_der))


def belong_together(certificate: bytes, key: bytes) -> bool:
    """Whether the private key is the certificate's.

    Raises CertificateError when one of them cannot be read.
    """
    with _reading("certificate"):
        return _load_certificate(certificate).public_key() == _load_key(key).public_key()


def check_request(csr: bytes, node: str) -> None:
    """Checks that a request (PEM or DER) is whole, and for this node and nobody else.

    Raises CertificateError.
    """
    with _reading("certificate request"):
        der = x509.load_pem_x509_csr(csr).public_bytes(serialization.Encoding.DER) if _is_pem(csr) else csr
        _check_subject(_subject_of(_load_request(der)), node)


def issued_by(certificate: bytes, authority: bytes) -> bool:
    """Whether a certificate was signed by this authority's key, whatever names stand in it.

    Raises CertificateError when one of them cannot be read.
    """
    with _reading("certificate"):
        try:
            _load_certificate(certificate).verify_directly_issued_by(_load_certificate(authority))
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True


def answers_request(certificate: bytes, csr_der: bytes) -> bool:
    """Whether a certificate is for the key of a request.

    Raises CertificateError.
    """
    with _reading("certificate"):
        return _load_certificate(certificate).public_key() == _load_request(csr_der).public_key()


def _builder(
    subject: x509.Name,
    public_key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey,
    days: int,
    *,
    serial: int | None = None,
) -> x509.CertificateBuilder:
    now = _now()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(public_key)
        .serial_number(serial or x509.random_serial_number() >> 96)
        .not_valid_before(now - BACK_DATED)
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)


def _key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=True,
        key_cert_sign=sign_certificates,
        crl_sign=False,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _subject(common_name: str, organizations: Sequence[str]) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization) for organization in organizations]
    with _long_names_allowed():
        return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name, _validate=False)])


@contextmanager
def _long_names_allowed() -> Iterator[None]:
    """A node name may be longer (253) than X.509 allows a common name to be (64). Go does not care, nor does OpenSSL."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Attribute's length must be", category=UserWarning)
        yield


def _check_subject(subject: x509.Name, node: str) -> None:
    common_name = _attribute(subject, NameOID.COMMON_NAME)
    if common_name != NODE_PREFIX + node:
        raise CertificateError(f"the request is for {common_name!r}, not for {NODE_PREFIX + node!r}")
    organizations = _attributes(subject, NameOID.ORGANIZATION_NAME)
    if organizations != (NODES_GROUP,):
        raise CertificateError(f"the request names the organizations {list(organizations)}, not {[NODES_GROUP]}")


def _allowed_key(
    request: x509.CertificateSigningRequest,
) -> ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey:
    key = request.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.key_size >= 256:
        return key
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= 2048:
        return key
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    raise CertificateError("the request's key is too weak or of an unknown kind; use ECDSA P-256")


def _alternative_names(request: x509.CertificateSigningRequest) -> x509.SubjectAlternativeName | None:
    try:
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    kept = [name for name in names if isinstance(name, x509.DNSName | x509.IPAddress)]
    return x509.SubjectAlternativeName(kept) if kept else None


@contextmanager
def _reading(what: str) -> Iterator[None]:
    try:
        # What the library says of odd certificates (a negative serial number, say) is for programmers.
        with warnings.catch_warnings(action="ignore", category=CryptographyDeprecationWarning):
            yield
    except CertificateError:
        raise
    except _UNREADABLE as error:
        raise CertificateError(f"not a {what}: {_first_line(error)}") from error


def _load_request(csr_der: bytes) -> x509.CertificateSigningRequest:
    with _reading("certificate request in DER form"):
        request = x509.load_der_x509_csr(csr_der)
        if request.is_signature_valid:
            return request
    raise CertificateError("the signature of the certificate request is wrong: its sender does not have the key")


def _load_certificate(data: bytes) -> x509.Certificate:
    with _reading("certificate"):
        return x509.load_pem_x509_certificate(data) if _is_pem(data) else x509.load_der_x509_certificate(data)


def _load_key(data: bytes) -> ec.EllipticCurvePrivateKey:
    with _reading("private key"):
        load = serialization.load_pem_private_key if _is_pem(data) else serialization.load_der_private_key
        key = load(data, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateError("not an elliptic curve key; only these are used here")
    return key


def _sec1(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def _is_pem(data: bytes) -> bool:
    return b"-----BEGIN " in data[:4096]


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def _attribute(name: x509.Name, oid: x509.ObjectIdentifier) -> str:
    return next(iter(_attributes(name, oid)), "")


def _attributes(name: x509.Name, oid: x509.ObjectIdentifier) -> tuple[str, ...]:
    return tuple(str(attribute.value) for attribute in name.get_attributes_for_oid(oid))


def _subject_of(signed: x509.Certificate | x509.CertificateSigningRequest) -> x509.Name:
    with _long_names_allowed():
        return signed.subject


def _ascii_name(name: str) -> str:
    try:
        name.encode("ascii")
    except UnicodeEncodeError as error:
        raise CertificateError(f"{name!r} is not a DNS name in ASCII form") from error
    return name
