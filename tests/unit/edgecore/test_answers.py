from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beehive.message import Message, build
from edgecore.metamanager import answers
from edgecore.metamanager.client import NotFound, Refused

STATUS = {"status": "Failure", "message": 'configmaps "a" not found', "reason": "NotFound", "code": 404}


def answer(content: object, *, operation: str = "response", resource: str = "d/configmap/a", group: str = "resource") -> Message:
    return build(source="edgecontroller", group=group, operation=operation, resource=resource, content=content, parent_id="p")


def test_the_cause_comes_through() -> None:
    with pytest.raises(NotFound, match='configmap d/a: configmaps "a" not found'):
        answers.bare("configmap d/a", answer({"ErrStatus": STATUS}))
    with pytest.raises(Refused, match="node n: nodes exists") as caught:
        err = {"ErrStatus": {"message": "nodes exists", "reason": "AlreadyExists", "code": 409}}
        answers.wrapped("node n", answer({"Object": {"metadata": {}}, "Err": err}))
    assert (caught.value.code, caught.value.reason) == (409, "AlreadyExists")


@pytest.mark.parametrize("err", [{}, {"Op": "Patch", "URL": "https://api", "Err": {}}, "text", [], 0, False, {"ErrStatus": None}])
def test_an_error_without_a_status_is_an_error(err: object) -> None:
    with pytest.raises(Refused) as caught:
        answers.wrapped("x", answer({"Object": {"metadata": {"name": "x"}}, "Err": err}))
    assert caught.value.code == 503


@pytest.mark.parametrize(
    "content", [{"Object": None, "Err": None}, {"Object": {}, "Err": None}, {"Object": [], "Err": None}, {}, "OK"]
)
def test_a_wrapper_without_an_object_is_an_error(content: object) -> None:
    with pytest.raises(Refused):
        answers.wrapped("x", answer(content))


def test_error_operations() -> None:
    with pytest.raises(NotFound):
        answers.bare("x", answer('configmaps "a" not found', operation="error"))
    with pytest.raises(Refused, match="boom"):
        answers.done("x", answer("boom", operation="error"))
    with pytest.raises(Refused):
        answers.done("x", answer({"a": 1}, operation="error"))


def test_done() -> None:
    answers.done("x", answer("OK"))
    with pytest.raises(NotFound):
        answers.done("x", answer({"ErrStatus": STATUS}))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Object", "Err", "ErrStatus", "metadata", "code", "reason", "message"]), inner, max_size=4
        )
    ),
    max_leaves=15,
)


@given(values, st.sampled_from(["response", "error"]))
def test_every_answer_is_an_object_or_a_failure(content: object, operation: str) -> None:
    for read in (answers.wrapped, answers.bare, answers.done):
        try:
            found = read("x", answer(content, operation=operation))
        except (NotFound, Refused):
            continue
        if read is not answers.done:
            assert isinstance(found, dict)
            assert isinstance(found["metadata"], dict)


@pytest.mark.parametrize(
    ("resource", "content", "wanted"),
    [
        ("d/configmap/a", {"metadata": {}}, True),
        ("d/secret/a", {"metadata": {}}, True),
        ("null/persistentvolume/a", {"metadata": {}}, True),
        ("d/configmap/a", "OK", False),
        ("null/node/n", {"Object": {}, "Err": None}, False),
        ("d/podpatch/p", {"Object": {}, "Err": None}, False),
        ("kube-node-lease/lease/n", {"Object": {}, "Err": None}, False),
        ("k8s/ca.crt", "PEM", False),
    ],
)
def test_which_answers_the_cloud_wants_acknowledged(resource: str, content: object, wanted: bool) -> None:
    assert answers.wants_ack(answer(content, resource=resource)) == wanted
    assert not answers.wants_ack(answer(content, resource=resource, operation="error"))
    assert not answers.wants_ack(answer(content, resource=resource, group="user"))
