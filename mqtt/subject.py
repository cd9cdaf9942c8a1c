"""The subject of a certificate as a text, as OpenSSL writes it for RFC 2253: the most particular name first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

_SHORT: Final = {
    "commonName": "CN",
    "countryName": "C",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "streetAddress": "street",
    "domainComponent": "DC",
    "userId": "UID",
    "surname": "SN",
    "givenName": "GN",
}
_ESCAPED: Final = frozenset(',+"\\<>;')

Names = Iterable[Iterable[tuple[str, str]]]
"""As in ``ssl.SSLSocket.getpeercert()["subject"]``."""


def common_name(certificate: Mapping[str, Names]) -> str | None:
    """None when it has none, or more than one: of two names none is the right one. Nor is one with signs that do not print: NUL
    means something to others (:mod:`mqtt.access`)."""
    found = [value for names in certificate.get("subject", ()) for key, value in names if key == "commonName"]
    return found[0] if len(found) == 1 and found[0].isprintable() else None


def subject(certificate: Mapping[str, Names]) -> str | None:
    """``CN=pump-7,O=Works``. None when there is no name."""
    parts = [
        "+".join(f"{_SHORT.get(key, key)}={_escape(value)}" for key, value in names) for names in certificate.get("subject", ())
    ]
    return ",".join(reversed(parts)) or None


def _escape(value: str) -> str:
    """RFC 2253, 2.4; what is not ASCII byte by byte, as OpenSSL does."""
    out = []
    for place, sign in enumerate(value):
        edge = (place == 0 and sign in "# ") or (place == len(value) - 1 and sign == " ")
        if sign in _ESCAPED or edge:
            out.append("\\" + sign)
        elif not " " <= sign <= "~":
            out += [f"\\{byte:02X}" for byte in sign.encode()]
        else:
            out.append(sign)
    return "".join(out)
