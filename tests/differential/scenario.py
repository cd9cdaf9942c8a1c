"""Scenarios: one plain function, run against two servers, whose answers are compared step by step."""

from __future__ import annotations

import inspect
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from difflib import unified_diff
from functools import wraps
from typing import Any

import pytest
from differential import differences
from differential.conversation import Api, Server
from differential.normal import normalised

BROKEN = "the scenario breaks off"


def scenario(
    do: Callable[..., None] | None = None,
    *,
    differs: Mapping[str, str] | None = None,
    finish: Callable[[Api], None] | None = None,
) -> Any:
    """Makes a test of a function of an Api (and of fixtures or parameters, if it has any); it needs the fixture ``both``.

    differs: known differences of any of its steps, by path in the answer. finish: what else to clean up on either side.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @wraps(function)
        def test(both: Both, request: pytest.FixtureRequest, **fixtures: Any) -> None:
            both.compare(lambda api: function(api, **fixtures), request.node.name, differs or {}, finish)

        signature = inspect.signature(function)
        own = [one for one in signature.parameters.values() if one.name != "api"]
        asked = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in ("both", "request")]
        fixtures = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own]
        test.__signature__ = signature.replace(parameters=[*asked, *fixtures])  # type: ignore[attr-defined]
        return pytest.mark.kubernetes(test)

    return decorate if do is None else decorate(do)


class Both:
    """The two servers."""

    def __init__(self, kubernetes: Server, embedded: Server) -> None:
        self.kubernetes, self.embedded = kubernetes, embedded
        self._session, self._scenarios = secrets.token_hex(2), 0

    def compare(
        self, do: Callable[[Api], None], name: str, differs: Mapping[str, str], finish: Callable[[Api], None] | None = None
    ) -> None:
        """Fails with both sides of the first step that differs."""
        self._scenarios += 1
        words = re.sub("[^a-z0-9]+", "-", name.removeprefix("test_").lower()).strip("-")[:40].strip("-")
        namespace = f"{words}-{self._session}-{self._scenarios}"
        sides = [_run(do, server, namespace, finish) for server in (self.kubernetes, self.embedded)]
        problems = [*_broken(sides[0]), *_problems(*sides, differs)]
        if problems:
            shown = problems if os.environ.get("DIFFERENCES") == "all" else problems[:1]
            left = len(problems) - len(shown)
            rest = f"\n{left} more of them: DIFFERENCES=all shows them" if left else ""
            pytest.fail("\n".join(shown) + rest, pytrace=False)


def _run(do: Callable[[Api], None], server: Server, namespace: str, finish: Callable[[Api], None] | None) -> Api:
    api = Api(server, namespace)
    _prepare(api)
    try:
        do(api)
    except Exception as error:  # the other side may come further: that is the difference to show
        line = inspect.trace()[1][4] if len(inspect.trace()) > 1 else None
        api.note(BROKEN, f"{type(error).__name__}: {error} at {(line or ['?'])[0].strip()}")
    finally:
        if finish is not None:
            finish(api)
        _clean(api)
    return api


def _prepare(api: Api) -> None:
    made = api.post("/api/v1/namespaces", {"metadata": {"name": api.namespace}}, keep=False)
    assert made.code == 201, f"{api.server.name}: {made.body}"
    api.until("serviceaccounts/default", lambda answer: answer.code == 200)
    api.steps.clear()


def _clean(api: Api) -> None:
    """A pod that is left behind would be bound to the next test's node."""
    api.delete("pods?gracePeriodSeconds=0", keep=False)
    api.delete(f"/api/v1/namespaces/{api.namespace}", keep=False)


def _broken(kubernetes: Api) -> list[str]:
    """A scenario that breaks off on both sides would compare little."""
    broken = [step.answer["body"] for step in kubernetes.steps if step.asked == BROKEN]
    return [f"on Kubernetes itself the scenario breaks off: {broken[0]}"] if broken else []


def _problems(kubernetes: Api, embedded: Api, differs: Mapping[str, str]) -> Iterator[str]:
    """What speaks against the two being the same, in the order of the steps."""
    if unknown := [id_ for id_ in _ids(kubernetes, differs) if id_ not in differences.known()]:
        yield f"docs/api-differences.md has no row {', '.join(map(repr, unknown))}"
    sides = [normalised(api.steps, api.server.url) for api in (kubernetes, embedded)]
    unused = dict(differs)
    for place, (step, other) in enumerate(zip(kubernetes.steps, embedded.steps, strict=False)):
        answers = sides[0][place], sides[1][place]
        paths = ["asked"] if _words(step.asked) != _words(other.asked) else list(differences.between(*answers))
        for pattern in [pattern for pattern in unused if any(differences.covers(pattern, path) for path in paths)]:
            del unused[pattern]
        _, idle = differences.judge(paths, step.differs)
        unexpected, _ = differences.judge(paths, {**differs, **step.differs})
        if unexpected:
            yield _told(kubernetes, embedded, place, answers, unexpected)
        if idle:
            ids = ", ".join(sorted({step.differs[pattern] for pattern in idle}))
            yield f"step {place + 1}, {step.asked}: the known difference {ids} is none any more at {idle}; remove it"
    if len(kubernetes.steps) != len(embedded.steps):
        yield f"kubernetes took {len(kubernetes.steps)} steps, the embedded API {len(embedded.steps)}"
    if unused:
        yield f"these known differences are none any more: {unused}; remove them"


def _ids(api: Api, differs: Mapping[str, str]) -> set[str]:
    return {*differs.values(), *(id_ for step in api.steps for id_ in step.differs.values())}


def _words(asked: str) -> str:
    """Method and path, without what the servers have made up."""
    return re.sub(r"resourceVersion=\d+|continue=[^&]+", "*", " ".join(asked.split()[:2]))


def _told(kubernetes: Api, embedded: Api, place: int, answers: tuple[Any, Any], paths: list[str]) -> str:
    before = [f"     {step.asked}\n       -> {step.answer['code']}" for step in kubernetes.steps[:place]]
    asked, other = kubernetes.steps[place].asked, embedded.steps[place].asked
    told = ["", *before, f"{place + 1:3}. {asked}"]
    if _words(other) != _words(asked):
        told.append(f"     embedded: {other}")
    lines = unified_diff(*(_lines(answer) for answer in answers), "kubernetes", "embedded", lineterm="", n=8)
    return "\n".join([*told, f"     differs at: {', '.join(paths)}", *lines])


def _lines(value: Any) -> list[str]:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False).splitlines()
