"""What a DaemonSet does on its nodes, step by step, until it is done."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from cloudcore.apiserver.apps.daemon_steps import REVISION_HASH, Present, Spot, counts, one_each, roll, surge
from kube import daemons
from kube.objects import Object, timestamp

NOW = 1_800_000_000.0
PRESENT = Present("new", "2", min_ready=0, now=NOW)


def pod(node: str, hash_: str, *, ready: bool = True, deleting: bool = False, phase: str = "Running") -> Object:
    metadata = {"name": f"{node}-{hash_}", "labels": {REVISION_HASH: hash_}, "creationTimestamp": timestamp(NOW - 100)}
    if deleting:
        metadata["deletionTimestamp"] = timestamp(NOW)
    condition = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": timestamp(NOW - 50)}
    return {"metadata": metadata, "spec": {"nodeName": node}, "status": {"phase": phase, "conditions": [condition]}}


def spot(node: str, *pods: Object, runs: bool = True, stays: bool = True, away: bool = False) -> Spot:
    return Spot(node, runs, stays, away, pods)


def names(pods: list[Object]) -> list[str]:
    return [found["metadata"]["name"] for found in pods]


def test_one_on_every_node() -> None:
    spots = [
        spot("empty"),
        spot("going", pod("going", "old", deleting=True)),
        spot("twice", pod("twice", "new"), pod("twice", "old")),
        spot("tainted", pod("tainted", "new"), runs=False),
        spot("forbidden", pod("forbidden", "new"), runs=False, stays=False),
        spot("failed", pod("failed", "new", phase="Failed")),
        spot("done", pod("done", "new", phase="Succeeded")),
    ]
    steps = one_each(spots, PRESENT, surging=False)
    assert steps.create == ["empty"]
    assert names(steps.delete) == ["twice-old", "forbidden-new", "done-new"]
    assert [(node, found["metadata"]["name"]) for node, found in steps.failed] == [("failed", "failed-new")]


def test_surging_keeps_the_old_one_until_the_new_one_works() -> None:
    both = (pod("n", "new", ready=False), pod("n", "old"))
    assert one_each([spot("n", *both)], PRESENT, surging=True).delete == []
    assert names(one_each([spot("n", pod("n", "new"), both[1])], PRESENT, surging=True).delete) == ["n-old"]
    assert surge([spot("a", pod("a", "old")), spot("b", pod("b", "old"))], PRESENT, 1).create == ["a"]
    assert surge([spot("a", *both), spot("b", pod("b", "old"))], PRESENT, 1).create == []


def test_an_update_leaves_enough_and_replaces_what_is_broken_at_once() -> None:
    spots = [spot("a", pod("a", "old")), spot("b", pod("b", "old", ready=False)), spot("c", pod("c", "new"))]
    assert names(roll(spots, PRESENT, 1)) == ["b-old"]
    assert names(roll(spots, PRESENT, 2)) == ["b-old", "a-old"]
    assert names(roll([*spots[::2], spot("d", pod("d", "new", ready=False))], PRESENT, 1)) == []


def test_nodes_that_do_not_answer_do_not_hold_up_an_update() -> None:
    away = [spot(f"away{n}", pod(f"away{n}", "old", deleting=n > 0), runs=False, away=True) for n in range(3)]
    assert names(roll([*away, spot("here", pod("here", "old"))], PRESENT, 1)) == ["away0-old", "here-old"]


@settings(max_examples=40)
@given(st.integers(1, 8), st.integers(1, 3), st.booleans(), st.randoms())
def test_an_update_ends_within_its_bounds(nodes: int, most: int, surging: bool, random) -> None:
    spots = [spot(f"n{n}", pod(f"n{n}", "old")) for n in range(nodes)]
    for _ in range(200):
        if all(len(one.pods) == 1 and PRESENT.is_new(one.pods[0]) and PRESENT.is_available(one.pods[0]) for one in spots):
            assert counts(spots, PRESENT)["updatedNumberScheduled"] == nodes
            return
        tidy = one_each(spots, PRESENT, surging=surging)
        more = surge(spots, PRESENT, most) if surging else None
        gone = {id(found) for found in tidy.delete + (more.delete if more else roll(spots, PRESENT, most))}
        wanted = {*tidy.create, *(more.create if more else ())}
        after = []
        for one in spots:
            left = [found for found in one.pods if id(found) not in gone]
            if one.node in wanted:
                left.append(pod(one.node, "new", ready=False))
            after.append(replace(one, pods=[_moves(found, random) for found in left]))
        spots = after
        working = sum(any(PRESENT.is_available(found) for found in one.pods) for one in spots)
        assert working >= (nodes if surging else nodes - most)
        assert sum(len(one.pods) for one in spots) <= nodes + (most if surging else 0)
    raise AssertionError("does not end")


def _moves(found: Object, random) -> Object:
    ready = found["status"]["conditions"][0]["status"] == "True" or random.random() < 0.5
    return pod(found["spec"]["nodeName"], found["metadata"]["labels"][REVISION_HASH], ready=ready)


def test_which_nodes() -> None:
    template = {"spec": {"nodeSelector": {"a": "b"}}}

    def node(*taints: tuple[str, str], labels: dict[str, str] | None = None) -> Object:
        found = {"a": "b"} if labels is None else labels
        return {"metadata": {"name": "n", "labels": found}, "spec": {"taints": [{"key": k, "effect": e} for k, e in taints]}}

    assert daemons.judge(template, node()) == (True, True)
    assert daemons.judge(template, node(labels={})) == (False, False)
    assert daemons.judge(template, node(("x", "NoSchedule"))) == (False, True)
    assert daemons.judge(template, node(("x", "NoExecute"))) == (False, False)
    assert daemons.judge(template, node(("node.kubernetes.io/unschedulable", "NoSchedule"))) == (True, True)
    assert daemons.judge(template, node(("node.kubernetes.io/unreachable", "NoExecute"))) == (True, True)
    assert daemons.judge({"spec": {"nodeName": "other"}}, node()) == (False, False)
    pinned = {"spec": {"affinity": daemons.pinned({"podAffinity": {}}, "n")}}
    assert daemons.target(pinned) == "n"
    assert daemons.target({"spec": {}}) == ""
