from __future__ import annotations

from beehive.resource import Resource
from cloudcore.edgecontroller.compare import Recorded, decide, fingerprint, trimmed

WEB = Resource("default", "pod", "web")
PAGE = Resource("default", "configmap", "page")
NODE = Resource("null", "node", "edge-1")


def obj(uid: str = "u1", version: str = "5", **more: object) -> dict:
    return {"metadata": {"name": "web", "namespace": "default", "uid": uid, "resourceVersion": version}} | more


def has(uid: str, version: str) -> dict[str, Recorded]:
    return {uid: Recorded(uid, version)}


def test_a_new_object_is_inserted_with_kind_and_version() -> None:
    decision = decide(WEB, obj(), {}, None)
    assert decision is not None
    assert (decision.operation, decision.uid, decision.version) == ("insert", "u1", "5")
    assert (decision.content["kind"], decision.content["apiVersion"]) == ("Pod", "v1")


def test_what_the_node_has_is_not_sent_again() -> None:
    assert decide(WEB, obj(), has("u1", "5"), None) is None


def test_any_other_version_is_sent_also_a_lower_one() -> None:
    """After a restore of the cluster versions may go back."""
    for version in ("4", "6"):
        decision = decide(WEB, obj(version="5"), has("u1", version), None)
        assert decision is not None
        assert decision.operation == "update"


def test_secrets_and_nodes_are_always_updates() -> None:
    for path in (Resource("default", "secret", "key"), NODE):
        decision = decide(path, obj(), {}, None)
        assert decision is not None
        assert decision.operation == "update"


def test_what_this_session_sent_counts_more_than_the_record() -> None:
    wanted = obj(version="6")
    assert decide(WEB, wanted, has("u1", "5"), ("u1", fingerprint("pod", wanted))) is None
    changed = obj(version="7", spec={"x": 1})
    assert decide(WEB, changed, has("u1", "5"), ("u1", fingerprint("pod", wanted))) is not None


def test_status_of_a_pod_is_not_worth_a_message_but_its_deletion_mark_is() -> None:
    before = obj(status={"phase": "Pending"})
    after = obj(version="6", status={"phase": "Running"})
    assert fingerprint("pod", before) == fingerprint("pod", after)
    after["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert fingerprint("pod", before) != fingerprint("pod", after)


def test_heartbeats_of_a_node_are_not_worth_a_message_but_conditions_are() -> None:
    def node(status: str, beat: str) -> dict:
        return obj(status={"conditions": [{"type": "Ready", "status": status, "lastHeartbeatTime": beat}]})

    assert fingerprint("node", node("True", "1")) == fingerprint("node", node("True", "2"))
    assert fingerprint("node", node("True", "1")) != fingerprint("node", node("Unknown", "1"))


def test_odd_conditions_do_no_harm() -> None:
    for odd in (None, "x", [None], [1], {}):
        fingerprint("node", obj(status={"conditions": odd}))


def test_an_object_that_is_gone_is_deleted_by_uid() -> None:
    decision = decide(WEB, None, has("u1", "5"), None)
    assert decision is not None
    assert decision.operation == "delete"
    assert decision.content["metadata"] == {"name": "web", "uid": "u1", "namespace": "default"}
    assert decide(WEB, None, has("u1", "5"), ("u1", b"")) is None, "it is being told"
    assert decide(WEB, None, {}, None) is None


def test_a_deletion_carries_the_last_object_if_it_is_the_same_one() -> None:
    decision = decide(WEB, None, has("u1", "5"), None, last=obj(version="9", spec={"nodeName": "edge-1"}))
    assert decision is not None
    assert decision.content["spec"] == {"nodeName": "edge-1"}
    assert decision.version == "9"
    other = decide(WEB, None, has("u1", "5"), None, last=obj(uid="u2"))
    assert other is not None
    assert other.content["metadata"]["uid"] == "u1"


def test_a_pod_made_again_under_its_name_is_deleted_first_then_inserted() -> None:
    first = decide(WEB, obj(uid="u2"), has("u1", "5"), None)
    assert first is not None
    assert (first.operation, first.uid) == ("delete", "u1")
    second = decide(WEB, obj(uid="u2"), {}, None)
    assert second is not None
    assert (second.operation, second.uid) == ("insert", "u2")


def test_a_config_map_made_again_simply_replaces_the_old_one() -> None:
    decision = decide(PAGE, obj(uid="u2"), has("u1", "5"), None)
    assert decision is not None
    assert (decision.operation, decision.uid) == ("insert", "u2")


def test_an_object_wanted_again_after_its_deletion_was_sent_is_sent() -> None:
    decision = decide(PAGE, obj(), has("u1", "5"), ("u1", b""))
    assert decision is not None
    assert decision.operation == "update"


def test_the_deletion_of_a_node_is_never_sent() -> None:
    assert decide(NODE, None, has("u1", "5"), None) is None


def test_managed_fields_do_not_travel() -> None:
    sent = trimmed("pod", {"metadata": {"name": "web", "managedFields": [1]}, "spec": {}})
    assert sent == {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "web"}, "spec": {}}


def test_an_object_that_was_recorded_but_never_acknowledged_is_inserted() -> None:
    decision = decide(WEB, obj(), has("u1", "0"), None)
    assert decision is not None
    assert decision.operation == "insert"


def test_a_node_hears_that_kubernetes_doubts_its_pod_and_of_no_other_status() -> None:
    """An API server that was away for minutes: the node is taken for dead, its pods for not ready, and only it knows better."""

    def seen(ready: str, containers: str, reason: str = "") -> bytes:
        conditions = [{"type": "Ready", "status": ready, "reason": reason}, {"type": "ContainersReady", "status": containers}]
        return fingerprint("pod", {"metadata": {"name": "web"}, "status": {"conditions": conditions}})

    usual = fingerprint("pod", {"metadata": {"name": "web"}})
    assert seen("True", "True") == seen("False", "False") == seen("False", "True", "ReadinessGatesNotReady") == usual
    assert seen("False", "True") != usual
    for broken in (None, 7, [], [None], [{"type": "Ready"}, {"type": []}]):
        assert fingerprint("pod", {"metadata": {"name": "web"}, "status": {"conditions": broken}}) == usual
