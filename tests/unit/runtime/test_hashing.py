from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from edgecore.edged.runtime.hashing import container_hash, fnv1a_32


def test_as_the_real_one() -> None:
    assert container_hash("nginx", "nginx:1.25") == "5d0e8bc9"


def test_fnv_reference_values() -> None:
    assert fnv1a_32(b"") == 0x811C9DC5
    assert fnv1a_32(b"a") == 0xE40C292C
    assert fnv1a_32(b"foobar") == 0xBF9CF968


def test_go_escapes_what_html_would_read() -> None:
    """encoding/json writes < > & as \\u003c \\u003e \\u0026: computed by hand from that text."""
    text = r'{"image":"a","name":"\u003c\u003e\u0026"}'
    expected = fnv1a_32(f"([]uint8)[{' '.join(str(b) for b in text.encode())}]".encode())
    assert container_hash("<>&", "a") == f"{expected:x}"


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_any_text_has_a_hash_and_names_do_not_run_into_images(name: str, image: str, other: str) -> None:
    value = container_hash(name, image)
    assert 0 <= int(value, 16) < 1 << 32
    assert (container_hash(name, other) == value) or other != image
    assert json.dumps(value)
