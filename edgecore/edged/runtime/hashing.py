"""The container hash: decides, when containers are adopted, whether the pod's spec has changed since they were made."""

from __future__ import annotations

import json

FNV_OFFSET = 0x811C9DC5
FNV_PRIME = 0x01000193


def fnv1a_32(data: bytes) -> int:
    """FNV-1a, 32 bits."""
    value = FNV_OFFSET
    for byte in data:
        value = ((value ^ byte) * FNV_PRIME) & 0xFFFFFFFF
    return value


def container_hash(name: str, image: str) -> str:
    """As kubelet 1.32 computes it (K: pkg/kubelet/container/helpers.go: HashContainer): hex, without leading zeros.

    Only image and name count. Go prints the JSON bytes as ``([]uint8)[1 2 3]`` before it hashes them, and its JSON
    writes ``<``, ``>``, ``&`` and the two line separators as ``\\u....``.
    """
    text = json.dumps({"image": image, "name": name}, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    listing = " ".join(str(byte) for byte in text.encode())
    return f"{fnv1a_32(f'([]uint8)[{listing}]'.encode()):x}"
