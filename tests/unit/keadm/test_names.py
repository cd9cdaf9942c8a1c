from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keadm import names


@pytest.mark.parametrize("name", ["edge-1", "a", "gateway.plant-7.example", "0"])
def test_good_node_names(name: str) -> None:
    assert names.node_name(name) == name


@pytest.mark.parametrize("name", ["Edge_1", "", "-a", "a-", "a..b", "a" * 254, "ä", "a b", "edge\n"])
def test_bad_node_names(name: str) -> None:
    with pytest.raises(names.NameProblem, match="cannot be a node's name"):
        names.node_name(name)


def test_a_bad_name_comes_with_a_good_one() -> None:
    with pytest.raises(names.NameProblem, match="for example edge-1"):
        names.node_name("Edge_1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.10:10000", ("192.0.2.10", 10000)),
        ("cloud.example", ("cloud.example", 10000)),
        ("[2001:db8::1]:10001", ("2001:db8::1", 10001)),
        ("[::1]", ("::1", 10000)),
    ],
)
def test_endpoints(text: str, expected: tuple[str, int]) -> None:
    assert names.endpoint(text) == expected


@pytest.mark.parametrize("text", ["", ":10000", "host:", "host:0", "host:70000", "2001:db8::1", "https://host", "a b:1"])
def test_what_is_no_endpoint(text: str) -> None:
    with pytest.raises(names.NameProblem):
        names.endpoint(text)


@given(st.text(max_size=40))
def test_an_endpoint_is_understood_or_refused(text: str) -> None:
    try:
        host, port = names.endpoint(text)
    except names.NameProblem:
        return
    assert names.endpoint(names.join_host(host, port)) == (host, port)


def test_labels() -> None:
    assert names.labels("zone=a,flag,=skipped") == {"zone": "a", "flag": ""}


def test_labels_with_a_prefix() -> None:
    assert names.labels("example.com/zone=A_1.b") == {"example.com/zone": "A_1.b"}


@pytest.mark.parametrize(
    "text", ["a b", "zone=a b", "zone=-a", f"zone={'a' * 64}", "/zone=a", "Example/zone=a", "a/b/c=d", "zone=a/b", "tier=x=y"]
)
def test_what_is_no_label(text: str) -> None:
    with pytest.raises(names.NameProblem, match="cannot be a label"):
        names.labels(text)
