from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keadm import sets


def applied(*expressions: str, tree: dict[str, Any] | None = None) -> dict[str, Any]:
    result = tree if tree is not None else {}
    for expression in expressions:
        sets.apply(result, expression)
    return result


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("a.b=1", {"a": {"b": 1}}),
        ("a=1.5,b=true,c=false", {"a": 1.5, "b": True, "c": False}),
        ("a=text", {"a": "text"}),
        ("a='1,2=3'", {"a": "1,2=3"}),
        ('a="true"', {"a": "true"}),
        ("a={x,y}", {"a": ["x", "y"]}),
        ("a={169.254.96.16}", {"a": ["169.254.96.16"]}),
        ("a={k:v,n:2}", {"a": {"k": "v", "n": 2}}),
        ("a={}", {"a": []}),
        ("a={https://registry:5000}", {"a": ["https://registry:5000"]}),
        ("a=", {"a": ""}),
        ("l[0]=x,l[1]=y", {"l": ["x", "y"]}),
        ("l[0].name=x,l[0].value=y", {"l": [{"name": "x", "value": "y"}]}),
    ],
)
def test_values(expression: str, expected: dict[str, Any]) -> None:
    assert applied(expression) == expected


def test_what_was_there_stays() -> None:
    tree = {"modules": {"edged": {"enable": True, "nodeIP": ""}}}
    assert applied("modules.edged.nodeIP=192.0.2.1", tree=tree) == {"modules": {"edged": {"enable": True, "nodeIP": "192.0.2.1"}}}


@pytest.mark.parametrize("expression", ["a=b=c", "nothing", "=1", "a..b=1", "a[x]=1", "l[1]=x", "a='open", "a={open"])
def test_what_cannot_be_meant_is_named(expression: str) -> None:
    with pytest.raises(sets.SetError, match="--set"):
        applied(expression)


def test_a_block_cannot_stand_in_a_list() -> None:
    with pytest.raises(sets.SetError, match="not a block"):
        applied("l.name=x", tree={"l": [1]})


@given(st.text(alphabet="ab.[]01={},'\":", max_size=30))
def test_any_text_is_applied_or_refused(expression: str) -> None:
    try:
        applied(expression)
    except sets.SetError:
        pass
