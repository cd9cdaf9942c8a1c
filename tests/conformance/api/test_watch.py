"""Watching: where it begins, what it tells, how it ends."""

from __future__ import annotations

import pytest
from differential.conversation import Api
from differential.objects import config_map, pod
from differential.scenario import scenario

ONLY = "fieldSelector=metadata.name!=kube-root-ca.crt"


def change_everything(api: Api) -> None:
    api.post("configmaps", config_map("new", {"k": "1"}), keep=False)
    api.patch("configmaps/new", {"data": {"k": "2"}}, keep=False)
    api.delete("configmaps/new", keep=False)


@pytest.mark.parametrize("start", ["", "&resourceVersion=0", "&resourceVersion={}"])
@scenario
def test_where_a_watch_begins(api: Api, start: str) -> None:
    api.post("configmaps", config_map("old", {"k": "0"}))
    version = api.get(f"configmaps?{ONLY}")["metadata"]["resourceVersion"]
    with api.watch(f"configmaps?watch=1&{ONLY}{start.format(version)}") as watch:
        if "{}" not in start:
            watch.take(1)
        change_everything(api)
        watch.take(3)


@scenario
def test_a_watch_from_the_past(api: Api) -> None:
    version = api.post("configmaps", config_map("old", {"k": "0"})).version
    change_everything(api)
    with api.watch(f"configmaps?watch=true&resourceVersion={version}&{ONLY}") as watch:
        watch.take(3)


@scenario
def test_selectors_make_objects_come_and_go(api: Api) -> None:
    api.post("configmaps", config_map("a", labels={"app": "x"}))
    with api.watch("configmaps?watch=1&labelSelector=app=x") as watch:
        watch.take(1)
        api.patch("configmaps/a", {"metadata": {"labels": {"app": "y"}}})
        api.patch("configmaps/a", {"metadata": {"labels": {"app": "z"}}})
        api.patch("configmaps/a", {"metadata": {"labels": {"app": "x"}}})
        api.delete("configmaps/a")
        watch.take(3)


@scenario
def test_a_field_selector_follows_a_pod(api: Api) -> None:
    version = api.get("pods")["metadata"]["resourceVersion"]
    with api.watch(f"pods?watch=1&fieldSelector=status.phase=Running&resourceVersion={version}") as watch:
        api.post("pods", pod("p"))
        api.patch("pods/p/status", {"status": {"phase": "Running"}})
        api.patch("pods/p/status", {"status": {"phase": "Failed"}})
        api.delete("pods/p")
        watch.take(2)


@scenario
def test_one_object_is_got_and_not_watched(api: Api) -> None:
    api.post("configmaps", config_map("a"))
    api.get("configmaps/a?watch=1")
    api.get("configmaps/b?watch=1")


@scenario
def test_watches_in_the_path(api: Api) -> None:
    api.post("configmaps", config_map("a"))
    with api.watch(f"/api/v1/watch/namespaces/{api.namespace}/configmaps/a?resourceVersion=0", differs="watch-paths") as watch:
        if watch.code == 200:
            watch.take(1)


@scenario
def test_a_watch_ends_when_its_time_is_over(api: Api) -> None:
    api.post("configmaps", config_map("a"))
    with api.watch(f"configmaps?watch=1&timeoutSeconds=1&{ONLY}") as watch:
        watch.rest()
    with api.watch("secrets?watch=1&timeoutSeconds=1&resourceVersion=0") as watch:
        watch.rest()


@scenario
def test_initial_events_end_with_a_bookmark(api: Api) -> None:
    api.post("secrets", {"metadata": {"name": "a"}})
    query = "watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"
    with api.watch(f"secrets?{query}", differs={"body": "initial-events"}) as watch:
        watch.take(2, bookmarks=True)


QUERIES = (
    "watch=1&sendInitialEvents=true",
    "watch=1&sendInitialEvents=true&allowWatchBookmarks=true",
    "sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
    "watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=Exact",
    "watch=1&resourceVersionMatch=NotOlderThan",
    "watch=1&resourceVersion=x",
    "watch=1&resourceVersion=-1",
    "watch=1&limit=1&timeoutSeconds=1&resourceVersion=0",
    "watch=1&timeoutSeconds=x",
    "watch=1&labelSelector=a%20b",
    "watch=1&fieldSelector=data=x",
    "watch=maybe&timeoutSeconds=1&resourceVersion=0",
    "watch=1&continue=x&timeoutSeconds=1&resourceVersion=0",
    "watch=1&sendInitialEvents=false",
    "watch=1&sendInitialEvents=false&resourceVersionMatch=NotOlderThan&timeoutSeconds=1&resourceVersion=0",
)


@scenario
def test_parameters_of_watches(api: Api) -> None:
    for query in QUERIES:
        with api.watch(f"secrets?{query}") as watch:
            if watch.code == 200 and "timeoutSeconds" in query:
                watch.rest()


@scenario
def test_versions_that_are_gone(api: Api) -> None:
    with api.watch("secrets?watch=1&resourceVersion=1") as watch:
        watch.rest()
    future = "secrets?watch=1&resourceVersion=999999999999&timeoutSeconds=1"
    with api.watch(future, differs={"body": "watch-from-the-future"}) as watch:
        watch.rest()


@scenario
def test_watches_in_other_forms(api: Api) -> None:
    api.post("secrets", {"metadata": {"name": "a", "labels": {"x": "y"}}})
    for number, accept in enumerate(
        (
            "application/json;as=Table;g=meta.k8s.io;v=v1",
            "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
            "application/json;stream=watch",
        )
    ):
        columns = {"body[0].object.columnDefinitions[*].description": "column-descriptions"} if "Table" in accept else ""
        with api.watch("secrets?watch=1&resourceVersion=0", accept=accept, differs=columns) as watch:
            watch.take(1)
            api.patch("secrets/a", {"metadata": {"labels": {"x": f"y{number}"}}}, keep=False)
            watch.take(1)
    with api.watch("secrets?watch=1", accept="text/html", differs={"body.message": "media-types"}):
        pass


@scenario
def test_a_namespace_that_is_not_there(api: Api) -> None:
    with api.watch("/api/v1/namespaces/not-there/secrets?watch=1&timeoutSeconds=1&resourceVersion=0") as watch:
        watch.rest()
    with api.watch("/api/v1/nothing?watch=1") as watch:
        assert watch.code == 404
