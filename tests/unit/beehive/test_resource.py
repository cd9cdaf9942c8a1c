from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beehive import resource as r

part = st.from_regex(r"[a-z0-9][a-z0-9.\-]{0,20}", fullmatch=True)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("default/pod/web-0", ("default", "pod", "web-0")),
        ("null/node/n", ("null", "node", "n")),
        ("default/pod", ("default", "pod", "")),
    ],
)
def test_parse(path: str, expected: tuple[str, str, str]) -> None:
    assert r.parse(path) == expected


@pytest.mark.parametrize("path", ["", "pod", "a/b/c/d", "a//c", "/b/c", "a/b/", "a/b/..", "./b/c"])
def test_what_is_no_resource(path: str) -> None:
    with pytest.raises(r.MalformedResource):
        r.parse(path)


@given(part, part, part, part)
def test_trim_undoes_expand(node: str, namespace: str, type_: str, name: str) -> None:
    short = f"{namespace}/{type_}/{name}"
    assert r.trim(r.expand(node, short)) == short
    assert str(r.parse(short)) == short


def test_trim_leaves_other_paths() -> None:
    assert r.trim("default/pod/web") == "default/pod/web"
    assert r.trim("node/edge-1") == "node/edge-1"
