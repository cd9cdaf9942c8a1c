"""Whose certificate this is and how long it is good, read straight from the DER.

The cryptography library costs an idle edge many megabytes; it is imported only to make a request. This reader looks at four
fields and verifies nothing: TLS does that.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)
_SEQUENCE, _SET, _OID, _VERSION = 0x30, 0x31, 0x06, 0xA0
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_COMMON_NAME: Final = bytes((0x55, 0x04, 0x03))


class UnreadableCertificate(ValueError):
    """The bytes are not an X.509 certificate."""


@dataclass(frozen=True)
class Validity:
    """not_before, not_after: seconds since the epoch."""

    common_name: str
    not_before: float
    not_after: float


def read(data: bytes) -> Validity:
    """Reads the first certificate of a PEM text, or DER.

    Raises UnreadableCertificate.
    """
    try:
        (certificate,) = [body for tag, body in _items(der(data)) if tag == _SEQUENCE][:1]
        fields = list(_items(next(_items(certificate))[1]))
        if fields[0][0] == _VERSION:
            fields.pop(0)
        _serial, _algorithm, _issuer, validity, subject = fields[:5]
        (start, end) = list(_items(validity[1]))[:2]
        return Validity(_common_name(subject[1]), _time(start), _time(end))
    except (ValueError, IndexError, StopIteration) as error:
        raise UnreadableCertificate("not an X.509 certificate") from error


def der(data: bytes) -> bytes:
    """The bytes of the first certificate of a PEM text; anything else as it is.

    Raises UnreadableCertificate.
    """
    found = _PEM.search(data)
    try:
        return data if found is None else base64.b64decode(found[1])
    except ValueError as error:
        raise UnreadableCertificate("not an X.509 certificate") from error


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The tag-length-value items of one level."""
    at = 0
    while at < len(data):
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            if not 0 < size <= 4:
                raise ValueError("length")
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        if at + length > len(data):
            raise ValueError("truncated")
        yield tag, data[at : at + length]
        at += length


def _common_name(subject: bytes) -> str:
    for tag, name_set in _items(subject):
        if tag != _SET:
            continue
        for _, attribute in _items(name_set):
            (oid_tag, oid), (_, value) = list(_items(attribute))[:2]
            if oid_tag == _OID and oid == _COMMON_NAME:
                return value.decode("utf-8", errors="replace")
    return ""


def _time(item: tuple[int, bytes]) -> float:
    tag, text = item[0], item[1].decode("ascii")
    if tag == _UTC_TIME:
        text = ("20" if int(text[:2]) < 50 else "19") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("time")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
