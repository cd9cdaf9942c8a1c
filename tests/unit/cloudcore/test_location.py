from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from beehive.resource import Resource
from cloudcore.edgecontroller.location import Location, pod_path, referenced

PAGE = Resource("default", "configmap", "page")
KEY = Resource("default", "secret", "key")


def pod(name: str, node: str = "", *, maps: tuple[str, ...] = (), secrets: tuple[str, ...] = ()) -> dict:
    volumes = [{"name": one, "configMap": {"name": one}} for one in maps]
    volumes += [{"name": one, "secret": {"secretName": one}} for one in secrets]
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {"nodeName": node, "volumes": volumes}}


def update(location: Location, obj: dict) -> set:
    return location.update(pod_path(obj), obj)


def test_a_bound_pod_brings_its_references() -> None:
    location = Location()
    web = pod("web", "edge-1", maps=("page",), secrets=("key",))
    assert update(location, web) == {("edge-1", pod_path(web)), ("edge-1", PAGE), ("edge-1", KEY)}
    assert location.paths("edge-1") == {pod_path(web), PAGE, KEY}
    assert location.nodes(PAGE) == ["edge-1"]


def test_an_unbound_pod_concerns_nobody() -> None:
    location = Location()
    assert update(location, pod("web", maps=("page",))) == set()
    assert location.nodes(PAGE) == []


def test_a_reference_stays_until_its_last_pod_leaves() -> None:
    location = Location()
    one, two = pod("one", "edge-1", maps=("page",)), pod("two", "edge-1", maps=("page",))
    update(location, one)
    assert update(location, two) == {("edge-1", pod_path(two))}
    assert location.update(pod_path(one), None) == {("edge-1", pod_path(one))}
    assert location.holds("edge-1", PAGE)
    assert location.update(pod_path(two), None) == {("edge-1", pod_path(two)), ("edge-1", PAGE)}
    assert not location.holds("edge-1", PAGE)


def test_a_pod_that_moves_touches_both_nodes() -> None:
    location = Location()
    update(location, pod("web", "edge-1", maps=("page",)))
    moved = pod("web", "edge-2", maps=("page",))
    path = pod_path(moved)
    assert update(location, moved) == {("edge-1", path), ("edge-2", path), ("edge-1", PAGE), ("edge-2", PAGE)}
    assert location.paths("edge-1") == set()


def test_init_containers_count() -> None:
    found = referenced(
        {
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"initContainers": [{"name": "i", "envFrom": [{"configMapRef": {"name": "page"}}]}]},
        }
    )
    assert found == {PAGE}


names = st.sampled_from(["a", "b", "c"])
pods = st.builds(
    lambda name, node, maps: pod(name, node, maps=tuple(maps)), names, st.sampled_from(["", "n1", "n2"]), st.sets(names)
)


@given(st.lists(st.one_of(pods, names), max_size=30))
def test_is_always_what_the_present_pods_say(changes: list) -> None:
    location, present = Location(), {}
    for change in changes:
        if isinstance(change, str):
            present.pop(change, None)
            location.update(Resource("default", "pod", change), None)
        else:
            present[change["metadata"]["name"]] = change
            update(location, change)
    for node in ("n1", "n2"):
        here = [one for one in present.values() if one["spec"]["nodeName"] == node]
        wanted = {pod_path(one) for one in here} | {ref for one in here for ref in referenced(one)}
        assert location.paths(node) == wanted
        for ref in (Resource("default", "configmap", name) for name in "abc"):
            assert location.holds(node, ref) == (ref in wanted) == (node in location.nodes(ref))
