"""The table of known differences is true: the scenarios see to the rows, this sees to the table."""

from __future__ import annotations

from pathlib import Path

from differential import differences

SCENARIOS = sorted(Path(__file__).parent.glob("test_*.py"))


def test_every_row_has_a_scenario_that_shows_it() -> None:
    text = "".join(path.read_text() for path in SCENARIOS)
    assert [id_ for id_ in differences.known() if f'"{id_}"' not in text] == []


def test_no_row_stands_twice() -> None:
    assert len(set(differences.known())) == len(differences.known())


def test_where_values_differ() -> None:
    one = {"code": 200, "body": {"a": [1, {"b": 2}], "c": None, "e": 1}}
    other = {"code": 200, "body": {"a": [1, {"b": 3}], "d": None, "e": 1.0}}
    assert list(differences.between(one, other)) == ["body.a[1].b", "body.c", "body.d", "body.e"]
    assert list(differences.between([1], [1, 2], "body.items")) == ["body.items"]
    assert list(differences.between(one, one)) == []


def test_a_known_difference_must_be_one() -> None:
    accepted = {"body.a[*].b": "x", "headers": "y"}
    assert differences.judge(["body.a[1].b.c", "body.d"], accepted) == (["body.d"], ["headers"])
    assert differences.judge(["body.ab", "code"], {"body.a": "x"}) == (["body.ab", "code"], ["body.a"])
    assert differences.judge(["code"], {"": "x"}) == ([], [])
