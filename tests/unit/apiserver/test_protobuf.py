"""What kubectl sends as protobuf."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudcore.apiserver.protobuf import ProtobufError, decode


def field(number: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def number(place: int, value: int) -> bytes:
    return varint(place << 3) + varint(value % 2**64)


def varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def envelope(kind: str, body: bytes) -> bytes:
    return b"k8s\x00" + field(1, field(1, "v1") + field(2, kind)) + field(2, body)


def test_config_map() -> None:
    metadata = field(1, "cm") + field(2, "") + field(8, b"") + field(11, field(1, "a") + field(2, "b"))
    body = field(1, metadata) + field(2, field(1, "k") + field(2, "v")) + field(3, field(1, "bin") + field(2, b"\xff"))
    assert decode(envelope("ConfigMap", body)) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "cm", "labels": {"a": "b"}},
        "data": {"k": "v"},
        "binaryData": {"bin": "/w=="},
    }


def test_a_grace_period_of_zero_is_kept() -> None:
    body = number(1, 0) + field(2, field(1, "uid-1")) + field(5, "All")
    found = decode(envelope("DeleteOptions", body))
    assert found["gracePeriodSeconds"] == 0
    assert found["preconditions"] == {"uid": "uid-1"}
    assert found["dryRun"] == ["All"]


def test_negative_numbers_and_times() -> None:
    body = field(1, field(9, number(1, 86400)) + number(10, -1))
    assert decode(envelope("Namespace", body))["metadata"] == {
        "deletionTimestamp": "1970-01-02T00:00:00Z",
        "deletionGracePeriodSeconds": -1,
    }


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"k8s\x00",
        envelope("Pod", b""),
        envelope("Unknown", b""),
        envelope("Namespace", b"\x0a\x7f"),
        envelope("Namespace", b"\x08\x01"),
        envelope("Namespace", field(1, field(1, b"\xff\xfe"))),
        envelope("Namespace", field(1, field(8, number(1, 2**62)))),
        envelope("Namespace", b"\xff" * 20),
        envelope("Namespace", b"\x0b"),
    ],
)
def test_what_is_not_understood_is_refused(data: bytes) -> None:
    with pytest.raises(ProtobufError):
        decode(data)


@given(st.binary(max_size=60), st.sampled_from(["Namespace", "Secret", "DeleteOptions", "TokenRequest"]))
def test_garbage_is_refused_or_read_but_never_crashes(body: bytes, kind: str) -> None:
    try:
        assert decode(envelope(kind, body))["kind"] == kind
    except ProtobufError:
        pass


def test_a_deployment_is_understood_as_a_whole_or_refused() -> None:
    container = field(1, "c") + field(2, "x:1") + field(8, b"") + number(16, 0)
    pod = field(2, container) + number(12, 0)
    spec = number(1, 2) + field(2, field(1, field(1, "a") + field(2, "b"))) + field(3, field(2, pod)) + field(4, field(1, ""))
    found = decode(envelope("Deployment", field(2, spec) + field(3, number(1, 0))))
    assert found["spec"]["replicas"] == 2
    assert found["spec"]["template"]["spec"]["containers"] == [{"name": "c", "image": "x:1"}]
    with_volumes = field(2, field(3, field(2, pod + field(1, field(1, "v")))))
    with pytest.raises(ProtobufError, match="field 1 of a PodSpec is accepted as JSON only"):
        decode(envelope("Deployment", with_volumes))
